"""Ten thousand registrations, and what it costs a gateway that they are renewed."""

import json
import re
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from gateways import house
from rig import results, usage
from rig.programs import await_fact

SERVICES = 100
# A pipeline renews every third of it.
TTL = 900


def measure(options, gateways, redis, canary):
    """A table of what registering costs, and one of what renewing costs, on the first of the gateways."""
    first = gateways[0]
    rows = [_row("none is registered", first, _busy(first, options.seconds))]
    names = [f"s{number % SERVICES}/s{number % SERVICES}.c{number}" for number in range(options.registrations)]
    rows.append(_row(f"{len(names)} are registered, {options.pipelines} at a time", first,
                     _registering(first, names, canary.url, options.pipelines)))
    await_fact(lambda: _known(first, len(names)), "all registrations to be ready", 300)
    for other in gateways[1:]:
        await_fact(lambda told=other: _known(told, len(names)), "all registrations at the others", 60)
    rows.append(_row("nothing happens", first, _busy(first, options.seconds)))
    own = len(names) * 3 / TTL
    with _Renewals(own, lambda turn: _renew(first, names[turn % len(names)]), options.pipelines) as renewals:
        rows.append(_row(f"{own:.0f} renewals/s by itself", first, _busy(first, options.seconds)))
    told = f"answers to {renewals.count} of these: p50 {renewals.percentile(0.5):.0f} ms, p99 {renewals.percentile(0.99):.0f} ms"
    writer = _Writer(redis, names)
    with _Renewals(own * 20, writer.renew, 1) as renewals:
        rows.append(_row(f"{own * 20:.0f} renewals/s by others", first, _busy(first, options.seconds)))
    told += f"; of the others' there were {renewals.count / renewals.took:.0f}/s"
    costs = results.table(["on one gateway", "CPU, % of a core", "MiB", "generations"], rows)
    return f"{costs}\n\n{told}\n\n{_paired(options, first, own * 20, writer)}"


def _paired(options, gateway, rate, writer):
    """What requests cost without and with renewals, window by window in turn."""
    windows = {False: [], True: []}
    for turn in range(2 * options.pairs):
        with_renewals = turn % 2 == 1
        if with_renewals:
            with _Renewals(rate, writer.renew, 1):
                windows[True].append(_window(options, gateway))
        else:
            windows[False].append(_window(options, gateway))
    ratios = [busy[0] / quiet[0] for quiet, busy in zip(windows[False], windows[True])]
    rows = []
    for name, each in [("without renewals", windows[False]), ("with", windows[True])]:
        cpu, p50, p99 = (statistics.median(one[column] for one in each) for column in range(3))
        rows.append([name, f"{cpu:.1f}", f"{p50:.2f}", f"{p99:.2f}"])
    head = [f"requests, {options.pairs} pairs of windows", "CPU µs/request", "p50 ms", "p99 ms"]
    return (f"{results.table(head, rows)}\n\nCPU of the threads that serve requests; ratio within the pairs: median "
            f"{statistics.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")


def _window(options, gateway):
    client, took = house.Client(gateway.port), []
    before = _serving(gateway.process.pid)
    end = time.monotonic() + options.window
    while time.monotonic() < end:
        begun = time.monotonic()
        status, _ = client.ask("GET", "/", user=f"user-{len(took) % 100}")
        if status != 200:
            raise SystemExit(f"a request failed: {status}")
        took.append((time.monotonic() - begun) * 1000)
    used = _serving(gateway.process.pid) - before
    took.sort()
    return used / len(took) * 1e6, results.percentile(took, 0.5), results.percentile(took, 0.99)


def _serving(pid):
    """Seconds of CPU of the threads that serve requests."""
    return sum(seconds for name, seconds in usage.cpu_by_thread(pid) if house.SERVES in name)


def _busy(gateway, seconds):
    return _over(gateway, lambda: time.sleep(seconds))


def _over(gateway, work):
    generation = gateway.told("/api/v1/status")["generation"]
    cpu, begun = usage.cpu_seconds(gateway.process.pid), time.monotonic()
    work()
    took = time.monotonic() - begun
    used = usage.cpu_seconds(gateway.process.pid) - cpu
    return used / took, gateway.told("/api/v1/status")["generation"] - generation, took


def _row(what, gateway, told):
    share, generations, took = told
    memory = usage.resident_mib(gateway.process.pid)
    return [f"{what}, {took:.0f} s", f"{100 * share:.1f}", f"{memory:.0f}", generations]


def _registering(gateway, names, url, pipelines):
    rings = [{"name": "few", "rollout": "0%"}]

    def register(part):
        client = house.Client(gateway.port_of_admin)
        for name in part:
            service, canary = name.split("/")
            path = f"/api/v1/services/{service}/canaries/{canary}"
            client.order("PUT", path, {"url": url, "ttl": f"{TTL}s", "owner": "team@example.com", "rings": rings})

    def all_of_them():
        with ThreadPoolExecutor(pipelines) as pool:
            list(pool.map(register, [names[number::pipelines] for number in range(pipelines)]))
    return _over(gateway, all_of_them)


def _known(gateway, count):
    told = [gateway.told(f"/api/v1/services/s{number}/canaries") for number in range(SERVICES)]
    ready = sum(canary["state"] == "ready" for one in told for canary in one["canaries"])
    return ready == count


def _renew(gateway, name):
    service, canary = name.split("/")
    house.Client(gateway.port_of_admin).order("POST", f"/api/v1/services/{service}/canaries/{canary}/renew")


class _Writer:
    """Renews in Redis as another gateway does: with the same script."""

    def __init__(self, redis, names):
        self.redis = house.Redis(redis)
        source = (house.ROOT / "src/state/shared/wire.rs").read_text()
        self.script = re.search(r'const WRITE: &str = r"(.*?)";', source, re.DOTALL)[1]
        base = "serin:{s}:v1"
        self.keys = [f"{base}:registrations", f"{base}:registrations:revision", f"{base}:changes"]
        stored = self.redis.ask("HGETALL", self.keys[0])
        records = dict(zip(stored[::2], stored[1::2]))
        self.records = [(name, json.loads(records[name].partition(" ")[2])) for name in names]

    def renew(self, turn):
        """One of them after the other."""
        name, record = self.records[turn % len(self.records)]
        now = int(time.time() * 1000)
        record["renewed_at_unix_ms"], record["expires_at_unix_ms"] = now, now + TTL * 1000
        text, told = json.dumps(record), json.dumps([[name, record]])
        answer = self.redis.ask("EVAL", self.script, 2, self.keys[0], self.keys[1], self.keys[2], "registrations", 0, told,
                                name, "any", text)
        if answer[0] != "stored":
            raise SystemExit(f"Redis: {answer}")


class _Renewals:
    """Renews at a rate for as long as its block lasts."""

    def __init__(self, rate, renew, threads):
        self.rate, self.renew = rate / threads, renew
        self.over = threading.Event()
        self.took_ms, self.turn, self.lock = [], 0, threading.Lock()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self):
        self.begun = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        self.took = time.monotonic() - self.begun
        self.took_ms.sort()

    @property
    def count(self):
        """How many there were."""
        return len(self.took_ms)

    def percentile(self, share):
        """How long one took, in ms."""
        return results.percentile(self.took_ms, share)

    def _run(self):
        due = time.monotonic()
        while not self.over.is_set():
            with self.lock:
                turn, self.turn = self.turn, self.turn + 1
            begun = time.monotonic()
            self.renew(turn)
            self.took_ms.append((time.monotonic() - begun) * 1000)
            due = max(due + 1 / self.rate, time.monotonic() - 1)
            time.sleep(max(0, due - time.monotonic()))
