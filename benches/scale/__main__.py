"""`make bench-scale`: what a request costs against the size of what it is decided on. Asserts nothing that is timed.

The gateways of a series run beside each other on one core, with load generator and origin, and windows alternate between
them: what differs between two rows is the size. Run it as `scripts/scale`.
"""

import argparse
import contextlib
import os
import pathlib
import socket
import tempfile

from rig import load, origin, results, usage
from rig.programs import SERIN, free_ports, running
from scale.series import SERIES


def main():
    """Measures every series and prints a table each."""
    options = _options()
    machine = results.machine()
    core = max(os.sched_getaffinity(0))
    tables = []
    with tempfile.TemporaryDirectory(prefix="serin-scale-") as temporary, contextlib.ExitStack() as programs:
        directory = pathlib.Path(temporary)
        ports = origin.start(programs, directory, core)
        for series in SERIES:
            tables.append(_measure(series, ports, core, options, directory))
            print(f"\n{tables[-1]}", flush=True)
    if options.write:
        results.write("scale", "\n\n".join([f"`make bench-scale` on {machine}.", *tables]))


def _options():
    parser = argparse.ArgumentParser(prog="scale", description=__doc__)
    parser.add_argument("--window", type=int, default=2, help="seconds of a window")
    parser.add_argument("--rounds", type=int, default=5, help="windows of each size")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave benches/RESULTS.md as it is")
    return parser.parse_args()


def _measure(series, ports, core, options, directory):
    """The table of a series."""
    with contextlib.ExitStack() as programs:
        started = {size: _start(programs, series, size, ports, core, directory) for size in series.sizes}
        cpu = {size: [] for size in series.sizes}
        for turn in range(-1, options.rounds):
            for size, (pid, port) in started.items():
                # The first round warms up.
                used = load.cpu_per_request(pid, port, series.ask(size), core, 1 if turn < 0 else options.window)
                if turn >= 0:
                    cpu[size].append(used)
        rows = [
            [f"{size:,}", f"{results.median(cpu[size]):.1f}", f"{min(cpu[size]):.1f}", f"{usage.resident_mib(pid):.0f}"]
            for size, (pid, _) in started.items()
        ]
    table = results.table(["", "CPU µs/request, median", "least", "memory MiB"], rows)
    return f"**{series.name}**\n\n{table}"


def _start(programs, series, size, ports, core, directory):
    """Starts the gateway of a size, with the connections that rest. Gives its process and its port."""
    port, admin = free_ports(2)
    config = directory / f"serin-{port}.yaml"
    config.write_text("\n".join([
        *series.config(size, ports),
        "identity: { user_id: [{ header: x-user-id, trust: anyone }] }",
        f"listeners: ['127.0.0.1:{port}']",
        f"admin: 127.0.0.1:{admin}",
        "server: { threads: 1, limits: { requests_per_connection: 1000000000 }, timeouts: { idle: 1h } }",
        "logging: { level: warn, access: off }",
    ]))
    command = [SERIN, "run", "-c", config]
    pid = programs.enter_context(running(command, port, core, directory / f"serin-{port}.log"))
    for _ in range(series.resting(size)):
        _rest(programs, port)
    return pid, port


def _rest(programs, port):
    """Opens a connection, has one request answered on it, and leaves it open."""
    connection = programs.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
    connection.sendall(b"GET /100 HTTP/1.1\r\nHost: api.example.com\r\nX-User-Id: resting\r\n\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\n" + b"x" * 100):
        piece = connection.recv(4096)
        if not piece:
            raise SystemExit("a connection was closed that should have rested")
        answer += piece


if __name__ == "__main__":
    main()
