"""How soon what is done at one of several gateways is so at all of them, and when a kill holds."""

import time

from gateways import house
from rig import results
from rig.programs import await_fact

CANARIES = "/api/v1/services/search/canaries"
FLAG = "/api/v1/flags/search.flag"


def measure(options, programs, gateways, canary):
    """A table of how soon changes are everywhere, and one of how soon kills hold."""
    spreading = _spreading(gateways, canary.url, options.changes)
    return f"{spreading}\n\n{_killing(programs, gateways, canary, options.kills, options.clients)}"


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
                    arrived = await_fact(lambda told=other: is_there(told), f"{name} {turn}")
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


def _killing(programs, gateways, canary, count, clients):
    """How long after the answer to a kill the last request to the canary began, through the gateway asked and the others."""
    over = house.SPAWN.Event()
    sent = [house.spawned(programs, _load, gateway.port, f"/g{number}", over)
            for number, gateway in enumerate(gateways) for _ in range(clients)]
    asked, others = [], []
    for turn in range(count):
        number = turn % len(gateways)
        seen = len(canary.begun)
        await_fact(lambda: _through_all(canary.begun[seen:], len(gateways)), "requests to the canary")
        _, came = gateways[number].admin.order("POST", f"{CANARIES}/search.kill/kill")
        for other in gateways:
            await_fact(lambda told=other: told.told("/api/v1/services/search")["kills"], "the kill")
        _quiet(canary)
        late = {path: (moment - came) * 1000 for moment, path in canary.begun[seen:]}
        asked.append(late.pop(f"/g{number}"))
        others.append(max(late.values()))
        gateways[number].admin.order("POST", f"{CANARIES}/search.kill/restore")
    over.set()
    for process in sent:
        process.join()
        if process.exitcode:
            raise SystemExit("a request failed while a canary was killed")
    rows = [["the gateway asked", *_figures(asked)], ["the others", *_figures(others)]]
    return ("Kill under load: from its answer to the beginning of the last request at the canary, ms (negative: it began before the answer had come)\n\n"
            + results.table(["through", "p50", "p99", "most"], rows))


def _load(port, path, over):
    client = house.Client(port)
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
