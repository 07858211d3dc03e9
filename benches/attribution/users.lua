-- Requests of users, each once, for as long as wrk runs: the argument is the number of the first. With a second argument,
-- a file: the users who are in it (a line each: ID, a tab, cookies), one after the other, again and again.
require("counted")

local turn, known = 0, {}

local function request_of(user, cookies)
  local headers = { Host = "api.example.com", ["X-User-Id"] = user, Cookie = cookies }
  return wrk.format("GET", "/100", headers)
end

function init(args)
  turn = tonumber(args[1])
  if args[2] then
    for line in io.lines(args[2]) do
      local user, cookies = line:match("^(.*)\t(.*)$")
      known[#known + 1] = request_of(user, cookies)
    end
  end
end

function request()
  turn = turn + 1
  if #known > 0 then
    return known[turn % #known + 1]
  end
  return request_of("user-" .. turn, nil)
end
