"""The standard interop cases of gRPC, driven by Python's grpcio.

    interop.py ADDRESS [CERTIFICATE]

drives the grpc.testing.TestService at ADDRESS, over TLS if the file of a
certificate is given, and writes one line of JSON for each case: its name, and
what went wrong, or null.
"""

import asyncio
import json
import pathlib
import queue
import sys
import traceback

import grpc
import grpc.aio

import described

SERVICE = "grpc.testing.TestService"
REQUESTS, RESPONSES = (27182, 8, 1828, 45904), (31415, 9, 2653, 58979)
LARGE_REQUEST, LARGE_RESPONSE = 271828, 314159
INITIAL, TRAILING = ("x-grpc-test-echo-initial", "test_initial_metadata_value"), ("x-grpc-test-echo-trailing-bin", b"\x0a\x0b\x0a\x0b\x0a\x0b")
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
PATIENCE = 20


def check(got, want):
    if got != want:
        raise AssertionError(f"got {got!r}, want {want!r}")


def refused(call, code, details=None):
    """call must raise with a status."""
    try:
        call()
    except grpc.RpcError as error:
        check(error.code(), code)
        if details is not None:
            check(error.details(), details)
        return
    raise AssertionError(f"answered, want {code}")


class Requests:
    """The requests of a stream, sent one by one as they are put."""

    def __init__(self):
        self._queue = queue.Queue()

    def put(self, request):
        self._queue.put(request)

    def close(self):
        self._queue.put(None)

    def __iter__(self):
        return iter(self._queue.get, None)


class Cases:
    """Each method whose name begins with case_ is a case. compression is that of every request."""

    def __init__(self, channel, compression=None):
        server = described.Described(channel)
        self.channel, self.options = channel, {"timeout": PATIENCE}
        if compression is not None:
            self.options["compression"] = compression
        self.stub = server.stub(channel, SERVICE)
        for name in ("Empty", "Payload", "SimpleRequest", "StreamingInputCallRequest", "StreamingOutputCallRequest",
                     "ResponseParameters", "EchoStatus"):
            setattr(self, name, server.message(f"grpc.testing.{name}"))

    def output(self, request, *responses):
        return self.StreamingOutputCallRequest(payload=self.Payload(body=bytes(request)),
                                               response_parameters=[self.ResponseParameters(size=n) for n in responses])

    def case_empty_unary(self):
        check(self.stub.EmptyCall(self.Empty(), **self.options).SerializeToString(), b"")

    def case_large_unary(self):
        request = self.SimpleRequest(response_size=LARGE_RESPONSE, payload=self.Payload(body=bytes(LARGE_REQUEST)))
        check(self.stub.UnaryCall(request, **self.options).payload.body, bytes(LARGE_RESPONSE))

    def case_client_streaming(self):
        requests = [self.StreamingInputCallRequest(payload=self.Payload(body=bytes(n))) for n in REQUESTS]
        check(self.stub.StreamingInputCall(iter(requests), **self.options).aggregated_payload_size, sum(REQUESTS))

    def case_server_streaming(self):
        answers = self.stub.StreamingOutputCall(self.output(0, *RESPONSES), **self.options)
        check([len(a.payload.body) for a in answers], list(RESPONSES))

    def case_ping_pong(self):
        requests = Requests()
        answers = self.stub.FullDuplexCall(iter(requests), **self.options)
        for ask, want in zip(REQUESTS, RESPONSES):
            requests.put(self.output(ask, want))
            check(len(next(answers).payload.body), want)
        requests.close()
        check(list(answers), [])
        check(answers.code(), grpc.StatusCode.OK)

    def case_empty_stream(self):
        answers = self.stub.FullDuplexCall(iter(()), **self.options)
        check(list(answers), [])
        check(answers.code(), grpc.StatusCode.OK)

    def case_half_duplex(self):
        answers = self.stub.HalfDuplexCall(iter([self.output(ask, want) for ask, want in zip(REQUESTS, RESPONSES)]), **self.options)
        check([len(a.payload.body) for a in answers], list(RESPONSES))

    def case_cancel_after_begin(self):
        requests = Requests()
        call = self.stub.StreamingInputCall.future(iter(requests), **self.options)
        call.cancel()
        requests.close()
        check(call.cancelled(), True)
        check(call.code(), grpc.StatusCode.CANCELLED)

    def case_cancel_after_first_response(self):
        requests = Requests()
        answers = self.stub.FullDuplexCall(iter(requests), **self.options)
        requests.put(self.output(REQUESTS[0], RESPONSES[0]))
        check(len(next(answers).payload.body), RESPONSES[0])
        answers.cancel()
        requests.close()
        refused(lambda: next(answers), grpc.StatusCode.CANCELLED)

    def case_timeout_on_sleeping_server(self):
        requests = Requests()
        answers = self.stub.FullDuplexCall(iter(requests), **{**self.options, "timeout": 0.001})
        requests.put(self.output(REQUESTS[0]))
        refused(lambda: next(answers), grpc.StatusCode.DEADLINE_EXCEEDED)
        requests.close()

    def case_custom_metadata(self):
        options = {**self.options, "metadata": (INITIAL, TRAILING)}
        _, call = self.stub.UnaryCall.with_call(self.SimpleRequest(response_size=1, payload=self.Payload(body=b"x")), **options)
        self.echoed(call)
        call = self.stub.FullDuplexCall(iter([self.output(1, 1)]), **options)
        check(len(list(call)), 1)
        self.echoed(call)

    def echoed(self, call):
        check([m for m in call.initial_metadata() if m.key == INITIAL[0]], [INITIAL])
        check([m for m in call.trailing_metadata() if m.key == TRAILING[0]], [TRAILING])

    def case_status_code_and_message(self):
        status = self.EchoStatus(code=2, message="test status message")
        refused(lambda: self.stub.UnaryCall(self.SimpleRequest(response_status=status), **self.options),
                grpc.StatusCode.UNKNOWN, status.message)
        answers = self.stub.FullDuplexCall(iter([self.StreamingOutputCallRequest(response_status=status)]), **self.options)
        refused(lambda: next(answers), grpc.StatusCode.UNKNOWN, status.message)

    def case_special_status_message(self):
        status = self.EchoStatus(code=2, message=SPECIAL)
        refused(lambda: self.stub.UnaryCall(self.SimpleRequest(response_status=status), **self.options),
                grpc.StatusCode.UNKNOWN, SPECIAL)

    def case_unimplemented_method(self):
        refused(lambda: self.stub.UnimplementedCall(self.Empty(), **self.options), grpc.StatusCode.UNIMPLEMENTED)

    def case_unimplemented_service(self):
        call = self.channel.unary_unary("/grpc.testing.UnimplementedService/UnimplementedCall")
        refused(lambda: call(b"", **self.options), grpc.StatusCode.UNIMPLEMENTED)


class AsyncCases(Cases):
    """The cases that differ over grpc.aio, which has another transport loop: those that stream and cancel."""

    def __init__(self, channel, messages):
        self.__dict__.update(messages.__dict__)
        self.stub = described.Described(messages.channel).stub(channel, SERVICE)

    async def case_large_unary(self):
        request = self.SimpleRequest(response_size=LARGE_RESPONSE, payload=self.Payload(body=bytes(LARGE_REQUEST)))
        check((await self.stub.UnaryCall(request, **self.options)).payload.body, bytes(LARGE_RESPONSE))

    async def case_client_streaming(self):
        call = self.stub.StreamingInputCall(**self.options)
        for n in REQUESTS:
            await call.write(self.StreamingInputCallRequest(payload=self.Payload(body=bytes(n))))
        await call.done_writing()
        check((await call).aggregated_payload_size, sum(REQUESTS))

    async def case_server_streaming(self):
        call = self.stub.StreamingOutputCall(self.output(0, *RESPONSES), **self.options)
        check([len(a.payload.body) async for a in call], list(RESPONSES))

    async def case_ping_pong(self):
        call = self.stub.FullDuplexCall(**self.options)
        for ask, want in zip(REQUESTS, RESPONSES):
            await call.write(self.output(ask, want))
            check(len((await call.read()).payload.body), want)
        await call.done_writing()
        check(await call.read(), grpc.aio.EOF)
        check(await call.code(), grpc.StatusCode.OK)

    async def case_cancel_after_first_response(self):
        call = self.stub.FullDuplexCall(**self.options)
        await call.write(self.output(REQUESTS[0], RESPONSES[0]))
        check(len((await call.read()).payload.body), RESPONSES[0])
        call.cancel()
        check(await call.code(), grpc.StatusCode.CANCELLED)

    async def case_timeout_on_sleeping_server(self):
        call = self.stub.FullDuplexCall(**{**self.options, "timeout": 0.001})
        check(await call.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    async def case_status_code_and_message(self):
        call = self.stub.FullDuplexCall(**self.options)
        await call.write(self.StreamingOutputCallRequest(response_status=self.EchoStatus(code=2, message="test status message")))
        check((await call.code(), await call.details()), (grpc.StatusCode.UNKNOWN, "test status message"))


def report(name, error):
    print(json.dumps({"case": name, "error": error}), flush=True)


def cases(of):
    """The cases that a class has of its own."""
    return [name for name in vars(of) if name.startswith("case_")]


def run(prefix, target):
    for name in cases(Cases):
        error = None
        try:
            getattr(target, name)()
        except Exception:
            error = traceback.format_exc()
        report(prefix + name.removeprefix("case_"), error)


async def run_async(address, channel_of, messages):
    async with channel_of(grpc.aio, address) as channel:
        target = AsyncCases(channel, messages)
        for name in cases(AsyncCases):
            error = None
            try:
                await asyncio.wait_for(getattr(target, name)(), PATIENCE)
            except Exception:
                error = traceback.format_exc()
            report("aio/" + name.removeprefix("case_"), error)


def main(address, certificate=None):
    def channel_of(module, address):
        if certificate is None:
            return module.insecure_channel(address)
        roots = grpc.ssl_channel_credentials(pathlib.Path(certificate).read_bytes())
        return module.secure_channel(address, roots, (("grpc.ssl_target_name_override", "example.com"),))

    with channel_of(grpc, address) as channel:
        plain = Cases(channel)
        run("", plain)
        run("gzip/", Cases(channel, grpc.Compression.Gzip))
        run("deflate/", Cases(channel, grpc.Compression.Deflate))
        asyncio.run(run_async(address, channel_of, plain))


if __name__ == "__main__":
    main(*sys.argv[1:])
