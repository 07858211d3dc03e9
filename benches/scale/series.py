"""What grows: each series is a list of gateways that differ in one size alone."""

import dataclasses

from rig.load import Ask

HEADERS = ("User-Agent: bench/1.0", "Accept: */*")


@dataclasses.dataclass(frozen=True)
class Series:
    """One table of the report."""

    name: str
    sizes: tuple
    ask: object
    """Gives what is asked of the gateway of a size."""
    config: object
    """Gives the services, flags and routes of a size, as lines of routes.yaml, given the origin's ports."""
    resting: object = staticmethod(lambda size: 0)
    """Gives how many further connections rest meanwhile."""


def _constant(_size):
    return Ask("/100", connections=50, headers=HEADERS)


def _each_route(size):
    return Ask("/100/r{n}", connections=50, headers=HEADERS, modulus=size)


def _sections(services, flags, routes):
    return ["services:", *services, "flags:", *flags, "routes:", *routes]


def _service(ports):
    return f"  search: {{ stable: 'http://127.0.0.1:{ports['stable']}' }}"


def _flag(name, ports, rollout):
    return f"  {name}: {{ url: 'http://127.0.0.1:{ports['canary']}', rings: [{{ rollout: {rollout} }}] }}"


def _canaries(count, ports, rollout):
    return [_flag(f"search.c{number}", ports, rollout) for number in range(count)]


ROUTE = "  - { path: /, service: search }"


def _routes(size, ports):
    routes = [f"  - {{ path: /100/r{number}, service: search }}" for number in range(size)]
    return _sections([_service(ports)], _canaries(3, ports, "5%"), routes)


def _flags(size, ports):
    other = f"  other: {{ stable: 'http://127.0.0.1:{ports['stable']}' }}"
    others = [_flag(f"other.f{number}", ports, "5%") for number in range(size)]
    return _sections([_service(ports), other], [*_canaries(3, ports, "5%"), *others], [ROUTE])


def _candidates(size, ports):
    return _sections([_service(ports)], _canaries(size, ports, "0.5%"), [ROUTE])


def _plain(_size, ports):
    return _sections([_service(ports)], _canaries(3, ports, "5%"), [ROUTE])


SERIES = [
    Series("routes, all of them asked for", (10, 100, 1_000, 10_000), _each_route, _routes),
    Series("flags, of which three are this service's", (1, 10, 100, 1_000, 10_000), _constant, _flags),
    Series("canaries of one service, 0.5 % each: most users are asked about at every one of them", (1, 4, 16, 64),
           _constant, _candidates),
    Series("connections that rest beside 50 that are busy", (1, 10, 100, 1_000, 10_000), _constant, _plain,
           resting=lambda size: size),
]
