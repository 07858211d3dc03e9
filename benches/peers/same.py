"""The check that every proxy does the same job: without it, the figures would compare nothing."""

import http.client
import ipaddress

from peers.jobs import HEADERS

USERS = 500
CANARY_SHARE = (0.05, 0.15)


def split_users(name, port):
    """Checks the job through one proxy. Gives a user of the stable deployment and one of the canary."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    served = {}
    for number in range(1, USERS + 1):
        user = f"user-{number}"
        headers, seen = _ask(connection, user)
        _expect(name, seen, user, headers)
        served[user] = seen["deployment"]
    for user in list(served)[:50]:
        _, seen = _ask(connection, user)
        if seen["deployment"] != served[user]:
            raise SystemExit(f"{name} moves {user} from {served[user]} to {seen['deployment']}")
    connection.close()
    on_canary = [user for user, deployment in served.items() if deployment != "stable"]
    share = len(on_canary) / USERS
    if not CANARY_SHARE[0] < share < CANARY_SHARE[1]:
        raise SystemExit(f"{name} sends {share:.1%} of the users to the canary instead of 10 %")
    on_stable = next(user for user, deployment in served.items() if deployment == "stable")
    return on_stable, on_canary[0]


def _ask(connection, user):
    """The answer's header, and what the origin saw of the request."""
    headers = dict(field.split(": ", 1) for field in HEADERS)
    connection.request("GET", "/seen", headers={"Host": "api.example.com", "X-User-Id": user, **headers})
    response = connection.getresponse()
    lines = response.read().decode().splitlines()
    return response.headers, dict(line.split("=", 1) for line in lines)


def _expect(name, seen, user, headers):
    deployment = seen["deployment"]
    expected = {
        "baggage": f"serin.search={deployment}",
        "proto": "http",
        "host": "api.example.com",
        "user": user,
        "forwarded": "",
        "real-ip": "",
    }
    wrong = {key: seen.get(key) for key, value in expected.items() if seen.get(key) != value}
    # Envoy writes the machine's own address where the client's is loopback.
    ipaddress.ip_address(seen["for"])
    answered_by = "stable" if deployment == "stable" else "canary"
    well = (
        not wrong
        and deployment in ("stable", "search.a")
        and len(seen["request-id"]) >= 32
        and seen["via"].startswith("1.1 ")
        and seen["connection"] in ("", "keep-alive")
        and headers["x-answered-by"] == answered_by
        and headers["x-serin-decision"] is None
    )
    if not well:
        raise SystemExit(f"{name} does another job for {user}: {wrong or seen}, {dict(headers)}")
