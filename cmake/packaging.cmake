# What `cmake --install` puts beside the binary and its manual, and the packages made of it:
# cpack -G DEB, cpack -G TGZ (in the build folder of the release preset).
install(FILES README.md TYPE DOC)
install(FILES LICENSE TYPE DOC RENAME copyright)

set(CPACK_PACKAGE_NAME hubvfs)
set(CPACK_PACKAGE_VENDOR hubvfs)
set(CPACK_PACKAGE_CONTACT "The hubvfs developers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Mounts the Hugging Face model Hub as a directory tree")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# The helper that mounts for ordinary users is run, not linked: no tool finds this one.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "fuse3 (>= 3.14)")
include(CPack)
