"""Three gateways on one redis-server, two deployments that note when requests begin, and clients for all of it.

Everything is timed on one clock: the machine's monotonic one, which all processes read alike.
"""

import contextlib
import http.client
import http.server
import json
import multiprocessing
import os
import pathlib
import shutil
import socket
import subprocess
import time

from rig.programs import await_fact, free_ports

GATEWAYS = 3
ROOT = pathlib.Path(__file__).parents[2]
SPAWN = multiprocessing.get_context("spawn")
# What the threads that serve requests have in their names.
SERVES = "worker"


class Deployment:
    """An upstream that answers 200 and notes the moment and path of each request as it begins: a process of its own, which no
    thread of the driver keeps waiting."""

    def __init__(self, programs, notes):
        self.notes = notes
        notes.touch()
        told, tell = SPAWN.Pipe(duplex=False)
        spawned(programs, _serve, notes, tell)
        self.url = f"http://127.0.0.1:{told.recv()}"

    @property
    def begun(self):
        """The moment and the path of each request, in order."""
        lines = self.notes.read_text().split("\n")[:-1]
        return [(float(moment), path) for moment, path in map(str.split, lines)]


def spawned(programs, work, *arguments):
    """Runs a function in a process of its own for as long as `programs` lasts, or until the function returns."""
    process = SPAWN.Process(target=work, args=arguments, daemon=True)
    process.start()
    programs.callback(process.kill)
    return process


def _serve(notes, tell):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    # Connections of gateways that are ended break off.
    server.handle_error = lambda *_: None
    server.notes = os.open(notes, os.O_WRONLY | os.O_APPEND)
    tell.send(server.server_address[1])
    server.serve_forever()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer in one piece: the second one would wait for the client's acknowledgement of the first.
    wbufsize = -1

    def do_GET(self):
        """Notes it, and answers."""
        os.write(self.server.notes, f"{time.monotonic():.6f} {self.path}\n".encode())
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        """Says nothing."""


class Client:
    """A connection that is kept open."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.used = time.monotonic()

    def ask(self, method, path, document=None, user=None):
        """The status and the body of an answer."""
        headers = {"Content-Type": "application/json"} if document is not None else {}
        if user is not None:
            headers["X-User-Id"] = user
        body = None if document is None else json.dumps(document)
        if time.monotonic() - self.used > 1:
            # One that is idle may be closed by the other side at any moment; the next request opens another.
            self.connection.close()
        self.connection.request(method, path, body=body, headers=headers)
        answer = self.connection.getresponse()
        self.used = time.monotonic()
        return answer.status, answer.read()

    def order(self, method, path, document=None):
        """Gives an order that must be carried out. Its answer, and when that had come."""
        status, body = self.ask(method, path, document)
        came = time.monotonic()
        if status not in (200, 201):
            raise SystemExit(f"{method} {path}: {status} {body.decode()}")
        return json.loads(body), came


class Gateway:
    """One that runs."""

    def __init__(self, process, port, admin):
        self.process, self.port, self.port_of_admin = process, port, admin
        self.admin = Client(admin)

    def told(self, path):
        """What it tells."""
        return self.admin.order("GET", path)[0]


class Redis:
    """A connection to redis-server, as far as a bench needs one."""

    def __init__(self, port):
        self.file = socket.create_connection(("127.0.0.1", port)).makefile("rwb")

    def ask(self, *words):
        """The answer to a command."""
        parts = [str(word).encode() for word in words]
        self.file.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        self.file.flush()
        return self._read()

    def _read(self):
        kind, text = self.file.read(1), self.file.readline()[:-2]
        if kind == b"-":
            raise SystemExit(f"Redis: {text.decode()}")
        if kind == b"$":
            return self.file.read(int(text) + 2)[:-2].decode() if int(text) >= 0 else None
        if kind == b"*":
            return [self._read() for _ in range(int(text))]
        return text.decode()


def start(programs, binary, directory, deployments, services=1):
    """Starts redis-server and the gateways for as long as `programs` lasts. The gateways, and Redis' port."""
    if not shutil.which("redis-server"):
        raise SystemExit("redis-server is missing: scripts/install-test-deps installs it")
    redis, *ports = free_ports(1 + 2 * GATEWAYS)
    data = directory / "redis"
    data.mkdir()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", redis, "--dir", data, "--save", "",
               "--appendonly", "yes", "--appendfsync", "everysec"]
    _run(programs, command, directory / "redis.log")
    await_fact(lambda: _answers(redis), "redis-server to answer")
    gateways = [_gateway(programs, binary, directory / f"g{number}", redis, ports[2 * number:2 * number + 2], deployments,
                         services) for number in range(GATEWAYS)]
    return gateways, redis


def _gateway(programs, binary, folder, redis, ports, deployments, services):
    folder.mkdir()
    stable, canary = (deployment.url for deployment in deployments)
    config = folder / "routes.yaml"
    config.write_text("\n".join([
        "services:",
        f"  search: {{ stable: '{stable}', canaries: ['search.*'] }}",
        *(f"  s{number}: {{ stable: '{stable}', canaries: ['s{number}.*'] }}" for number in range(services)),
        f"flags: {{ search.kill: {{ url: '{canary}', rings: [{{ name: all }}] }} }}",
        "routes:",
        "  - { path: /, service: search }",
        *(f"  - {{ path: /s{number}, service: s{number} }}" for number in range(services)),
        "identity: { user_id: [{ header: x-user-id, trust: anyone }] }",
        f"listeners: ['127.0.0.1:{ports[0]}']",
        f"admin: 127.0.0.1:{ports[1]}",
        f"server: {{ threads: 1, shutdown_delay: 1ms, state_dir: '{folder / 'state'}' }}",
        "logging: { level: warn, access: off }",
        f"redis: {{ url: 'redis://127.0.0.1:{redis}' }}",
    ]))
    process = _run(programs, [binary, "run", "-c", config], folder / "log")
    gateway = Gateway(process, *ports)
    await_fact(lambda: _is_ready(gateway), f"{folder.name} to be ready")
    return gateway


def _answers(redis):
    try:
        return Redis(redis).ask("PING") == "PONG"
    except OSError:
        return False


def _is_ready(gateway):
    try:
        return gateway.admin.ask("GET", "/readyz")[0] == 200
    except OSError:
        gateway.admin.connection.close()
        return False


def _run(programs, command, log):
    output = programs.enter_context(log.open("wb"))
    process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output)
    programs.callback(_end, process)
    return process


def _end(process):
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
        return
    process.kill()
    process.wait()
