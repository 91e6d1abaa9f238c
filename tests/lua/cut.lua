-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Cuts a file short under a region in this process, then reads it in one of many ways: lua cut.lua MODULE CASE PATH.
-- Prints the error that the script got, what check and close say, and "alive" at the end.

local name, case, path = arg[1], arg[2], arg[3]
local mg = require(name)

local SIZE, REST = 1048576, 65536 + 100

local line = ("x"):rep(63) .. "\n"
local function make()
  local file = assert(io.open(path, "wb"))
  assert(file:write((line:rep(SIZE / #line))))
  assert(file:close())
end

-- The file is cut to nothing and written again, so it ends within a page.
local function cut(rest)
  local file = assert(io.open(path, "wb"))
  assert(file:write((line:rep(math.ceil(rest / #line)):sub(1, rest))))
  assert(file:close())
end

local function say(what, good, message)
  print(what .. ": " .. (good and "no error" or tostring(message)))
end

make()
local region = assert(mg.open(path, { backing = "map", lock = "none" }))
assert(#region == SIZE and region[1] == 120 and region:info().guarantee == "contained")

local function loop_over_pointer()
  local bytes, sum = region.data, 0
  for i = 0, SIZE - 1 do sum = sum + bytes[i] end
  region:check()
  return sum
end

local cases = {
  index = function() return region[SIZE - 10] end,
  byte = function() return region:byte(-10) end,
  bytes = function() return region:byte(REST - 2, REST + 2) end,
  sub = function() return region:sub(1) end,
  sub_of_few = function() return region:sub(REST + 5000, REST + 5010) end,
  sub_over_the_edge = function() return region:sub(REST - 1, REST + 3) end,
  sub_of_pages = function() return region:sub(REST - 6000, REST + 6000) end,
  find_far = function() return region:find("nowhere", 1, true) end,
  find_near = function() return region:find("yy", SIZE - 100, true) end,
  find_pattern = function() return region:find("y+z") end,
  find_anchored = function() return region:find("^[%w\n]-y") end,
  find_balanced = function() return region:find("%b\ny", REST - 150) end,
  lines = function()
    local count = 0
    for text in region:lines() do
      assert(text == line:sub(1, 63), "a line that is none")
      count = count + 1
    end
    return count
  end,
  blocks = function()
    for block in region:lines(4096) do assert(not block:find("%z"), "a block that is none") end
  end,
  unpack = function() return region:unpack("<I4", SIZE - 20) end,
  unpack_string = function() return region:unpack("c20", REST - 10) end,
  unpack_to_zero = function() return region:unpack("z", REST - 10) end,
  unpack_counted = function() return region:unpack("<s4", SIZE - 10) end,
  span_made_before = function() return region:span(1, 100) end,
  pointer = loop_over_pointer,
  coroutine = function()
    local reader = coroutine.wrap(function()
      for text in region:lines() do coroutine.yield(text) end
    end)
    for text in reader do assert(text == line:sub(1, 63), "a line that is none") end
  end,
  nothing = function() end, -- only check and close report the loss
  twice = function()
    local first, message = pcall(region.sub, region, -5)
    assert(not first and message:find("MMG_E_TRUNCATED", 1, true))
    return region:sub(-6)
  end,
}

local span_before, span_across = region:span(1, 100), region:span(REST - 9, REST + 10)
cut(REST)
if case == "in_a_page" then -- no page is missing, so no read faults, and only the size shows the loss
  cut(SIZE - 100)
  say("read", pcall(region.sub, region, -50))
elseif case == "scope" then
  local load = loadstring or load
  say("read", pcall(assert(load([[
    local mg, path = ...
    local region <close> = assert(mg.open(path, { backing = "map", lock = "none" }))
    local file = assert(io.open(path, "wb"))
    file:write("short")
    file:close()
    return #region
  ]])), mg, path))
elseif case == "scope_with_error" then
  local load = loadstring or load
  say("read", pcall(assert(load([[
    local mg, path = ...
    local region <close> = assert(mg.open(path, { backing = "map", lock = "none" }))
    io.open(path, "wb"):close()
    error("the error of the block")
  ]])), mg, path))
elseif case == "collected" then
  region[SIZE]() -- a zero that is no function
elseif not cases[case] then
  error("no such case: " .. case)
else
  say("read", pcall(cases[case]))
end

say("good part", pcall(function()
  assert(region:sub(1, 64) == line and region:byte(REST) and span_before:sub(1, 64) == line)
  assert(region:find("x\n", 1, true) == 63 and region:find("(x+)\n", 65) == 65)
end))
say("check", pcall(region.check, region))
say("span before", pcall(span_before.check, span_before))
say("span across", pcall(span_across.check, span_across))
say("close", pcall(region.close, region))
say("close again", pcall(region.close, region))
say("span before after close", pcall(function()
  assert(span_before:sub(1, 64) == line)
  span_before:close()
end))
say("span across after close", pcall(function() return span_across:sub(1) end))
say("close of span across", pcall(span_across.close, span_across))
region, span_before, span_across = nil, nil, nil
collectgarbage()
collectgarbage()
local stats = mg.stats()
print(("left: %d handles, %d regions"):format(stats.handles, stats.regions))
print("alive")
