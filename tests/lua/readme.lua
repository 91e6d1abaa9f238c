-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Runs every block of Lua in a document, in a folder with the files that the blocks name: lua readme.lua DOCUMENT...
-- A block that begins with "-- Lua 5.4" or "-- LuaJIT" is for that version alone.

local versions = { ["Lua 5.4"] = _VERSION == "Lua 5.4", LuaJIT = jit ~= nil }
local load = loadstring or load

local function make(path, contents)
  local file = assert(io.open(path, "wb"))
  assert(file:write(contents))
  assert(file:close())
end

make("big.bin", ("PK\3\4"):rep(8) .. "name=12 " .. ("\0\1\2\3"):rep(50000))
make("log.txt", ("a line of the log\n"):rep(7000))

local printed
local real_print = print
print = function(...)
  local words = {}
  for k = 1, select("#", ...) do words[k] = tostring((select(k, ...))) end
  printed[#printed + 1] = table.concat(words, "\t")
end

local ran, left_out = 0, 0
for _, document in ipairs(arg) do
  local file = assert(io.open(document, "rb"))
  local text = file:read("*a")
  file:close()
  local found = 0
  for block in text:gmatch("\n```lua\n(.-)\n```") do
    found = found + 1
    local version = block:match("^%-%- (Lua[ %w.]*)\n")
    if version and not versions[version] then
      left_out = left_out + 1
    else
      printed = {}
      assert(load(block, "=" .. document .. ", block " .. found))()
      assert(#printed > 0 or document:find("/README.md", 1, true), "a block that prints nothing")
      real_print(("block %d of %s: %s"):format(found, document, table.concat(printed, " | "):sub(1, 200)))
      for _, line in ipairs(printed) do assert(line ~= "" and not line:find("^nil"), "a block that finds nothing") end
      ran = ran + 1
    end
  end
  assert(found > 0, document .. " has no block of Lua")
end
real_print(("%d blocks ran, %d are for another version"):format(ran, left_out))
assert(left_out < 3)
