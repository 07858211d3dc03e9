"""`make bench-gateways`: how soon what is done at one of three gateways is so at all of them, and what ten thousand registrations
cost them. Judges nothing by time, and fails when a change does not arrive, or requests fail.

Run it as `scripts/gateways`.
"""

import argparse
import contextlib
import pathlib
import tempfile

from gateways import house, leases, spreading
from rig import programs, results

FIGURES = pathlib.Path(__file__).parents[1] / "GATEWAYS.md"


def main():
    """Measures, prints a table of each, and writes them down."""
    options = _options()
    where = f"{options.serin.parent.name} build, {results.machine()}"
    print(f"{where}\n", flush=True)
    for name, measure in [("spreading", _few), ("leases", _many)]:
        if options.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="serin-gateways-") as temporary, contextlib.ExitStack() as running:
                told = measure(options, running, pathlib.Path(temporary))
            print(f"{told}\n", flush=True)
            if options.write:
                results.write(name, f"{where}\n\n{told}", FIGURES)


def _few(options, programs, folder):
    deployments = [house.Deployment(programs, folder / name) for name in ("stable", "canary")]
    gateways, _ = house.start(programs, options.serin, folder, deployments)
    return spreading.measure(options, programs, gateways, deployments[1])


def _many(options, programs, folder):
    deployments = [house.Deployment(programs, folder / name) for name in ("stable", "canary")]
    gateways, redis = house.start(programs, options.serin, folder, deployments, leases.SERVICES)
    return leases.measure(options, gateways[:1], redis, deployments[1])


def _options():
    parser = argparse.ArgumentParser(prog="gateways", description=__doc__)
    parser.add_argument("--serin", type=pathlib.Path, default=programs.SERIN, help="the binary")
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


if __name__ == "__main__":
    main()
