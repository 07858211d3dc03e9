-- What a script for wrk says at its end, as `rig.load` reads it.
function done(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("counted %d failed %d\n", summary.requests, failed))
end
