-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Prints the slowest requests of a web log, with nothing but Lua and mmapguard:
--
--     lua examples/lua/slow_requests.lua LOG [COUNT]
--     lua examples/lua/slow_requests.lua --make LOG [MIB]
--
-- The log is in the combined format with the time of the request in seconds as the last field, as nginx writes with
--     log_format timed '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
--                      '"$http_user_agent" $request_time';
-- and Apache with %T at the end. --make writes such a log for a first try. When the log is cut short meanwhile, the
-- script ends with an error that says where, and the process does not die.

local mg = require "mmapguard"

--- Keeps the COUNT largest of the added elements, in a heap whose least element is on top.
local function largest(count)
  local heap = {}
  local function sift_up(i)
    while i > 1 do
      local parent = math.floor(i / 2)
      if heap[parent].key <= heap[i].key then return end
      heap[parent], heap[i] = heap[i], heap[parent]
      i = parent
    end
  end
  local function sift_down(i)
    while true do
      local least = i
      for child = 2 * i, 2 * i + 1 do
        if heap[child] and heap[child].key < heap[least].key then least = child end
      end
      if least == i then return end
      heap[least], heap[i] = heap[i], heap[least]
      i = least
    end
  end
  return {
    least = function() return #heap == count and heap[1].key or -1 end,
    add = function(key, value)
      if #heap < count then
        heap[#heap + 1] = { key = key, value = value }
        sift_up(#heap)
      elseif key > heap[1].key then
        heap[1] = { key = key, value = value }
        sift_down(1)
      end
    end,
    sorted = function()
      table.sort(heap, function(a, b) return a.key > b.key end)
      return heap
    end,
  }
end

local function scan(region, count)
  local slowest, lines, total = largest(count), 0, 0
  for line in region:lines() do
    local seconds = tonumber(line:match(" ([%d.]+)$"))
    lines = lines + 1
    if seconds then
      total = total + seconds
      if seconds > slowest.least() then slowest.add(seconds, line) end
    end
  end
  return slowest.sorted(), lines, total
end

local function report(path, count)
  local region = assert(mg.open(path, { access = "sequential" }))
  local info, begin = region:info(), os.clock()
  local slowest, lines, total = scan(region, count)
  local size = #region
  region:close() -- raises an error if a byte that was read may be wrong
  print(("%s: %d requests in %.0f MiB, %s (%s), read in %.2f s"):format(path, lines, size / 1048576, info.backing,
    info.backing_reason, os.clock() - begin))
  print(("%.3f s on average; the slowest:"):format(lines > 0 and total / lines or 0))
  for _, entry in ipairs(slowest) do
    local address, time, request, status = entry.value:match('^(%S+) .-%[([^%]]*)%] "([^"]*)" (%d+)')
    print(("%9.3f s  %s  %-15s  %s  %s"):format(entry.key, time or "?", address or "?", status or "?",
      request or entry.value))
  end
end

local function make(path, mib)
  local pages = { "/", "/login", "/search?q=map", "/cart", "/images/logo.png", "/api/v1/items", "/api/v1/report" }
  local file = assert(io.open(path, "wb"))
  local state, size = 1, 0
  local function random(most)
    state = (state * 16807) % 2147483647
    return state % most
  end
  while size < mib * 1048576 do
    local block = {}
    local entry = '10.%d.%d.%d - - [%02d/Nov/2025:%02d:%02d:%02d +0000] "GET %s HTTP/1.1" %d %d "-" "curl/8.5" %.3f\n'
    for i = 1, 1000 do
      local seconds = random(1000) / 4000 + (random(5000) == 0 and random(30000) / 1000 or 0)
      block[i] = entry:format(random(256), random(256), random(256), random(28) + 1, random(24), random(60), random(60),
        pages[random(#pages) + 1], random(40) == 0 and 503 or 200, random(90000), seconds)
    end
    block = table.concat(block)
    file:write(block)
    size = size + #block
  end
  file:close()
end

local path, count = arg[1], tonumber(arg[2] or 10)
if path == "--make" and arg[2] then
  path, count = arg[2], 10
  make(path, tonumber(arg[3] or 100))
elseif not path or path == "--make" or not count or count < 1 then
  io.stderr:write("usage: lua slow_requests.lua LOG [COUNT] | --make LOG [MIB]\n")
  os.exit(2)
end
local good, problem = pcall(report, path, count)
if not good then
  io.stderr:write("slow_requests: ", tostring(problem), "\n")
  os.exit(1)
end
