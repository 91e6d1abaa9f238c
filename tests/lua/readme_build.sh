#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Runs the commands of bindings/lua/README.md in a checkout that was never built, without root: they install
# below FOLDER. Then it looks for the installed modules.
#
#     readme_build.sh SOURCE FOLDER
set -eu
source=$1 folder=$2

rm -rf "$folder"
mkdir -p "$folder/checkout"
(cd "$source" && python3 tests/support/checkout.py --cached --others --exclude-standard |
    xargs -0 cp -d --parents --target-directory "$folder/checkout")
cd "$folder/checkout"
export PATH="$source/.venv/bin:$PATH" DESTDIR="$folder/root" # the README says: pip install swig
unset LD_LIBRARY_PATH || true

awk '/^```sh$/ { inside = 1; next } /^```$/ { inside = 0 } inside' bindings/lua/README.md >../commands
[ "$(wc -l <../commands)" -ge 5 ] # the three lines, and the two that need no installation
echo "--- the commands"
cat ../commands
sh -eu ../commands

echo "--- installed"
root=$folder/root/usr/local
LUA_CPATH="$root/lib/lua/5.4/?.so" lua5.4 -e 'print(require("mmapguard").version())'
LUA_CPATH="$root/lib/lua/5.1/?.so" LUA_PATH="$root/share/lua/5.1/?.lua" \
    luajit -e 'print(require("mmapguard.ffi").version())'

echo "--- without SWIG"
# Everything else was found before, and stays found.
if cmake build/lua-modules -DMMAPGUARD_SWIG=MMAPGUARD_SWIG-NOTFOUND \
    -DCMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH=OFF -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF >"$folder/said" 2>&1; then
    echo "configured without SWIG"
    exit 1
fi
tr -s ' \n' ' ' <"$folder/said" | grep -o 'The Lua binding needs SWIG 4.5 or later, and there is no program'
rm -rf "$folder"
