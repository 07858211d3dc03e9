"""Who is measured, each with one thread and one configuration from `configs/`."""

import dataclasses
import pathlib
import re
import subprocess

from rig.programs import fill, free_ports

CONFIGS = pathlib.Path(__file__).parent / "configs"
ROOT = pathlib.Path(__file__).parents[2]
RELEASE = ROOT / "target/release"


@dataclasses.dataclass(frozen=True)
class Proxy:
    """How one is started: `{config}`, `{port}` and the origin's `{stable}` and `{canary}` are put into its arguments."""

    name: str
    program: str
    arguments: str
    version: tuple = ()
    """Arguments that make it say its version; empty: it has none of its own."""
    config: str = ""
    splits: bool = True
    """Whether it sends users to one of two deployments, so that `peers.same` can look at what the origin sees."""
    optional: bool = False
    """Left out, and said so, when it is not built."""

    def is_there(self):
        """Whether it can be measured."""
        return not self.optional or pathlib.Path(self.program).exists()

    def command(self, ports, directory):
        """The command line, and the ports that it will listen on, the second one for TLS where it has that."""
        port, tls_port, admin = free_ports(3)
        config = ""
        if self.config:
            values = dict(ports, port=port, tls_port=tls_port, admin=admin, directory=directory)
            config = fill(CONFIGS / self.config, directory / self.config, **values)
        arguments = self.arguments.format(config=config, port=port, **ports).split()
        return [self.program, *arguments], (port, tls_port)

    def told_version(self):
        """The version that it tells."""
        if not self.version:
            return ""
        told = subprocess.run([self.program, *self.version], capture_output=True, text=True, check=True)
        return re.search(r"\d+\.\d+\.\d+", told.stdout + told.stderr)[0]


PROXIES = [
    Proxy("nginx", "nginx", "-c {config}", ("-v",), "nginx.conf"),
    Proxy("HAProxy", "haproxy", "-db -q -f {config}", ("-v",), "haproxy.cfg"),
    Proxy("Envoy", str(ROOT / "target/bench-peers/envoy"),
          "-c {config} --concurrency 1 --disable-hot-restart -l error", ("--version",), "envoy.yaml"),
    # What Serin's CPU is measured against: pingora and the same job, nothing else.
    Proxy("bare pingora", str(RELEASE / "examples/bare"), "127.0.0.1:{port} 127.0.0.1:{stable} 127.0.0.1:{canary}",
          optional=True),
    Proxy("Serin's client API", str(RELEASE / "serin"), "run -c {config}", ("--version",), "serin-client-api.yaml", splits=False),
    Proxy("Serin", str(RELEASE / "serin"), "run -c {config}", ("--version",), "serin.yaml"),
]
