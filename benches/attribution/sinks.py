"""What it costs a request that sinks are down: the latencies of new users, whose exposures go to sinks that take them, and to
sinks that do not."""

import http.client
import socket
import time

from attribution import gateway
from rig import results

REQUESTS = 1000
RATE = 500


def measure(options, programs, folder, ports, core):
    """A table of latencies, from windows that take turns."""
    silent = programs.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))
    refuses = programs.enter_context(socket.socket())
    refuses.bind(("127.0.0.1", 0))
    takes = f"http://127.0.0.1:{ports['stable']}/v1/traces"
    urls = {
        "sinks that take all": [takes, takes],
        "one refuses, one says nothing": [f"http://127.0.0.1:{each.getsockname()[1]}/" for each in (refuses, silent)],
    }
    gateways = {
        name: gateway.start(programs, options.serin, folder, f"g{number}", ports, core, _attribution(two))
        for number, (name, two) in enumerate(urls.items())
    }
    taken = {name: [] for name in gateways}
    for turn in range(-1, options.pairs):
        for name in list(gateways)[:: 1 if turn % 2 else -1]:
            window = _window(gateways[name].port, (turn + 1) * REQUESTS)
            if turn >= 0:
                taken[name].append(window)
    rows = []
    for name, windows in taken.items():
        middle = [f"{results.median(window[column] for window in windows):.0f}" for column in range(3)]
        sent = [gateways[name].metric("serin_exposures_total", sink=sink, result="sent") for sink in ("one", "two")]
        rows.append([name, *middle, f"{sum(sent):.0f}", f"{gateways[name].metric('serin_exposures_total', result='dropped'):.0f}"])
    head = [f"µs, median of {options.pairs} windows of {REQUESTS} new users", "p50", "p99", "p99.9", "sent to sinks", "dropped"]
    return results.table(head, rows)


def _attribution(urls):
    one, two = urls
    secret = f"secret: {gateway.KEY}"
    return [
        "attribution:", gateway.EXPOSURES, gateway.RECEIPTS, "  sinks:",
        f"    - {{ name: one, webhook: {{ url: '{one}', {secret}, format: cloudevents }} }}",
        f"    - {{ name: two, webhook: {{ url: '{two}', {secret}, format: cloudevents }} }}",
    ]


def _window(port, first):
    """p50, p99 and p99.9 in µs of requests at a fixed rate over one connection, each of another user."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    took, begun = [], time.perf_counter()
    for number in range(REQUESTS):
        due = begun + number / RATE
        while (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        sent = time.perf_counter()
        connection.request("GET", "/100", headers={"X-User-Id": f"user-{first + number}"})
        answer = connection.getresponse()
        answer.read()
        took.append((time.perf_counter() - sent) * 1e6)
        if answer.status != 200:
            raise SystemExit(f"a request failed: {answer.status}")
    took.sort()
    return [results.percentile(took, share) for share in (0.5, 0.99, 0.999)]
