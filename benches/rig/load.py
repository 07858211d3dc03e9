"""Load from Debian's generators: wrk as fast as the other side can, h2load at a fixed rate."""

import dataclasses
import os
import pathlib
import re
import subprocess

from rig.usage import cpu_seconds

HERE = pathlib.Path(__file__).parent
USERS = 1000


class Failed(Exception):
    """A window in which requests failed: it says nothing of what a request costs."""


@dataclasses.dataclass(frozen=True)
class Ask:
    """What is asked of a proxy."""

    path: str
    connections: int
    headers: tuple = ()
    modulus: int = 1
    """`{n}` in the path counts from 0 to below this."""
    tls: bool = False
    """Whether it is asked over TLS."""

    @property
    def scheme(self):
        """As its URL has it."""
        return "https" if self.tls else "http"


def cpu_per_request(pid, port, ask, core, seconds):
    """µs of a process's CPU for each request, with as many as it takes: one window of wrk."""
    count = max(USERS, ask.modulus)
    script = [HERE / "requests.lua", count, ask.path, ask.modulus, *ask.headers]
    used, requests = flood(pid, port, script, core, seconds, ask.connections, ask.scheme)
    return used / requests * 1e6


def flood(pid, port, script, core, seconds, connections, scheme="http"):
    """Has wrk send what a script and its arguments say, as fast as the other side can. Seconds of the process's CPU, and the requests."""
    command = [*_pinned(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script[0]]
    before = cpu_seconds(pid)
    # Every script says what it counted by `counted.lua`.
    output = _run([*command, f"{scheme}://127.0.0.1:{port}/", "--", *script[1:]], LUA_PATH=f"{HERE}/?.lua;;")
    used = cpu_seconds(pid) - before
    requests, failed = map(int, re.search(r"^counted (\d+) failed (\d+)$", output, re.MULTILINE).groups())
    if failed or not requests:
        raise Failed(f"{failed} of {requests} requests failed:\n{output}")
    return used, requests


def cpu_per_handshake(pid, port, kind, core, seconds):
    """µs of a process's CPU for each handshake: `new`, or `reuse` of the session before it. OpenSSL's own client, one after the other."""
    before = cpu_seconds(pid)
    output = _run([*_pinned(core), "openssl", "s_time", "-connect", f"127.0.0.1:{port}", f"-{kind}", "-time", seconds])
    used = cpu_seconds(pid) - before
    # With `reuse` the first figure is of the one connection before them all.
    handshakes = int(re.findall(r"^(\d+) connections in \d+ real seconds", output, re.MULTILINE)[-1])
    return used / handshakes * 1e6


def latencies(port, ask, users, core, seconds, rate, directory):
    """The latencies in µs, in no order, of a fixed number of requests a second, shared by these users.

    Each user has an h2load of their own, since it sends the same fields with every request. A client that
    waits for an answer is late with its next request: with many clients, each of which sends seldom, it hardly ever is.
    """
    running = []
    for number, (user, share) in enumerate(users):
        clients = max(1, round(ask.connections * share))
        log = directory / f"h2load-{number}.log"
        log.unlink(missing_ok=True)
        command, ramp = _spread(clients, rate * share, seconds)
        command = [*_pinned(core), *command, f"--log-file={log}", "-H", f"x-user-id: {user}"]
        for field in ask.headers:
            command += ["-H", field]
        url = f"{ask.scheme}://127.0.0.1:{port}{ask.path.replace('{n}', '0')}"
        process = subprocess.Popen(list(map(str, [*command, url])),
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        running.append((process, log, ramp))
    took = []
    for process, log, ramp in running:
        output, _ = process.communicate()
        rows = [line.split("\t") for line in log.read_text().splitlines()] if log.exists() else []
        if process.returncode or not rows or any(row[1] != "200" for row in rows):
            raise Failed(f"h2load failed:\n{output}")
        begin = min(int(row[0]) for row in rows) + ramp * 1e6
        took += [int(row[2]) for row in rows if begin <= int(row[0]) < begin + seconds * 1e6]
    return took


def _spread(clients, rate, seconds):
    """An h2load whose clients send at even distances, and the seconds until the last of them has begun.

    Left alone, they would all send at the same moments, and what is measured would be a queue of their own making: each
    begins one period and one client's share of a period after the one before it.
    """
    period = clients / rate
    step = max(1, round(period * (1 + 1 / clients) * 1000))
    ramp = clients * step / 1000
    requests = clients * (round((ramp + seconds) / period) + 1)
    return ["h2load", "--h1", "-t1", f"-c{clients}", f"-n{requests}", "-r1", f"--rate-period={step}ms",
            f"--rps={1 / period:.6f}"], ramp


def _pinned(core):
    return ["taskset", "-c", core]


def _run(command, **environment):
    done = subprocess.run(list(map(str, command)), env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[3]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
