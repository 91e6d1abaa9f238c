-- SPDX-License-Identifier: MIT OR Apache-2.0
--
-- Shared by the Lua tests: the list of tests, checks that print the values, temporary files, and child processes.
-- This is plain Lua for 5.1 to 5.4 and LuaJIT.

local support = {}

support.has_integers = math.type ~= nil
support.is_54 = _VERSION >= "Lua 5.4"
support.unpack = table.unpack or unpack
support.load = loadstring or load

---------------------------------------------------------------------------------------------------------------- tests

local tests = {}

--- Add a test, named after the promise that it holds.
function support.test(name, body)
  tests[#tests + 1] = { name = name, body = body }
end

local skipped = {}

--- Skip the running test, for a reason that a user would accept.
function support.skip(reason)
  error({ skip = reason }, 0)
end

local function explain(problem)
  if type(problem) == "table" then return problem end
  return debug.traceback(tostring(problem), 2)
end

--- Run every test. Raises an error at the end if one failed, so that the interpreter closes its state and then fails.
function support.run(title, only)
  local failed, passed = 0, 0
  for _, test in ipairs(tests) do
    if not only or test.name:find(only, 1, true) then
      local good, problem = xpcall(test.body, explain)
      if good then
        passed = passed + 1
      elseif type(problem) == "table" and problem.skip then
        skipped[#skipped + 1] = test.name .. ": " .. problem.skip
      else
        failed = failed + 1
        io.stderr:write("FAILED: ", test.name, "\n", tostring(problem), "\n")
      end
    end
  end
  support.remove_files()
  for _, line in ipairs(skipped) do print("left out: " .. line) end
  print(("%s: %d passed, %d failed, %d left out"):format(title, passed, failed, #skipped))
  if failed > 0 then error("tests failed", 0) end
  if passed == 0 then error("there is no such test", 0) end
end

--------------------------------------------------------------------------------------------------------------- checks

local function show(value)
  if type(value) ~= "string" then return tostring(value) end
  return ("%q"):format(#value > 200 and value:sub(1, 200) .. "..." or value)
end

function support.equal(got, expected, what)
  if got ~= expected then
    error(("%s: got %s, expected %s"):format(what or "value", show(got), show(expected)), 2)
  end
end

--- Checks that both have the same number of results and the same values.
function support.same(got, expected, what)
  if got.n ~= expected.n then error(("%s: got %d results, expected %d"):format(what, got.n, expected.n), 2) end
  for i = 1, got.n do
    if got[i] ~= expected[i] then
      error(("%s: result %d is %s, expected %s"):format(what, i, show(got[i]), show(expected[i])), 2)
    end
    if math.type and math.type(got[i]) ~= math.type(expected[i]) then
      error(("%s: result %d is of type %s"):format(what, i, tostring(math.type(got[i]))), 2)
    end
  end
end

function support.pack(...)
  return { n = select("#", ...), ... }
end

--- Checks that a call raises an error whose message has all the given parts. Returns the message.
function support.raises(parts, body, ...)
  local good, message = pcall(body, ...)
  if good then error("no error was raised", 2) end
  if type(message) ~= "string" then error("the error is no string: " .. tostring(message), 2) end
  if type(parts) == "string" then parts = { parts } end
  for _, part in ipairs(parts) do
    if not message:find(part, 1, true) then
      error(("the error %s does not say %s"):format(show(message), show(part)), 2)
    end
  end
  return message
end

---------------------------------------------------------------------------------------------------------------- files

local files = {}

function support.path()
  local path = os.tmpname()
  files[#files + 1] = path
  return path
end

--- Makes a temporary file with these contents. Returns its path.
function support.file(contents)
  local path = support.path()
  local file = assert(io.open(path, "wb"))
  assert(file:write(contents))
  assert(file:close())
  return path
end

function support.remove_files()
  for _, path in ipairs(files) do os.remove(path) end
  files = {}
end

--- Returns a text in which every line has its number.
function support.numbered_lines(count)
  local lines = {}
  for i = 1, count do lines[i] = ("line %09d of the text\n"):format(i) end
  return table.concat(lines)
end

------------------------------------------------------------------------------------------------------------- children

--- Returns the path of the interpreter that runs this script.
function support.interpreter()
  local named = os.getenv("MMAPGUARD_LUA")
  if named then return named end
  local lowest = 0
  while arg[lowest - 1] do lowest = lowest - 1 end
  return arg[lowest]
end

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end
support.quote = quote

--- Run a command line. Returns its output and its exit status as in a shell: 128 plus the signal if a signal killed
--- it.
function support.execute(command)
  local pipe = assert(io.popen("{ " .. command .. "; } 2>&1; echo \"status:$?\"", "r"))
  local output = pipe:read("*a")
  pipe:close()
  local text, status = output:match("^(.*)status:(%d+)\n$")
  return text, tonumber(status)
end

--- Run a Lua script of this directory in a process of its own.
function support.child(script, ...)
  local words = { quote(support.interpreter()), quote(support.directory .. script) }
  for _, word in ipairs({ ... }) do words[#words + 1] = quote(tostring(word)) end
  return support.execute(table.concat(words, " "))
end

support.directory = (arg and arg[0] or ""):match("^(.*/)[^/]*$") or "./"

--- Returns a value that calls a function when the collector finds it.
function support.with_finalizer(body)
  if not newproxy then return setmetatable({}, { __gc = body }) end
  local proxy = newproxy(true)
  getmetatable(proxy).__gc = body
  return proxy
end

-- Returns a function for pseudo-random numbers that are the same on every machine.
function support.random(seed)
  local state = seed
  return function(least, most)
    state = (state * 16807) % 2147483647
    return least + state % (most - least + 1)
  end
end

return support
