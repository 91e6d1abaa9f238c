-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- For `luarocks make bindings/lua/mmapguard-1.0.0-1.rockspec`, called at the top of the source tree. The rock has
-- the library in the module, so that it needs no other file; its building needs CMake 3.25, a C11 compiler and SWIG
-- 4.5 (pip install swig).
package = "mmapguard"
version = "1.0.0-1"
rockspec_format = "3.0"
source = { url = "." }
description = {
  summary = "Maps files for reading and stays alive whatever happens to them",
  detailed = [[
    Regions of files that read like strings: positions, find with patterns, unpack, lines, without reading the file.
    When somebody cuts the file short, the script gets an error with the offset, and the process lives.
  ]],
  license = "MIT OR Apache-2.0",
  homepage = "https://example.org/mmapguard",
  maintainer = "mmapguard maintainers <mmapguard@example.org>",
  labels = { "mmap", "file", "binary" },
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.1, < 5.5" }
build = {
  type = "command",
  build_command = "cmake -S . -B build/rock-$(LUA_VERSION) -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF " ..
    "-DMMAPGUARD_BUILD_DEMO=OFF -DMMAPGUARD_BUILD_LUA=ON -DMMAPGUARD_LUA_STATIC=ON " ..
    "\"-DMMAPGUARD_LUA_INCDIR=$(LUA_INCDIR)\" \"-DMMAPGUARD_LUA_CDIR=$(LIBDIR)\" " ..
    "&& cmake --build build/rock-$(LUA_VERSION)",
  install_command = "cmake --install build/rock-$(LUA_VERSION) --component lua",
}
