-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Does everything once that a script can do with a region. `host --memory` lets each allocation in it fail. host
-- --memory memory.lua MODULE LARGE-FILE SMALL-FILE

local mg = require(arg[1])
local large, small = arg[2], arg[3]

-- LuaJIT compiles only when it has memory. This tests the functions that compiled code would call.
if jit then jit.off() end

return function()
  local region = assert(mg.open(large, { backing = "map", access = "random", lock = "none", offset = 3 }))
  local copied = assert(mg.open(small))
  local nothing, message, code = mg.open("/no/such/file")
  assert(nothing == nil and type(message) == "string" and code < 0)
  local span = region:span(100, 90000)
  local text = region:sub(1, 5000) .. copied:sub(1) .. span:sub(2, 20)
  region:find("(l)(i)(n)(e)%s+(%a+)()", 50000)
  region:find(("l?"):rep(40) .. "ine")
  region:find("nowhere to be found", 1, true)
  region:unpack("<I4 >i2 !4 Xi4 s1 c5 d", 5)
  local count = 0
  for line in span:lines() do
    count = count + #line
    if count > 500 then break end
  end
  for block in copied:lines(3) do count = count + #block end
  local info, stats = region:info(), mg.stats()
  local changed = region:changed()
  span:advise("willneed")
  local byte = select("#", region:byte(1, 300))
  text = text .. tostring(region) .. tostring(span) .. info.backing .. stats.handles .. tostring(changed) .. byte
  pcall(region.sub, region, 0 / 0)
  span:check()
  copied:close()
  local inner = span:span(5, 10)
  region:close()
  if inner.data and type(inner.data) == "cdata" then count = count + inner.data[0] end
  -- The spans are left to the collector.
end
