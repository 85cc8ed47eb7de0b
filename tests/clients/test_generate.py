"""Triton's generate and generate_stream, asked of Triton itself and of Sluice in front of it: the same answers.

What they answer alike is compared with one table; what Sluice answers otherwise on
purpose is in a test of its own.
"""

import json
import time
import unittest
import unittest.mock
import urllib.error
import urllib.request

import triton


def setUpModule():
    global SERVERS
    SERVERS = triton.Servers("repeat", "digits", "identity")


def post(address, path, body):
    """Status, content type and text of the answer."""
    request = urllib.request.Request(f"http://{address}/v2/models/{path}", data=body.encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def events(text):
    """The data of the events of a stream."""
    said = text.split("\n\n")
    assert said.pop() == "" and all(event.startswith("data: ") for event in said), text
    return [json.loads(event.removeprefix("data: ")) for event in said]


IMAGE = json.dumps({"image": [0] * 64})

ONE = {  # of models that answer with one response
    "scalar": ("identity", '{"IN_FP32": 1.5}', {"OUT_FP32": 1.5}),
    "list": ("identity", '{"IN_FP32": [1, 2.5]}', {"OUT_FP32": [1, 2.5]}),
    "empty list": ("identity", '{"IN_FP32": []}', {"OUT_FP32": []}),
    "text": ("identity", '{"IN_BYTES": "h\\u00e9llo"}', {"OUT_BYTES": "héllo"}),
    "texts": ("identity", '{"IN_BYTES": ["a", "b"]}', {"OUT_BYTES": ["a", "b"]}),
    "bool": ("identity", '{"IN_BOOL": true}', {"OUT_BOOL": True}),
    "wide integer": ("identity", '{"IN_INT64": 9007199254740993}', {"OUT_INT64": 9007199254740993}),
    "two inputs": ("identity", '{"IN_FP64": 1, "IN_INT8": -7}', {"OUT_FP64": 1, "OUT_INT8": -7}),
    "id": ("identity", '{"IN_INT8": 1, "id": "me"}', {"OUT_INT8": 1, "id": "me"}),
    "parameters": ("identity", '{"IN_INT8": 1, "a": 1, "b": "x", "parameters": {"c": true}}', {"OUT_INT8": 1}),
    "version": ("digits/versions/1", IMAGE, {"model_version": "1"}),
    "decoupled": ("repeat", '{"count": 1}', {"index": 0, "payload": [], "cancelled": unittest.mock.ANY}),
}

BAD = {  # 400, though Triton says 500 of some
    "no object": ("repeat", "[]"),
    "cut": ("repeat", '{"count": 1'),
    "nothing": ("repeat", ""),
    "no input": ("repeat", "{}"),
    "another type": ("repeat", '{"count": "x"}'),
    "half a number": ("repeat", '{"count": 1.5}'),
    "an object": ("repeat", '{"count": 1, "extra": {"nested": 1}}'),
    "null": ("repeat", '{"count": 1, "extra": null}'),
    "an id that is none": ("repeat", '{"count": 1, "id": 7}'),
    "a list in a list": ("digits", json.dumps({"image": [[0] * 64]})),
    "too few": ("digits", '{"image": [1, 2]}'),
}


@triton.both
class Generate:
    def address(self):
        return getattr(SERVERS, self.front).http

    def test_one_response(self):
        for name, (model, body, want) in ONE.items():
            with self.subTest(name=name):
                status, kind, text = post(self.address(), f"{model}/generate", body)
                self.assertEqual((status, kind), (200, "application/json"), text)
                self.check(model, json.loads(text), want)

    def check(self, model, answer, want):
        self.assertEqual(answer["model_name"], model.split("/")[0])
        self.assertEqual({key: answer.get(key) for key in want}, want)
        outputs = set(answer) - {"model_name", "model_version"}
        if "model_version" not in want:
            self.assertEqual(outputs, set(want))

    def test_one_event(self):
        for name, (model, body, want) in ONE.items():
            if name == "decoupled":
                continue
            with self.subTest(name=name):
                status, kind, text = post(self.address(), f"{model}/generate_stream", body)
                self.assertEqual((status, kind), (200, "text/event-stream; charset=utf-8"), text)
                self.assertTrue(text.startswith("data: ") and text.endswith("\n\n") and text.count("\n") == 2, text)
                self.check(model, json.loads(text[len("data: "):]), want)

    def test_not_one_response(self):
        """Triton has sent status 200 when it finds out."""
        for name, body in (("none", '{"count": 0}'), ("two", '{"count": 2}'), ("many", '{"count": 1000}')):
            with self.subTest(name=name):
                status, kind, text = post(self.address(), "repeat/generate", body)
                self.assertEqual((status, kind), (200 if self.front == "triton" else 400, "application/json"))
                self.assertIn("exactly", json.loads(text)["error"])

    def test_what_is_refused(self):
        for form in ("generate", "generate_stream"):
            for name, (model, body) in BAD.items():
                with self.subTest(form=form, name=name):
                    status, kind, text = post(self.address(), f"{model}/{form}", body)
                    self.assertIn(status, (400, 500) if self.front == "triton" else (400, 501))
                    self.assertEqual(kind, "application/json")
                    self.assertTrue(json.loads(text)["error"])
            for path in ("nobody", "repeat/versions/9"):
                self.assertEqual(post(self.address(), f"{path}/{form}", '{"count": 1}')[0], 404)

    def test_events_of_a_decoupled_model(self):
        for count in (0, 1, 2, 300):
            with self.subTest(count=count):
                status, kind, text = post(self.address(), "repeat/generate_stream", json.dumps({"count": count, "size": 100}))
                self.assertEqual((status, kind), (200, "text/event-stream; charset=utf-8"), text)
                said = events(text)
                self.assertEqual([event["index"] for event in said], list(range(count)))
                for event in said:
                    self.assertEqual((event["model_name"], event["payload"]), ("repeat", [event["index"] % 251] * 100))

    def test_events_come_as_they_are_said(self):
        request = urllib.request.Request(
            f"http://{self.address()}/v2/models/repeat/generate_stream", data=b'{"count": 3, "delay": 0.3}')
        begin, came = time.monotonic(), []
        with urllib.request.urlopen(request, timeout=30) as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    came.append(time.monotonic() - begin)
        self.assertEqual(len(came), 3)
        self.assertLess(came[0], 0.6)
        self.assertGreater(came[2] - came[1], 0.2)

    def test_an_event_that_fails(self):
        status, kind, text = post(self.address(), "repeat/generate_stream", '{"count": 5, "fail_at": 2}')
        self.assertEqual((status, kind), (200, "text/event-stream; charset=utf-8"))
        said = events(text)
        self.assertEqual([event.get("index") for event in said], [0, 1, None])
        self.assertIn("fails as asked", said[2]["error"])

    def test_a_first_event_that_fails(self):
        """Triton knows the status that its model gave; a stream of gRPC has only the text."""
        status, _, text = post(self.address(), "repeat/generate_stream", '{"count": 5, "fail_at": 0}')
        self.assertEqual(status, 400 if self.front == "triton" else 500)
        self.assertIn("fails as asked", text)

    def test_a_client_that_leaves_ends_its_model(self):
        before = json.loads(post(self.address(), "repeat/generate", '{"count": 1}')[2])["cancelled"]
        answer = urllib.request.urlopen(
            f"http://{self.address()}/v2/models/repeat/generate_stream", data=b'{"count": 100000, "delay": 0.01}', timeout=30)
        answer.readline()
        answer.close()
        deadline = time.monotonic() + 20
        while json.loads(post(self.address(), "repeat/generate", '{"count": 1}')[2])["cancelled"] == before:
            self.assertLess(time.monotonic(), deadline, "the model goes on")
            time.sleep(0.05)


class OtherwiseTest(unittest.TestCase):
    def test_numbers_that_do_not_fit(self):
        """Triton cuts off what does not fit."""
        self.assertEqual(post(SERVERS.triton.http, "identity/generate", '{"IN_INT8": 300}')[0], 200)
        self.assertEqual(post(SERVERS.sluice.http, "identity/generate", '{"IN_INT8": 300}')[0], 400)


if __name__ == "__main__":
    unittest.main()
