"""Programs under measurement: pinned to one core, waited for until they listen, ended by their own process IDs."""

import contextlib
import pathlib
import socket
import subprocess
import time


# What `cargo build --release` makes.
SERIN = pathlib.Path(__file__).parents[2] / "target/release/serin"


def free_port():
    """A port of loopback that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def free_ports(count):
    """Several, all different."""
    with contextlib.ExitStack() as all_taken:
        taken = [all_taken.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def fill(template, destination, **values):
    """Writes a configuration: `@NAME@` in the template stands for the value of that name."""
    text = pathlib.Path(template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name.upper()}@", str(value))
    destination.write_text(text)
    return destination


@contextlib.contextmanager
def running(command, port, core, log):
    """Runs a program until the block ends, and gives its process ID as soon as the port takes connections."""
    with log.open("wb") as output:
        pinned = ["taskset", "-c", str(core), *map(str, command)]
        process = subprocess.Popen(pinned, stdout=output, stderr=output)
    try:
        await_port(process, port, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_port(process, port, log, patience=60):
    """Returns when something listens; raises with the program's own words when it has ended instead."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"{process.args[3]} has ended:\n{log.read_text()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise SystemExit(f"{process.args[3]} does not listen on port {port}:\n{log.read_text()}")


def await_fact(fact, what, patience=20, pause=0.001):
    """Returns the moment at which something was so for the first time that it was looked for."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if fact():
            return time.monotonic()
        time.sleep(pause)
    raise SystemExit(f"waited {patience} s in vain for {what}")
