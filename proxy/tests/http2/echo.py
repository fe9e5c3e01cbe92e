"""The echo service by grpcio, and a client of it. Messages are handled as bytes: one field, the
body, is all that is read of them.

    echo.py serve                  says "port N", and serves until its input ends
    echo.py call ADDRESS           calls everything that is allowed
    echo.py binary ADDRESS         calls with metadata that are no text, and has them back
    echo.py refused ADDRESS        calls what is not, and prints code and message of each refusal
"""

import random
import sys
import threading
from concurrent import futures

import grpc

SERVICE = "weir.test.Echo"
OPTIONS = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.max_metadata_size", 1 << 20),
    ("grpc.absolute_max_metadata_size", 1 << 20),
]
TIMEOUT = 15


def varint(value):
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def note(body, number=0):
    """A Note: body = 1, number = 2."""
    out = b"\x0a" + varint(len(body)) + body if body else b""
    return out + b"\x10" + varint(number) if number else out


def body(message):
    """The body of a Note; it comes first."""
    if message[:1] != b"\x0a":
        return b""
    length = shift = 0
    at = 1
    while True:
        byte = message[at]
        length |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return message[at : at + length]


def number(message):
    """The number of a Note without a body."""
    return message[1] if message[:1] == b"\x10" else 0


def fail(request, context):
    context.abort(list(grpc.StatusCode)[number(request)], "as wanted: 100% \u00fc")


def unary(request, context):
    kept = [(name, value) for name, value in context.invocation_metadata() if name == "x-bin"]
    context.send_initial_metadata(kept)
    return request


def client_stream(requests, context):
    bodies = [body(request) for request in requests]
    return note(b"".join(bodies), len(bodies))


def server_stream(request, context):
    for n in range(50):
        yield note(body(request), n)


def serve():
    # Each handler takes and gives bytes, as no serializer is named.
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Admin": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Bidi": grpc.stream_stream_rpc_method_handler(lambda requests, context: requests),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=OPTIONS)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    print("port", server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0)


def path(method):
    return f"/{SERVICE}/{method}"


def one(channel, round):
    """A call of each kind, with content of its own."""
    noise = random.Random(round)
    notes = [note(noise.randbytes(noise.randrange(1, 20_000)), n + 1) for n in range(30)]
    unary = channel.unary_unary(path("Unary"))
    assert unary(notes[0], timeout=TIMEOUT) == notes[0]
    answer, call = unary.with_call(
        notes[1], timeout=TIMEOUT, metadata=[("x-round", str(round))]
    )
    assert answer == notes[1] and call.code() == grpc.StatusCode.OK
    answers = channel.stream_stream(path("Bidi"))(iter(notes), timeout=TIMEOUT)
    assert list(answers) == notes
    answer = channel.stream_unary(path("ClientStream"))(iter(notes), timeout=TIMEOUT)
    assert body(answer) == b"".join(body(n) for n in notes)
    answers = channel.unary_stream(path("ServerStream"))(note(b"x", 50), timeout=TIMEOUT)
    assert [body(answer) for answer in answers] == [b"x"] * 50
    try:
        channel.unary_unary(path("Fail"))(note(b"", 5), timeout=TIMEOUT)
        raise AssertionError("it does not fail")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        assert error.details() == "as wanted: 100% \u00fc", error


def call(address):
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        with futures.ThreadPoolExecutor(max_workers=16) as pool:
            list(pool.map(lambda round: one(channel, round), range(48)))
        big = note(random.Random(1).randbytes(16 << 20), 1)
        assert channel.unary_unary(path("Unary"))(big, timeout=TIMEOUT) == big
    print("called")


def binary(address):
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        for n in range(256):
            value = bytes([n, 0, 13, 10, 255 - n])
            answer, call = channel.unary_unary(path("Unary")).with_call(
                note(b"x"), timeout=TIMEOUT, metadata=[("x-bin", value)]
            )
            assert dict(call.initial_metadata())["x-bin"] == value, n
    print("called")


def refused(address):
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        going = threading.Thread(target=lambda: [one(channel, round) for round in range(10)])
        going.start()
        for _ in range(5):
            try:
                channel.unary_unary(path("Admin"))(note(b"x" * 100_000), timeout=TIMEOUT)
                raise AssertionError("it is not refused")
            except grpc.RpcError as error:
                print(error.code().name, error.details())
        going.join()
        one(channel, 99)
    print("called")


if __name__ == "__main__":
    commands = {"serve": serve, "call": call, "binary": binary, "refused": refused}
    commands[sys.argv[1]](*sys.argv[2:])
