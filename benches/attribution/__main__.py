"""`make bench-attribution`: what exposures, receipts and traces cost a request, what it costs one that sinks are down, and
what a million users at once cost a gateway. Judges nothing by time, and fails when a request fails.

Run it as `scripts/attribution`.
"""

import argparse
import contextlib
import os
import pathlib
import tempfile

from attribution import costs, sinks, users
from rig import origin, programs, results

FIGURES = pathlib.Path(__file__).parents[1] / "ATTRIBUTION.md"
PARTS = {"costs": costs, "sinks": sinks, "users": users}


def main():
    """Measures, prints a table of each part, and writes them down."""
    options = _options()
    where = f"{options.serin.parent.name} build, {results.machine()}"
    print(f"{where}\n", flush=True)
    core = max(os.sched_getaffinity(0))
    for name, part in PARTS.items():
        if options.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="serin-attribution-") as temporary, contextlib.ExitStack() as running:
                folder = pathlib.Path(temporary)
                ports = origin.start(running, folder, core)
                told = part.measure(options, running, folder, ports, core)
            print(f"{told}\n", flush=True)
            if options.write:
                results.write(name, f"{where}\n\n{told}", FIGURES)


def _options():
    parser = argparse.ArgumentParser(prog="attribution", description=__doc__)
    parser.add_argument("--serin", type=pathlib.Path, default=programs.SERIN, help="the binary")
    parser.add_argument("--window", type=int, default=1, help="seconds of a window")
    parser.add_argument("--pairs", type=int, default=40, help="pairs of windows")
    parser.add_argument("--users", type=int, default=1_000_000, help="how many come at once")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave benches/ATTRIBUTION.md as it is")
    return parser.parse_args()


if __name__ == "__main__":
    main()
