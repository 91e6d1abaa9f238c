-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- The rock has the library inside the module, so that it needs no other file. To build it takes CMake 3.25, make, a C11
-- compiler and SWIG 4.5 (pip install swig). Each Lua is built in a folder of its own, which is named after its headers.
-- bindings/lua/README.md shows the commands.
package = "mmapguard"
version = "1.0.0-1"
rockspec_format = "3.0"
source = { url = "git+https://example.org/mmapguard.git", tag = "v1.0.0" }
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
  build_command = "cmake -S . -B \"build/rock/$(LUA_INCDIR)\" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF " ..
    "-DMMAPGUARD_BUILD_DEMO=OFF -DMMAPGUARD_BUILD_LUA=ON -DMMAPGUARD_LUA_STATIC=ON " ..
    "\"-DMMAPGUARD_LUA_INCDIR=$(LUA_INCDIR)\" \"-DMMAPGUARD_LUA_CDIR=$(LIBDIR)\" \"-DMMAPGUARD_LUA_DIR=$(LUADIR)\" " ..
    "&& cmake --build \"build/rock/$(LUA_INCDIR)\"",
  install_command = "cmake --install \"build/rock/$(LUA_INCDIR)\" --component lua",
}
