"""What is measured. A further job is an entry of `JOBS`; where it needs a gateway set up in another way, that is an entry of
`peers.proxies.PROXIES`, and the job's `of` names it."""

import dataclasses

from rig.load import Ask

# What a client sends beside Host and its user's ID; the last two may not reach the origin.
HEADERS = (
    "User-Agent: bench/1.0",
    "Accept: */*",
    "Forwarded: for=192.0.2.1",
    "X-Real-IP: 192.0.2.1",
)
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
    splits: bool = True
    """Whether it is proxied to one of two deployments, so that `peers.same` can look at what the origin sees."""
    note: str = ""
    """What a reader must know beside the table: figures published elsewhere, say."""


JOBS = [
    Job("100 B", Ask("/100", connections=50, headers=HEADERS), rate=2000),
    Job("10 KiB", Ask("/10k", connections=50, headers=HEADERS), rate=2000),
    Job("1 MiB", Ask("/1m", connections=16, headers=HEADERS), rate=100),
]
