"""What attribution costs a request: exposures to a file, receipts (HS256) and traces of 1 % of requests."""

import http.client
import pathlib
import statistics

from attribution import gateway
from rig import load, results

USERS = 1000
CONNECTIONS = 8
SCRIPT = pathlib.Path(__file__).with_name("users.lua")


def measure(options, programs, folder, ports, core):
    """A table of the CPU per request with all of it off and on, in windows that take turns."""
    off = gateway.start(programs, options.serin, folder, "off", ports, core)
    on = gateway.start(programs, options.serin, folder, "on", ports, core, [
        "attribution:", gateway.EXPOSURES, gateway.RECEIPTS,
        f"  sinks: [{{ name: lake, file: {{ path: '{folder / 'lake'}' }} }}]",
        f"tracing: {{ otlp: 'http://127.0.0.1:{ports['stable']}', sample: 1% }}",
    ])
    known = folder / "users"
    known.write_text("".join(f"user-{number}\t{_receipt(on.port, number)}\n" for number in range(USERS)))
    rows = []
    for who, script in [
        (f"{USERS} users who come back with their receipts", lambda turn: [SCRIPT, 0, known]),
        ("users who were never seen", lambda turn: [SCRIPT, (turn + 1) * 1_000_000]),
    ]:
        rows.append([who, *_paired(off, on, script, core, options)])
    head = ["", "off, µs of CPU", "on", f"ratio, median of {options.pairs} pairs", "from", "to"]
    return results.table(head, rows)


def _paired(off, on, script, core, options):
    taken = {off: [], on: []}
    for turn in range(-1, options.pairs):
        for one in (off, on) if turn % 2 else (on, off):
            used, requests = load.flood(one.pid, one.port, script(turn), core, options.window, CONNECTIONS)
            # The first round warms up.
            if turn >= 0:
                taken[one].append(used / requests * 1e6)
    ratios = [with_it / without for without, with_it in zip(taken[off], taken[on])]
    least, _, most = statistics.quantiles(ratios, n=4)
    medians = [f"{results.median(taken[one]):.1f}" for one in (off, on)]
    return [*medians, f"{results.median(ratios):.3f}", f"{least:.3f}", f"{most:.3f}"]


def _receipt(port, number):
    """The cookie that a user is given."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/100", headers={"X-User-Id": f"user-{number}"})
    answer = connection.getresponse()
    answer.read()
    cookie = answer.getheader("Set-Cookie")
    if not cookie:
        raise SystemExit(f"user-{number} is given no receipt")
    return cookie.partition(";")[0]
