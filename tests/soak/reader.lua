-- SPDX-License-Identifier: MIT OR Apache-2.0
-- A reader of the soak in Lua: `reader.lua MODULE FOLDER...`. It reads files of storm.py, one after another. Either a call
-- ends with one of the errors that are documented for a file that changes, or the bytes are those of the file.
-- It prints a line of names and numbers every few seconds, until it is killed.
local mg = require(arg[1])

local FILES = 5000
local EXPECTED = {
  "was cut short", "was truncated", "was written to", "No such file", "is locked elsewhere", "stable", "shrank", "shrinking",
}
local folders = {}
for i = 2, #arg do folders[i - 1] = arg[i] end
local counts = { operations = 0, told = 0 }

-- The ways to read: each returns all bytes.
local ways = {
  function(region) return region:sub(1) end,
  function(region)
    local parts = {}
    for block in region:lines(1000) do parts[#parts + 1] = block end
    return table.concat(parts)
  end,
  function(region)
    local span = region:span()
    local bytes = span:sub(1, -1)
    span:close()
    return bytes
  end,
  function(region)
    if region:find("needle", 1, true) then error("there is a needle") end
    return region:sub(1, #region)
  end,
}

local function is_expected(message)
  message = tostring(message)
  for _, words in ipairs(EXPECTED) do
    if message:find(words, 1, true) then return true end
  end
  return false
end

local function read(number)
  local path = folders[number % #folders + 1] .. "/" .. number
  local region, message = mg.open(path, { stable = math.random(5) == 1, on_change = "raise" })
  if not region then error(message, 0) end
  local good, bytes = pcall(ways[math.random(#ways)], region)
  region:close()
  if not good then error(bytes, 0) end
  local mark = 8 + number % 8
  for i = 1, #bytes, 97 do
    if math.floor(bytes:byte(i) / 16) ~= mark then
      io.stderr:write(("file %d has the byte %d at %d, and nothing is reported\n"):format(number, bytes:byte(i), i))
      os.exit(1)
    end
  end
end

local shown = os.time()
while true do
  local good, message = pcall(read, math.floor(math.random() ^ 2 * FILES))
  if good then
    counts.operations = counts.operations + 1
  elseif is_expected(message) then
    counts.told = counts.told + 1
  else
    error(message, 0)
  end
  if os.time() - shown >= 5 then
    shown = os.time()
    print(("now operations=%d told=%d losses=%d"):format(counts.operations, counts.told, mg.stats().losses))
    io.stdout:flush()
  end
end
