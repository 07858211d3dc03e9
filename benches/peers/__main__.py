"""`make bench`: the same job on Serin and its peers, and the table of what it costs.

Load generator, proxy and origin share one core; windows alternate between the proxies, so that whatever else the
machine does meets all of them alike. Run it as `scripts/bench-peers`.
"""

import argparse
import contextlib
import os
import pathlib
import tempfile
import time

from peers import report
from peers.jobs import JOBS, TLS
from peers.proxies import PROXIES
from peers.same import split_users
from rig import certificate, load, origin, results, usage
from rig.programs import running


def main():
    """Measures every job and prints a table each."""
    options = _options()
    end = time.monotonic() + options.budget
    machine = results.machine()
    core = max(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="serin-bench-") as temporary, contextlib.ExitStack() as programs:
        directory = pathlib.Path(temporary)
        certificate.make(directory)
        ports = origin.start(programs, directory, core)
        proxies = [proxy for proxy in PROXIES if proxy.is_there()]
        started = {proxy.name: _start(programs, proxy, ports, directory, core) for proxy in proxies}
        tables = []
        for left, job in zip(range(len(JOBS), 0, -1), JOBS):
            job_end = time.monotonic() + (end - time.monotonic()) / left
            figures = _measure(job, started, core, options, directory, job_end)
            tables.append(report.job(job, figures))
            print(f"\n{tables[-1]}", flush=True)
        tables.append(report.handshakes(_handshakes(started, core, options)))
        print(f"\n{tables[-1]}", flush=True)
    text = report.whole(machine, proxies, tables)
    if options.write:
        results.write("peers", text)


def _options():
    parser = argparse.ArgumentParser(prog="bench-peers", description=__doc__)
    parser.add_argument("--budget", type=float, default=540, help="seconds for everything; windows are left out beyond")
    parser.add_argument("--window", type=int, default=3, help="seconds of a window")
    parser.add_argument("--rounds", type=int, default=7, help="windows of each proxy in each job, at most")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave benches/RESULTS.md as it is")
    return parser.parse_args()


def _start(programs, proxy, ports, directory, core):
    """Starts a proxy and checks that it does the job. Gives its process, its ports, and users with their shares."""
    command, own = proxy.command(ports, directory)
    pid = programs.enter_context(running(command, own[0], core, directory / f"{proxy.name}.log"))
    if not proxy.splits:
        return pid, own, [("user-1", 1.0)]
    on_stable, on_canary = split_users(proxy.name, own[0])
    return pid, own, [(on_stable, 0.9), (on_canary, 0.1)]


def _handshakes(started, core, options):
    """µs of CPU for each handshake, by proxy and kind, of rounds of windows as those of jobs."""
    figures = {(name, kind): [] for name in TLS for kind in ("new", "reuse")}
    for _ in range(min(options.rounds, 5)):
        for name, kind in figures:
            pid, (_, port), _ = started[name]
            figures[name, kind].append(load.cpu_per_handshake(pid, port, kind, core, options.window))
    return figures


def _measure(job, started, core, options, directory, end):
    """Rounds of windows, each with every proxy in turn: first as fast as they can, then at the job's rate."""
    figures = {name: report.Figures() for name in job.of if name in started}
    for name in figures:
        usage.forget_peak(started[name][0])
        with contextlib.suppress(load.Failed):
            pid, ports, _ = started[name]
            load.cpu_per_request(pid, ports[job.ask.tls], job.ask, core, 1)
    names = list(figures)
    for turn in range(options.rounds):
        begun = time.monotonic()
        # Nobody is always the first after a pause, nor always behind the same neighbour. A window of latencies takes
        # longer than one of CPU: every second round must do.
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            _window(figures[name], name, started[name], job, core, options, directory, turn % 2 == 0)
        if time.monotonic() + (time.monotonic() - begun) > end:
            break
    for name, figure in figures.items():
        figure.peak = usage.peak_mib(started[name][0])
    return figures


def _window(figure, name, program, job, core, options, directory, with_latencies):
    """One proxy's turn. A window with failed requests has no figure, but the report says that there was one."""
    pid, ports, users = program
    port, cpu = ports[job.ask.tls], None
    try:
        cpu = load.cpu_per_request(pid, port, job.ask, core, options.window)
        if with_latencies:
            took = load.latencies(port, job.ask, users, core, options.window, job.rate, directory)
            figure.took.append(sorted(took))
    except load.Failed as failed:
        figure.failed += 1
        print(f"{name}, {job.name}: {failed}", flush=True)
    figure.cpu.append(cpu)


if __name__ == "__main__":
    main()
