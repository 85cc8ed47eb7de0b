"""Trace settings of two real Tritons, passed on to both alike, and the log settings of Sluice itself."""

import json
import pathlib
import tempfile
import unittest
import urllib.error
import urllib.request

import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

import sluice
import triton


def setUpModule():
    global TRITONS, SLUICE
    TRITONS = [triton.Triton("digits"), triton.Triton("digits")]
    for server in TRITONS:
        unittest.addModuleCleanup(server.close)
    folder = tempfile.TemporaryDirectory(prefix="sluice-settings-")
    unittest.addModuleCleanup(folder.cleanup)
    file = pathlib.Path(folder.name) / "sluice.yaml"
    (file.parent / "token").write_text("secret\n")
    endpoints = ", ".join(f'{{address: "{server.grpc}"}}' for server in TRITONS)
    file.write_text(f"""\
version: 1
listen:
  http: {{address: "127.0.0.1:0"}}
  grpc: {{address: "127.0.0.1:0"}}
  metrics: {{address: "127.0.0.1:0"}}
  admin: {{address: "127.0.0.1:0", token: token}}
pools:
  - {{name: two, kind: triton, discover: true, trace_control: true, endpoints: [{endpoints}]}}
""")
    SLUICE = sluice.Sluice(arguments=["-c", str(file)])
    unittest.addModuleCleanup(SLUICE.stop)


ALLOWED = {"authorization": "Bearer secret"}


def post(path, body, headers):
    request = urllib.request.Request(f"http://{SLUICE.http}{path}", data=body.encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def plain(settings):
    """What a client of either protocol says of trace settings, in one form."""
    if isinstance(settings, dict):
        return {key: value if isinstance(value, list) else [value] for key, value in settings.items()}
    return {key: list(value.value) for key, value in settings.settings.items()}


class TraceTest(unittest.TestCase):
    def clients(self, server):
        for module, address in ((tritonclient.http, server.http), (tritonclient.grpc, server.grpc)):
            client = module.InferenceServerClient(address)
            self.addCleanup(client.close)
            yield client

    def test_reading_is_as_of_a_triton(self):
        for model in (None, "digits"):
            said = [plain(c.get_trace_settings(model)) for server in (*TRITONS, SLUICE) for c in self.clients(server)]
            self.assertEqual(said, said[:1] * 6)
            self.assertEqual(said[0]["trace_level"], ["OFF"])

    def test_the_form_over_rest(self):
        said = []
        for server in (TRITONS[0], SLUICE):
            for path in ("/v2/trace/setting", "/v2/models/digits/trace/setting"):
                with urllib.request.urlopen(f"http://{server.http}{path}", timeout=30) as answer:
                    said.append(json.loads(answer.read()))
        self.assertEqual(said, said[:1] * 4)

    def test_writing_reaches_every_server(self):
        for model in (None, "digits"):
            for client, rate in zip(self.clients(SLUICE), ("21", "22")):
                answer = client.update_trace_settings(model, {"trace_rate": rate}, headers=ALLOWED)
                self.assertEqual(plain(answer)["trace_rate"], [rate])
                for server in TRITONS:
                    for direct in self.clients(server):
                        self.assertEqual(plain(direct.get_trace_settings(model))["trace_rate"], [rate])
            for client in self.clients(SLUICE):
                client.update_trace_settings(model, {"trace_rate": None}, headers=ALLOWED)
                self.assertEqual(plain(client.get_trace_settings(model))["trace_rate"], ["1000"])

    def test_who_may_not_write(self):
        for client in self.clients(SLUICE):
            for headers in ({}, {"authorization": "Bearer wrong"}):
                with self.assertRaises(InferenceServerException) as refused:
                    client.update_trace_settings("digits", {"trace_rate": "3"}, headers=headers)
                self.assertIn(refused.exception.status(), ("401", "StatusCode.UNAUTHENTICATED"))
        self.assertEqual(post("/v2/trace/setting", '{"trace_rate":"3"}', {})[0], 401)
        for server in TRITONS:
            for direct in self.clients(server):
                self.assertEqual(plain(direct.get_trace_settings("digits"))["trace_rate"], ["1000"])

    def test_what_is_refused(self):
        for client in self.clients(SLUICE):
            with self.assertRaises(InferenceServerException) as refused:
                client.get_trace_settings("nobody")
            self.assertIn(refused.exception.status(), ("404", "StatusCode.NOT_FOUND"))
        for body, status in (('{"trace_file":"/tmp/x"}', 501), ('{"trace_rate":7}', 400), ('{"trace_level":[1]}', 400), ("{", 400), ("", 400)):
            with self.subTest(body=body):
                self.assertEqual(post("/v2/trace/setting", body, ALLOWED)[0], status)
        self.assertEqual(post("/v2/models/digits/versions/1/trace/setting", "{}", ALLOWED)[0], 404)

    def test_servers_that_differ(self):
        direct = next(self.clients(TRITONS[1]))
        direct.update_trace_settings(None, {"log_frequency": "7"})
        try:
            for client in self.clients(SLUICE):
                with self.assertRaises(InferenceServerException) as refused:
                    client.get_trace_settings()
                self.assertIn("log_frequency", refused.exception.message())
        finally:
            direct.update_trace_settings(None, {"log_frequency": "0"})


class LogTest(unittest.TestCase):
    def test_settings(self):
        with tritonclient.http.InferenceServerClient(SLUICE.http) as http, tritonclient.grpc.InferenceServerClient(SLUICE.grpc) as grpc:
            before = http.get_log_settings()
            self.assertEqual(before, {
                "log_file": "", "log_info": True, "log_warning": True, "log_error": True, "log_verbose_level": 0, "log_format": "json"})
            self.assertEqual(self.levels(grpc.get_log_settings(as_json=True)["settings"]), (True, True, True, 0))
            try:
                changed = http.update_log_settings({"log_verbose_level": 1}, headers=ALLOWED)
                self.assertEqual(changed, {**before, "log_verbose_level": 1})
                changed = grpc.update_log_settings({"log_verbose_level": 0, "log_info": False}, headers=ALLOWED, as_json=True)
                self.assertEqual(self.levels(changed["settings"]), (False, True, True, 0))
            finally:
                http.update_log_settings({"log_verbose_level": 0, "log_info": True}, headers=ALLOWED)
            self.assertEqual(http.get_log_settings(), before)
        self.assertIn("least level", SLUICE.log())

    def levels(self, settings):
        flags = [settings[name].get("bool_param", False) for name in ("log_info", "log_warning", "log_error")]
        return (*flags, int(settings["log_verbose_level"].get("uint32_param", 0)))

    def test_what_is_refused(self):
        for body, headers, status in (
            ('{"log_info":false}', {}, 401), ('{"log_file":"/etc/passwd"}', ALLOWED, 501), ('{"log_format":"ISO8601"}', ALLOWED, 501),
            ('{"log_error":false}', ALLOWED, 400), ('{"log_warning":false}', ALLOWED, 400), ('{"log_info":0}', ALLOWED, 400),
            ('{"log_info":false,"log_verbose_level":1}', ALLOWED, 400), ('{"nope":true}', ALLOWED, 400), ("{", ALLOWED, 400), ("", ALLOWED, 400),
            ('{"log_verbose_level":99999999999}', ALLOWED, 400), ('{"log_verbose_level":-1}', ALLOWED, 400),
        ):
            with self.subTest(body=body):
                self.assertEqual(post("/v2/logging", body, headers)[0], status)
        self.assertEqual(post("/v2/logging", "{}", ALLOWED)[0], 200)


if __name__ == "__main__":
    unittest.main()
