"""What is measured. A further job is an entry of `JOBS`. Where it needs a gateway that is set up in another way (one that answers
itself, say), that is an entry of `peers.proxies.PROXIES` with a configuration of its own, and the job's `of` names it."""

import dataclasses

from rig.load import Ask

# What a client sends beside Host and the user's ID; the last two may not reach the origin.
HEADERS = (
    "User-Agent: bench/1.0",
    "Accept: */*",
    "Forwarded: for=192.0.2.1",
    "X-Real-IP: 192.0.2.1",
)
# Those with a listener for TLS.
TLS = ("nginx", "HAProxy", "Serin")
GATEWAYS = ("nginx", "HAProxy", "Envoy", "bare pingora", "Serin")


@dataclasses.dataclass(frozen=True)
class Job:
    """One table of the report."""

    name: str
    ask: Ask
    rate: int
    """Requests a second where latencies are measured: far below what the slowest can do."""
    of: tuple = GATEWAYS
    """Who does it, by the names in `peers.proxies.PROXIES`; the first is what the others are compared with."""
    note: str = ""
    """What a reader must know beside the table: figures published elsewhere, say."""


JOBS = [
    Job("100 B", Ask("/100", connections=50, headers=HEADERS), rate=2000),
    Job("10 KiB", Ask("/10k", connections=50, headers=HEADERS), rate=2000),
    Job("100 B over TLS", Ask("/100", connections=50, headers=HEADERS, tls=True), rate=2000, of=TLS),
    Job("10 KiB over TLS", Ask("/10k", connections=50, headers=HEADERS, tls=True), rate=2000, of=TLS),
    Job("/api/frontend, 50 flags", Ask("/.serin/api/frontend?appName=bench&sessionId={n}", connections=50,
        headers=(*HEADERS, "Authorization: bench-token"), modulus=1000), rate=2000, of=("Serin's client API",),
        note="Published for Unleash Edge, on one CPU: 39,000 requests a second with 5 flags (26 µs each), 6,900 with 350 (145 µs)."),
    Job("1 MiB", Ask("/1m", connections=16, headers=HEADERS), rate=100),
]
