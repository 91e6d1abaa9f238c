#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Builds the rock as its users do: it is packed from the address in the rockspec, installed for one Lua from
# the source rock, packed again as a binary rock, and installed from that.
#
#     rock.sh SOURCE FOLDER VERSION INCLUDES LUA MODULE...
#
# SOURCE is the checkout, FOLDER a place for all files, INCLUDES the headers of the interpreter LUA.
set -eu
source=$1 folder=$2 version=$3 includes=$4 lua=$5
shift 5

rm -rf "$folder"
mkdir -p "$folder/checkout"
export HOME="$folder" GIT_CONFIG_NOSYSTEM=1
PATH="$source/.venv/bin:$PATH" # has SWIG

# A repository with the files of this checkout stands in for the published one.
(cd "$source" && python3 tests/support/checkout.py --cached --others --exclude-standard |
    xargs -0 cp -d --parents --target-directory "$folder/checkout")
cd "$folder/checkout"
git init --quiet .
git add --all
git -c user.name=test -c user.email=test@example.org commit --quiet --message "the rock"
git tag v1.0.0
export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0="url.file://$PWD.insteadOf" GIT_CONFIG_VALUE_0=https://example.org/mmapguard.git
export GIT_CONFIG_KEY_1=safe.directory GIT_CONFIG_VALUE_1='*'

rocks() {
    luarocks --lua-version "$version" "$@" "LUA_INCDIR=$includes"
}

# check TREE: the modules of the tree work, and the library that they use is inside them.
check() {
    for module in "$@"; do
        LUA_PATH="$tree/share/lua/$version/?.lua" LUA_CPATH="$tree/lib/lua/$version/?.so" "$lua" -e "
            local mg = require '$module'
            local region = assert(mg.open('$folder/checkout/LICENSE'))
            assert(region:find('%a+') and #region > 100)
            region:close()"
        echo "$lua has $module from $tree"
    done
}

cd "$folder"
rocks pack checkout/bindings/lua/mmapguard-1.0.0-1.rockspec
tree=$folder/one
rocks install --tree "$tree" mmapguard-1.0.0-1.src.rock
check "$@"
rocks pack --tree "$tree" mmapguard
tree=$folder/two
rocks install --tree "$tree" mmapguard-1.0.0-1.*-*.rock
check "$@"
rm -rf "$folder"
