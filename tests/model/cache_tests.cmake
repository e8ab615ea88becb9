# The disk cache against plain maps.
hubvfs_test(cache_model_test LABELS model LIBS hubvfs_cache TIMEOUT 300
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/cache_model_test.cc)
