-- The requests that wrk sends in turn, one user after the other. Arguments: how many, the path (`{n}` in it stands for the
-- request's number modulo the third argument), that modulus, then further header fields as `name: value`.
-- They are written before the first is sent: nothing is formatted while it is measured.
require("counted")

local requests, turn = {}, 0

function init(args)
  local count, path, modulus = tonumber(args[1]), args[2], tonumber(args[3])
  local headers = { Host = "api.example.com" }
  for i = 4, #args do
    local name, value = args[i]:match("^([^:]+): (.*)$")
    headers[name] = value
  end
  for n = 1, count do
    headers["X-User-Id"] = "user-" .. n
    requests[n] = wrk.format("GET", path:gsub("{n}", tostring(n % modulus)), headers)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
