-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Compares the instructions of reading through a region and of reading by hand: lua instructions.lua MODULE FOLDER.
-- Other load on the machine does not change these numbers. valgrind counts them, and the script fails when a bound is
-- exceeded.

package.path = (arg[0]:match("^(.*/)[^/]*$") or "./") .. "?.lua;" .. package.path
local support = require "support"

local module, folder = arg[1], arg[2]
local by_pointer = module == "mmapguard.ffi"
local path = folder .. "/work-" .. tostring({}):gsub("%W", "") .. ".txt"

-- The highest allowed ratio of the region to the work by hand. The C module has no bounds in LuaJIT, since a call of
-- a C function costs more there than the compiled string library. mmapguard.ffi is measured instead.
local bounds = {
  { "index", 0.95 }, { "zeros", 0.95 }, { "byte", 1.2 }, { "bytes", 1.3 }, { "sub", 1.3 }, { "find", 1.3 }, { "hits", 1.3 },
  { "pattern", 0.9 }, { "lines", 0.6 },
}
if by_pointer then
  -- A loop over a raw pointer takes seven instructions for a byte, and compares nothing. An index must be compared with
  -- both ends of the region, and the byte with zero: thirteen. A zero leads to the counter of losses.
  -- Three runs of this script found 1.69 to 2.04 for a sequence, 1.78 to 2.11 for an index and 1.30 to 1.34 for `sub`.
  bounds = { { "sequence", 2.3 }, { "index", 2.3 }, { "zeros", 2.8 }, { "byte", 2.1 }, { "sub", 1.45 }, { "find", 1.2 },
    { "hits", 1.45 }, { "lines", 1.5 } }
end

local function count(case, side, times)
  local text, status = support.execute(table.concat({ "valgrind --tool=cachegrind --cache-sim=no",
    "--cachegrind-out-file=/dev/null", support.quote(support.interpreter()),
    support.quote(support.directory .. "work.lua"), module, case, side, ("%d"):format(times), support.quote(path) },
    " "))
  local instructions = text:match("I +refs: +([%d,]+)")
  if status ~= 0 or not instructions then error(("%s of %s: %s"):format(case, side, text)) end
  return tonumber((instructions:gsub(",", "")))
end

local function per_piece(case, side)
  local few, many = 4000, by_pointer and 60000 or 20000
  return (count(case, side, many) - count(case, side, few)) / (many - few)
end

-- LuaJIT chooses by random numbers which pieces of a loop it compiles, so single runs differ by a half. A bound that
-- one run misses is measured again, and the best run counts.
local runs = by_pointer and 6 or 1

local failed = 0
count("index", "hand", 1) -- this run makes the file
print(("%-10s %10s %10s %6s"):format("", "by hand", "region", "ratio"))
for _, bound in ipairs(bounds) do
  local case, most = bound[1], bound[2]
  local hand, region = math.huge, math.huge
  for _ = 1, runs do
    hand, region = math.min(hand, per_piece(case, "hand")), math.min(region, per_piece(case, "region"))
    if region <= most * hand then break end
  end
  local verdict = region <= most * hand and "" or "MISSED"
  if verdict ~= "" then failed = failed + 1 end
  print(("%-10s %10.1f %10.1f %6.2f  at most %.2f %s"):format(case, hand, region, region / hand, most, verdict))
end
os.remove(path)
assert(failed == 0, failed .. " bounds missed")
