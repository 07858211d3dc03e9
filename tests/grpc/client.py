"""Calls of all kinds by the official client for Python. Says what came of each in a line of JSON.

client.py <address> <authority's certificate, or -> <user> <call>...
"""

import base64
import json
import sys
import threading

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

PATIENCE = 60
LARGE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
# No time-out, no proxy of the machine's and no second attempt hides what the gateway does.
OPTIONS = [*LARGE, ("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]

address, authority, user, *calls = sys.argv[1:]
if authority == "-":
    channel = grpc.insecure_channel(address, OPTIONS)
else:
    credentials = grpc.ssl_channel_credentials(open(authority, "rb").read())
    named = ("grpc.ssl_target_name_override", "localhost")
    channel = grpc.secure_channel(address, credentials, [*OPTIONS, named])
METADATA = [("x-user-id", user)]


def method(kind, name, path="/serin.Test/"):
    return getattr(channel, kind)(path + name)


def plain(metadata):
    """Metadata as JSON has it; of a key with several values the last one."""
    known = {}
    for key, value in metadata or ():
        known[key] = base64.b64encode(value).decode() if isinstance(value, bytes) else value
    return known


def failure(error):
    return {"code": error.code().name, "details": error.details(), "trailing": plain(error.trailing_metadata())}


def unary():
    metadata = [*METADATA, ("x-caller", "one"), ("x-caller-bin", b"\x00\x01\xfe\xff")]
    answer, call = method("unary_unary", "Unary").with_call(b"hello", timeout=PATIENCE, metadata=metadata)
    return {
        "answer": answer.decode(),
        "code": call.code().name,
        "initial": plain(call.initial_metadata()),
        "trailing": plain(call.trailing_metadata()),
    }


def empty():
    """A message of no bytes."""
    return {"answer": method("unary_unary", "Unary")(b"", timeout=PATIENCE, metadata=METADATA).decode()}


def large():
    message = bytes(range(256)) * (16 * 4096)
    answer = method("unary_unary", "Unary")(message, timeout=PATIENCE, metadata=METADATA)
    return {"size": len(answer), "same": answer == message}


def fail():
    told = []
    for code in grpc.StatusCode:
        if code is grpc.StatusCode.OK:
            continue
        try:
            method("unary_unary", "Fail")(f"{code.name} 100 % schön".encode(), timeout=PATIENCE, metadata=METADATA)
        except grpc.RpcError as error:
            told.append([code.name, failure(error)])
    return {"told": told}


def download():
    messages = method("unary_stream", "Download")(b"10000", timeout=PATIENCE, metadata=METADATA)
    numbers = [int(message) for message in messages]
    return {"count": len(numbers), "in_order": numbers == list(range(10_000)), "code": messages.code().name}


def upload():
    messages = (b"0123456789" for _ in range(10_000))
    answer = method("stream_unary", "Upload")(messages, timeout=PATIENCE, metadata=METADATA)
    return {"answer": json.loads(answer)}


def chat():
    """10,000 messages each way, each of which waits for the one before to come back a hundred further back."""
    room = threading.Semaphore(100)

    def messages():
        for number in range(10_000):
            room.acquire(timeout=PATIENCE)
            yield b"%d" % number

    answers = method("stream_stream", "Chat")(messages(), timeout=PATIENCE, metadata=METADATA)
    numbers = []
    for answer in answers:
        numbers.append(int(answer))
        room.release()
    return {"count": len(numbers), "in_order": numbers == list(range(10_000)), "code": answers.code().name}


def deadline():
    try:
        method("unary_unary", "Hang")(b"deadline", timeout=0.7, metadata=METADATA)
    except grpc.RpcError as error:
        return failure(error)


def cancel():
    """Cancels a call that the server has not answered when the next line comes."""
    call = method("unary_unary", "Hang").future(b"cancel", metadata=METADATA)
    sys.stdin.readline()
    call.cancel()
    return {"cancelled": call.cancelled()}


def cancel_stream():
    call = method("unary_stream", "Flow")(b"cancel_stream", metadata=METADATA)
    for _ in range(100):
        next(call)
    call.cancel()
    return {"code": call.code().name}


def health():
    stub = health_pb2_grpc.HealthStub(channel)
    told = {}
    for service in ["", "serin.Test", "nobody"]:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = stub.Check(request, timeout=PATIENCE, metadata=METADATA)
            told[service] = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        except grpc.RpcError as error:
            told[service] = error.code().name
    watched = stub.Watch(health_pb2.HealthCheckRequest(service="serin.Test"), timeout=PATIENCE, metadata=METADATA)
    told["watched"] = health_pb2.HealthCheckResponse.ServingStatus.Name(next(watched).status)
    watched.cancel()
    return told


def reflection():
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    wanted = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    for answer in stub.ServerReflectionInfo(wanted, timeout=PATIENCE, metadata=METADATA):
        return {"services": sorted(service.name for service in answer.list_services_response.service)}


def nowhere():
    """A method that no server has."""
    try:
        method("unary_unary", "Nothing")(b"", timeout=PATIENCE, metadata=METADATA)
    except grpc.RpcError as error:
        return failure(error)


def call_of(path):
    """One call of a path, as `/service/Method`, with a message of 4 KiB."""
    service, _, name = path.rpartition("/")
    try:
        answer, call = method("unary_unary", name, service + "/").with_call(
            bytes(4096), timeout=PATIENCE, metadata=METADATA
        )
        return {"size": len(answer), "code": call.code().name, "trailing": plain(call.trailing_metadata())}
    except grpc.RpcError as error:
        return failure(error)


for call in calls:
    told = call_of(call) if call.startswith("/") else globals()[call]()
    print(json.dumps({"of": call, **told}), flush=True)
