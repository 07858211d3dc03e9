"""What stands behind the gateways: one nginx that serves fixed bodies, so that what is measured is not the origin."""

import pathlib

from rig.programs import fill, free_ports, running

# The files that it serves, by name; paths are `/<name>` and everything below it.
BODIES = {"100": 100, "10k": 10 << 10, "1m": 1 << 20}


def start(programs, directory, core):
    """Starts it for as long as `programs` lasts, and gives the ports of its two deployments."""
    bodies = directory / "bodies"
    bodies.mkdir()
    for name, size in BODIES.items():
        (bodies / name).write_bytes(b"x" * size)
    stable, canary = free_ports(2)
    template = pathlib.Path(__file__).with_name("origin.conf")
    config = fill(template, directory / "origin.conf", stable=stable, canary=canary, directory=directory)
    programs.enter_context(running(["nginx", "-c", config], stable, core, directory / "origin.log"))
    return {"stable": stable, "canary": canary}
