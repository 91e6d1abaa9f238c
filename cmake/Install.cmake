# SPDX-License-Identifier: MIT OR Apache-2.0
#
# What is installed: the library, its header, and what other projects find them by, in CMake and pkg-config.

install(TARGETS ${MMAPGUARD_LIBRARIES} EXPORT mmapguardTargets COMPONENT development
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT development
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(FILES include/mmapguard.h include/mmapguard.hpp include/mmapguard_arrow.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)

# find_package(mmapguard)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mmapguard)
install(EXPORT mmapguardTargets NAMESPACE mmapguard:: DESTINATION ${package_dir} COMPONENT development)
configure_package_config_file(cmake/mmapguardConfig.cmake.in mmapguardConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(mmapguardConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/mmapguardConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/mmapguardConfigVersion.cmake
  DESTINATION ${package_dir} COMPONENT development)

# pkg-config. The prefix is found from where the file is, so that an installation may be moved as a whole; where the
# directories are given as absolute ones, they are meant so.
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(MMAPGUARD_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH up "/${pc_dir}" "/")
  string(REGEX REPLACE "/$" "" up "${up}")
  set(MMAPGUARD_PC_PREFIX "\${pcfiledir}/${up}")
endif()
foreach(directory IN ITEMS LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${directory}}")
    set(MMAPGUARD_PC_${directory} "${CMAKE_INSTALL_${directory}}")
  else()
    set(MMAPGUARD_PC_${directory} "\${prefix}/${CMAKE_INSTALL_${directory}}")
  endif()
endforeach()
# Alone, the static library has to say what it needs, also without `pkg-config --static`.
if(NOT mmapguard IN_LIST MMAPGUARD_LIBRARIES)
  set(MMAPGUARD_PC_LIBS " -pthread")
endif()
configure_file(cmake/mmapguard.pc.in mmapguard.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/mmapguard.pc DESTINATION ${pc_dir} COMPONENT development)

# The program, with the object that it preloads, if they were built.
if(TARGET mmapguard_program)
  install(TARGETS mmapguard_program RUNTIME COMPONENT launcher OPTIONAL)
  install(TARGETS mmapguard_preload LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/mmapguard COMPONENT launcher OPTIONAL)
  install(FILES launcher/mmapguard.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT launcher)
endif()
