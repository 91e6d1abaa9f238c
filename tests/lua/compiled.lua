-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Another process cuts a file short while a loop that LuaJIT has compiled reads it: lua compiled.lua WAY PATH. The loop
-- calls nothing else, so it ends only by the error. Prints that error.

local way, path = arg[1], arg[2]
local mg = require "mmapguard.ffi"

local SIZE = 1048576
local file = assert(io.open(path, "wb"))
assert(file:write((("x"):rep(63) .. "\n"):rep(SIZE / 64)))
assert(file:close())
local region = assert(mg.open(path, { backing = "map", lock = "none" }))

-- Each loop goes round in the second half of the file, and has one way only, so that LuaJIT stays in the compiled loop.
local band = bit.band
local HALF = SIZE / 2
local ways = {
  index = function()
    local k, sum = 0, 0
    while true do
      k = band(k + 1, HALF - 1)
      sum = sum + region[HALF + k]
    end
  end,
  byte = function()
    local k, sum = 0, 0
    while true do
      k = band(k + 1, HALF - 1)
      sum = sum + region:byte(HALF + k)
    end
  end,
  bytes = function()
    local k, sum = 0, 0
    while true do
      k = band(k + 1, HALF - 1)
      local a, b, c = region:byte(HALF + k - 2, HALF + k)
      sum = sum + a + b + c
    end
  end,
  sub = function()
    local k, size = 0, 0
    while true do
      k = band(k + 1, HALF - 1)
      size = size + #region:sub(HALF + k - 15, HALF + k)
    end
  end,
  find = function()
    local k, sum = 0, 0
    while true do
      k = band(k + 1, HALF - 1)
      sum = sum + region:find("\n", HALF + k, true)
    end
  end,
}

os.execute(("(sleep 0.3; truncate --size=4096 '%s') &"):format(path))
print(select(2, pcall(ways[way])))
