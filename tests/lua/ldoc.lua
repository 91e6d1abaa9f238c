-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Checks the pages that LDoc makes: each function, method and option has a place, and no markup is left in the text.
-- The tables of the README name each function and method, too.
--
--     lua ldoc.lua LDOC BINDING FOLDER

local ldoc, binding, folder = arg[1], arg[2], arg[3]
local mg = require "mmapguard"

-- LDoc looks for the files of the project in the working directory.
local command = ("cd '%s' && env -u LUA_PATH -u LUA_CPATH '%s' --fatalwarnings --dir '%s' . 2>&1; echo status:$?"):format(binding, ldoc, folder)
local pipe = assert(io.popen(command))
local said = pipe:read("a")
pipe:close()
assert(said:find("status:0", 1, true) and not said:find("not found", 1, true), said)

local function contents(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end
local page = contents(folder .. "/index.html")
local readme = contents(binding .. "/README.md")

local function has(anchor)
  assert(page:find(('<a name = "%s"></a>'):format(anchor), 1, true), anchor .. " has no place on the page")
  assert(readme:find("`" .. anchor .. "%f[^%w_.:]"), anchor .. " is in no table of the README")
end

local count = 0
for name, value in pairs(mg) do
  if type(value) == "function" then
    has(name)
    count = count + 1
  end
end
local region <close> = assert(mg.open(binding .. "/config.ld"))
local index, upvalue = debug.getmetatable(region).__index, 1
local methods
repeat
  local name, value = debug.getupvalue(index, upvalue)
  if type(value) == "table" and value.unpack then methods = value end
  upvalue = upvalue + 1
until not name
for name in pairs(methods) do
  has("region:" .. name)
  count = count + 1
end
has("region.data")
assert(count >= 21, count .. " functions")

-- Checks each member of the options that a script can set, and each flag for opening.
local options = 0
local function has_option(name)
  assert(page:find(("<code>%s</code>"):format(name), 1, true), "the option " .. name .. " is not on the page")
  options = options + 1
end
for name in contents(binding .. "/../common/fields.inc"):gmatch("MMG_OPTIONS_FIELD%([^,]+, ([%w_]+)%)") do
  if name ~= "flags" and name ~= "reserved" then has_option(name) end
end
for name in pairs(mg) do
  if name:find("^FLAG_") then has_option(name:sub(6):lower()) end
end
assert(options >= 24, options .. " options")

local text = page:gsub("<pre.-</pre>", "")
for _, raw in ipairs({ "**", "`", "&lt;p", "<I4" }) do
  local at = text:find(raw, 1, true)
  assert(not at, at and "left as it is: " .. text:sub(math.max(1, at - 60), at + 60))
end
print(count .. " functions and methods have their place")
