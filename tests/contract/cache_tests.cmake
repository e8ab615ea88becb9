# The stores of cache.
hubvfs_test(blob_store_contract_test LABELS contract SOURCES blob_store_contract_test.cc LIBS hubvfs_cache)
hubvfs_test(meta_store_contract_test LABELS contract SOURCES meta_store_contract_test.cc LIBS hubvfs_cache)
