"""What many users at once cost: each comes once, as fast as they are served, and every one is an exposure."""

import itertools
import pathlib
import time

from attribution import gateway
from rig import load, results, usage
from rig.programs import await_fact

SCRIPT = pathlib.Path(__file__).with_name("users.lua")
CONNECTIONS = 64
# More than come in a window.
APART = 10_000_000


def measure(options, programs, folder, ports, core):
    """A table of what came, what became of it, and of memory."""
    lake = folder / "lake"
    one = gateway.start(programs, options.serin, folder, "one", ports, core, [
        "attribution:", gateway.EXPOSURES, gateway.RECEIPTS, f"  sinks: [{{ name: lake, file: {{ path: '{lake}' }} }}]",
    ])
    empty = usage.resident_mib(one.pid)
    requests, serving, cpu = 0, 0.0, 0.0
    for turn in itertools.count():
        if requests >= options.users:
            break
        # wrk ends by time alone: as much as is left at this rate.
        rate = requests / serving if serving else 10_000
        seconds = max(1, min(10, round((options.users - requests) / rate)))
        begun = time.monotonic()
        used, answered = load.flood(one.pid, one.port, [SCRIPT, turn * APART], core, seconds, CONNECTIONS)
        requests, serving, cpu = requests + answered, serving + time.monotonic() - begun, cpu + used
    peak = usage.peak_mib(one.pid)
    counted = lambda result: one.metric("serin_exposures_total", result=result)
    # Each is recorded or counted as dropped; what is recorded comes to the file.
    await_fact(lambda: counted("sent") >= counted("recorded") > 0, "the file to have what was recorded", 120, 0.05)
    head = ["users", "requests/s", "failed", "recorded", "dropped", "CPU µs/request", "MiB before", "MiB at most"]
    row = [f"{requests:,}", f"{requests / serving:,.0f}", 0, f"{counted('recorded'):,.0f}", f"{counted('dropped'):,.0f}",
           f"{cpu / requests * 1e6:.1f}", f"{empty:.0f}", f"{peak:.0f}"]
    return results.table(head, [row])
