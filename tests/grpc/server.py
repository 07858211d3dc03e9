"""A gRPC server with calls of all four kinds, health checks and reflection. Says its port, then what becomes of calls that
are cancelled or whose deadline is over.

server.py <name> [<certificate> <key>]

One whose name is "unwell" answers no unary call.
"""

import json
import sys
import threading
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

SERVICE = "serin.Test"
LARGE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

name, *pair = sys.argv[1:]


def tell(**facts):
    print(json.dumps(facts), flush=True)


def unary(request, context):
    """Sends back what came, and the metadata that the caller chose."""
    if name == "unwell":
        context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
    came = dict(context.invocation_metadata())
    mine = [("x-server", name), ("x-bytes-bin", bytes(range(256)))]
    context.send_initial_metadata(mine)
    seen = [(key, value) for key, value in came.items() if key.startswith("x-caller")]
    context.set_trailing_metadata([("x-end", name), *seen])
    return request


def fail(request, context):
    code, _, text = request.decode().partition(" ")
    context.set_trailing_metadata([("x-end", name), ("x-why-bin", b"\x00\xff")])
    context.abort(getattr(grpc.StatusCode, code), text)


def download(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def upload(requests, context):
    count = size = 0
    for message in requests:
        count, size = count + 1, size + len(message)
    return json.dumps([count, size]).encode()


def chat(requests, context):
    for message in requests:
        yield message


def hang(request, context):
    """Answers nothing; says how the caller ended that."""
    over = threading.Event()
    context.add_callback(over.set)
    left = context.time_remaining()
    tell(call=request.decode(), begun=True, left=left)
    over.wait()
    tell(call=request.decode(), ended=True)
    return b""


def flow(request, context):
    """Sends until the caller goes."""
    context.add_callback(lambda: tell(call=request.decode(), ended=True))
    while context.is_active():
        yield b"x" * 1000


kinds = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Download": grpc.unary_stream_rpc_method_handler(download),
    "Upload": grpc.stream_unary_rpc_method_handler(upload),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Hang": grpc.unary_unary_rpc_method_handler(hang),
    "Flow": grpc.unary_stream_rpc_method_handler(flow),
}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=LARGE)
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, kinds)])
checks = health.HealthServicer()
checks.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
health_pb2_grpc.add_HealthServicer_to_server(checks, server)
reflection.enable_server_reflection([health.SERVICE_NAME, SERVICE, reflection.SERVICE_NAME], server)
if pair:
    certificate, key = (open(path, "rb").read() for path in pair)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
tell(port=port)
server.wait_for_termination()
