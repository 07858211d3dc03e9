"""A gateway with attribution, or without."""

import dataclasses
import http.client
import re

from rig.programs import await_fact, free_ports, running

KEY = "0123456789abcdef0123456789abcdef"
RECEIPTS = f"  receipts: {{ key: {KEY}, cookie: serin_receipt }}"
EXPOSURES = f"  exposures: {{ key: {KEY}, control: all }}"


@dataclasses.dataclass(frozen=True)
class Gateway:
    """One that runs."""

    pid: int
    port: int
    admin: int

    def metric(self, name, **labels):
        """The sum of a metric's lines that have these labels."""
        total = 0
        for line in self.get("/metrics").splitlines():
            told = re.match(r"(\w+)(?:\{(.*)\})? (\S+)$", line)
            if told and told[1] == name and all(f'{key}="{value}"' in (told[2] or "") for key, value in labels.items()):
                total += float(told[3])
        return total

    def get(self, path):
        """What the admin API answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise SystemExit(f"GET {path}: {answer.status} {text}")
        return text


def start(programs, binary, folder, name, ports, core, attribution=()):
    """Starts one for as long as `programs` lasts: half of the users are on a canary. `attribution` are lines of its file."""
    port, admin = free_ports(2)
    state = folder / name
    state.mkdir()
    config = folder / f"{name}.yaml"
    config.write_text("\n".join([
        f"services: {{ search: {{ stable: 'http://127.0.0.1:{ports['stable']}' }} }}",
        f"flags: {{ search.new: {{ url: 'http://127.0.0.1:{ports['canary']}', rings: [{{ name: half, rollout: 50% }}] }} }}",
        "routes: [{ path: /, service: search }]",
        "identity: { user_id: [{ header: x-user-id, trust: anyone }] }",
        f"listeners: ['127.0.0.1:{port}']",
        f"admin: 127.0.0.1:{admin}",
        f"server: {{ threads: 1, shutdown_delay: 1ms, state_dir: '{state}', limits: {{ requests_per_connection: 1000000000 }} }}",
        "logging: { level: warn, access: off }",
        *attribution,
    ]))
    pid = programs.enter_context(running([binary, "run", "-c", config], port, core, folder / f"{name}.log"))
    gateway = Gateway(pid, port, admin)
    await_fact(lambda: gateway.metric("serin_snapshot_generation") > 0, f"{name} to be ready")
    return gateway
