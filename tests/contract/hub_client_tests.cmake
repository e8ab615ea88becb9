# HubClient's contract, on each implementation of it.
hubvfs_test(hub_client_contract_test LABELS contract LIBS hubvfs_hub
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/hub_client_contract_test.cc)
