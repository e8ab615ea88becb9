# Sanitizer builds only: the standard headers most sources include are read once, which halves the
# time these builds take. The other builds go without, so that a source that forgets an #include
# is found.
add_library(hubvfs_precompiled OBJECT cmake/precompiled.cc)
target_link_libraries(hubvfs_precompiled PRIVATE hubvfs_flags GTest::gtest)
target_precompile_headers(hubvfs_precompiled PRIVATE <algorithm> <array> <atomic> <chrono> <cstdint>
  <cstring> <deque> <filesystem> <functional> <future> <gtest/gtest.h> <map> <memory> <optional>
  <ostream> <set> <span> <string> <string_view> <thread> <unordered_map> <utility> <variant> <vector>)
# ccache may keep what was compiled with it.
target_compile_options(hubvfs_precompiled PRIVATE "SHELL:-Xclang -fno-pch-timestamp")

# Every target compiled in `folder` and below uses it.
function(hubvfs_use_precompiled folder)
  get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(type ${target} TYPE)
    if(type MATCHES "EXECUTABLE|STATIC_LIBRARY")
      target_precompile_headers(${target} REUSE_FROM hubvfs_precompiled)
    endif()
  endforeach()
  get_property(below DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
  foreach(subfolder IN LISTS below)
    hubvfs_use_precompiled(${subfolder})
  endforeach()
endfunction()
hubvfs_use_precompiled(${PROJECT_SOURCE_DIR})
