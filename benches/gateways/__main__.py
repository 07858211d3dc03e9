"""`make bench-gateways`: how soon what is done at one of three gateways is so at all of them, and what ten thousand registrations
cost them. Judges nothing by time, and fails when a change does not arrive, or requests fail.

Run it as `scripts/gateways`.
"""

import argparse
import contextlib
import pathlib
import tempfile
import threading
import time

from gateways import house, leases
from rig import results

CANARIES = "/api/v1/services/search/canaries"
FLAG = "/api/v1/flags/search.flag"
FIGURES = pathlib.Path(__file__).parents[1] / "GATEWAYS.md"


def main():
    """Measures, prints a table of each, and writes them down."""
    options = _options()
    where = f"{options.serin.parent.name} build, {results.machine()}"
    print(f"{where}\n", flush=True)
    for name, measure in [("spreading", _few), ("leases", _many)]:
        if options.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="serin-gateways-") as temporary, contextlib.ExitStack() as programs:
                told = measure(options, programs, pathlib.Path(temporary))
            print(f"{told}\n", flush=True)
            if options.write:
                results.write(name, f"{where}\n\n{told}", FIGURES)


def _few(options, programs, folder):
    deployments = [house.Deployment(), house.Deployment()]
    gateways, _ = house.start(programs, options.serin, folder, deployments)
    spreading = _spreading(gateways, deployments[1].url, options.changes)
    return f"{spreading}\n\n{_killing(gateways, deployments[1], options.kills, options.clients)}"


def _many(options, programs, folder):
    deployments = [house.Deployment(), house.Deployment()]
    gateways, redis = house.start(programs, options.serin, folder, deployments, leases.SERVICES)
    return leases.measure(options, gateways[:1], redis, deployments[1])


def _options():
    parser = argparse.ArgumentParser(prog="gateways", description=__doc__)
    parser.add_argument("--serin", type=pathlib.Path, default=house.default_binary(), help="the binary")
    parser.add_argument("--changes", type=int, default=100, help="changes of each kind")
    parser.add_argument("--kills", type=int, default=50, help="kills under load")
    parser.add_argument("--clients", type=int, default=2, help="clients of each gateway during these")
    parser.add_argument("--registrations", type=int, default=10_000, help="canaries that are registered")
    parser.add_argument("--pipelines", type=int, default=16, help="pipelines that register at a time")
    parser.add_argument("--seconds", type=float, default=20, help="how long a gateway is watched in each state")
    parser.add_argument("--window", type=float, default=5, help="seconds of requests in each window")
    parser.add_argument("--pairs", type=int, default=6, help="pairs of windows without and with renewals")
    parser.add_argument("--only", choices=["spreading", "leases"], help="one part alone")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave benches/GATEWAYS.md as it is")
    return parser.parse_args()


def _spreading(gateways, url, count):
    """From the answer of one gateway until the last of the others tells the same."""
    document = {"url": url, "rings": [{"name": "all", "rollout": "0%"}]}
    gateways[0].admin.order("PUT", FLAG, document)
    rows = []
    for name, change in [("registration", _register), ("kill", _kill), ("ring", _ring), ("flag", _flag)]:
        took = []
        for turn in range(count):
            asked = gateways[turn % len(gateways)]
            came, is_there = change(asked, turn, url)
            for other in gateways:
                if other is not asked:
                    # The later one is looked at last, when it may have been there for long: so this is an upper bound.
                    arrived = house.await_fact(lambda told=other: is_there(told), f"{name} {turn}")
            took.append((arrived - came) * 1000)
        rows.append([name, *_figures(took)])
    return "From the answer to the last of three gateways, ms\n\n" + results.table(["change", "p50", "p99", "most"], rows)


def _register(gateway, turn, url):
    path = f"{CANARIES}/search.r{turn}"
    _, came = gateway.admin.order("PUT", path, {"url": url, "ttl": "1h"})
    return came, lambda other: other.admin.ask("GET", path)[0] == 200


def _kill(gateway, turn, _url):
    verb = "restore" if turn % 2 else "kill"
    _, came = gateway.admin.order("POST", f"{CANARIES}/search.r0/{verb}")
    is_killed = verb == "kill"
    return came, lambda other: other.told(f"{CANARIES}/search.r0")["killed"] == is_killed


def _ring(gateway, turn, _url):
    share = f"{turn % 50 + 1}%"
    _, came = gateway.admin.order("PATCH", f"{FLAG}/rings/all", {"rollout": share})
    return came, lambda other: other.told(FLAG)["rings"][0]["rollout"] == share


def _flag(gateway, turn, url):
    path = f"/api/v1/flags/search.f{turn}"
    _, came = gateway.admin.order("PUT", path, {"url": url, "rings": [{"name": "all", "rollout": "0%"}]})
    return came, lambda other: other.admin.ask("GET", path)[0] == 200


def _killing(gateways, canary, count, clients):
    """How long after the answer to a kill the last request to the canary began, through the gateway asked and the others."""
    over = threading.Event()
    sent = [threading.Thread(target=_load, args=(gateway, f"/g{number}", over), daemon=True)
            for number, gateway in enumerate(gateways) for _ in range(clients)]
    for thread in sent:
        thread.start()
    asked, others = [], []
    for turn in range(count):
        number = turn % len(gateways)
        seen = len(canary.begun)
        house.await_fact(lambda: _through_all(canary.begun[seen:], len(gateways)), "requests to the canary")
        _, came = gateways[number].admin.order("POST", f"{CANARIES}/search.kill/kill")
        for other in gateways:
            house.await_fact(lambda told=other: told.told("/api/v1/services/search")["kills"], "the kill")
        _quiet(canary)
        late = {f"/g{index}": 0.0 for index in range(len(gateways))}
        for moment, path in list(canary.begun[seen:]):
            late[path] = max(late[path], (moment - came) * 1000)
        asked.append(late.pop(f"/g{number}"))
        others.append(max(late.values()))
        gateways[number].admin.order("POST", f"{CANARIES}/search.kill/restore")
    over.set()
    for thread in sent:
        thread.join()
    rows = [["the gateway asked", *_figures(asked)], ["the others", *_figures(others)]]
    return ("Kill under load: from its answer to the beginning of the last request at the canary, ms (0: none began later)\n\n"
            + results.table(["through", "p50", "p99", "most"], rows))


def _load(gateway, path, over):
    client = house.Client(gateway.port)
    turn = 0
    while not over.is_set():
        status, _ = client.ask("GET", path, user=f"user-{turn % 100}")
        if status != 200:
            raise SystemExit(f"a request failed: {status}")
        turn += 1


def _through_all(begun, count):
    return len({path for _, path in begun}) == count


def _quiet(canary):
    """Returns when no request has begun for a while: those that were on their way when the kill arrived have."""
    before = -1
    while before != len(canary.begun):
        before = len(canary.begun)
        time.sleep(0.1)


def _figures(took):
    ordered = sorted(took)
    return [f"{results.percentile(ordered, 0.5):.1f}", f"{results.percentile(ordered, 0.99):.1f}", f"{ordered[-1]:.1f}"]


if __name__ == "__main__":
    main()
