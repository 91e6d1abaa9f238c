-- SPDX-License-Identifier: MIT OR Apache-2.0
-- The way of Lua to read a file, for other_languages.py, which says what the requests and the answers are.

local PAGE = 4096
local sum = 0

local function open(path)
  local file = assert(io.open(path, "rb"))
  local data = file:read("a")
  file:close()
  return data
end

local function touch_pages(data)
  for at = 1, #data, PAGE do
    sum = sum + data:byte(at)
  end
end

local function touch_all(data)
  for at = 1, #data - 7, 8 do
    sum = sum + string.unpack("<i8", data, at)
  end
end

local function run(task, times, path)
  local standing = open(path)
  for _ = 1, times do
    if task == "scan" then
      touch_all(standing)
    else
      touch_pages(open(path))
    end
  end
end

if arg[1] == "survive" then
  local data = open(arg[3])
  io.write("ready\n")
  io.flush()
  io.read("a") -- a program of one thread hears of the end in no other way
  touch_pages(data)
  os.exit(#data > 0 and 0 or 41)
end

io.write('{"version": "', _VERSION:match("[%d.]+"), '", "ways": ["io.read"]}\n')
io.flush()
for line in io.lines() do
  local task, times, path = line:match("^[^\t]*\t([^\t]*)\t(%d+)\t(.*)$")
  local ok, failure = pcall(run, task, tonumber(times), path)
  io.write(ok and "done" or "failed: " .. tostring(failure), "\n")
  io.flush()
end
