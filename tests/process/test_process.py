"""The process as an operator meets it: configuration, reload, signals, faults."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import sluice

BODY = (sluice.DIGITS / "sample.json").read_bytes()
PATH = "/v2/models/digits/infer"
DELAY, GRACE = 1.0, 5.0


def configuration(weights, extra=""):
    """A configuration file that splits the digits versions by weight."""
    targets = "\n".join(f'      - {{version: "{v}", pool: local, weight: {w}}}' for v, w in weights.items())
    return f"""\
version: 1
pools:
  - {{name: local, kind: onnx, repository: {sluice.DIGITS / "models"}}}
models:
  - name: digits
    targets:
{targets}
drain: {{delay: {DELAY}s, grace: {GRACE}s}}
{extra}"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(address, path, body=None):
    """The status and the body of an answer; a status of 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", body, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError as error:
        return 0, str(error).encode()


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sluice-config-")
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "sluice.yaml"

    def start(self, weights, *arguments, environment=None):
        self.file.write_text(configuration(weights))
        server = sluice.Sluice(arguments=["-c", str(self.file), *arguments], environment=environment)
        self.addCleanup(server.kill)
        return server

    def connect(self, server):
        host, port = server.http.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        self.addCleanup(connection.close)
        return connection

    def versions(self, connection, count):
        """How many of count requests each version answered."""
        seen = {}
        for _ in range(count):
            connection.request("POST", PATH, BODY)
            response = connection.getresponse()
            answer = response.read()
            self.assertEqual(response.status, 200, answer)
            version = json.loads(answer)["model_version"]
            self.assertEqual(response.headers["sluice-version"], version)
            seen[version] = seen.get(version, 0) + 1
        return seen


def metric(server, name):
    """The sum of the samples of a metric."""
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as response:
        text = response.read().decode()
    samples = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
    if not samples:
        raise AssertionError(f"no sample of {name}")
    return sum(float(s) for s in samples)


def until(condition, what, patience=15):
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} within {patience} s")
        time.sleep(0.02)


class Load:
    """Callers that send one request after the other, each on its own connection,
    until the server refuses new ones or they are told to stop."""

    def __init__(self, server, callers=4):
        self.host, port = server.http.rsplit(":", 1)
        self.port = int(port)
        self.answered, self.failures = 0, []
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def _call(self):
        while not self._stop.is_set():
            connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
            try:
                connection.connect()
            except ConnectionRefusedError:
                return
            answers = 0
            with contextlib.closing(connection):
                while not self._stop.is_set():
                    try:
                        connection.request("POST", PATH, BODY)
                        response = connection.getresponse()
                        body = response.read()
                    except OSError as error:
                        # A connection that never had an answer may have been one that
                        # the kernel took and the server never accepted.
                        if answers:
                            self._fail(f"after {answers} answers: {error!r}")
                        break
                    if response.status != 200:
                        self._fail(f"{response.status} {body!r}")
                    answers += 1
                    with self._lock:
                        self.answered += 1
                    if response.will_close:
                        break

    def _fail(self, what):
        with self._lock:
            self.failures.append(what)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


class TestSplit(Case):
    def test_shares_are_exact(self):
        for weights, count in (({"1": 90, "2": 10}, 2000), ({"1": 1, "2": 2}, 900), ({"1": 1, "2": 0}, 100)):
            with self.subTest(weights=weights):
                server = self.start(weights)
                seen = self.versions(self.connect(server), count)
                for version, weight in weights.items():
                    want = count * weight / sum(weights.values())
                    self.assertLessEqual(abs(seen.get(version, 0) - want), 0.002 * count, seen)
                server.stop()


class TestReload(Case):
    def test_under_load_no_request_fails(self):
        server = self.start({"1": 1, "2": 1})
        load = Load(server)
        self.addCleanup(load.stop)
        for round in range(20):
            before = load.answered
            self.file.write_text(configuration({"1": round + 1, "2": 20 - round}))
            server.process.send_signal(signal.SIGHUP)
            until(lambda: load.answered > before + 50, "no answers between reloads")
        self.file.write_text(configuration({"1": 0, "2": 1}))
        server.process.send_signal(signal.SIGHUP)
        connection = self.connect(server)
        until(lambda: self.versions(connection, 20) == {"2": 20}, "the last weights are not in force")
        load.stop()
        self.assertEqual(load.failures, [])
        self.assertEqual(metric(server, "sluice_in_flight_requests"), 0)
        server.stop()

    def test_a_bad_file_keeps_the_old(self):
        server = self.start({"1": 1, "2": 0})
        connection = self.connect(server)
        self.assertEqual(metric(server, "sluice_config_last_reload_successful"), 1)
        self.file.write_text(configuration({"1": 0, "2": 1}, extra="nonsense: true\n"))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: metric(server, "sluice_config_last_reload_successful") == 0, "the gauge does not fall")
        self.assertEqual(self.versions(connection, 20), {"1": 20})
        self.file.write_text(configuration({"1": 0, "2": 1}))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: metric(server, "sluice_config_last_reload_successful") == 1, "the gauge does not rise")
        until(lambda: self.versions(connection, 20) == {"2": 20}, "the mended file is not in force")
        log = server.stop()
        self.assertIn("nonsense", log)

    def test_a_change_of_the_file_is_seen(self):
        server = self.start({"1": 1, "2": 0})
        connection = self.connect(server)
        self.assertEqual(self.versions(connection, 5), {"1": 5})
        self.file.write_text(configuration({"1": 0, "2": 1}))
        until(lambda: self.versions(connection, 5) == {"2": 5}, "the changed file is not in force")
        server.stop()


class TestSignals(Case):
    def ended(self, server, within):
        """The exit status, which must come in time."""
        begun = time.monotonic()
        try:
            status = server.process.wait(within + 10)
        except subprocess.TimeoutExpired:
            self.fail(f"still running:\n{server.log()}")
        took = time.monotonic() - begun
        self.assertLessEqual(took, within, server.log())
        return status, took

    def test_sigterm_under_load_answers_what_it_accepted(self):
        server = self.start({"1": 1, "2": 1})
        load = Load(server, callers=8)
        self.addCleanup(load.stop)
        until(lambda: load.answered > 200, "no load")
        server.process.send_signal(signal.SIGTERM)
        status, took = self.ended(server, DELAY + GRACE + 1)
        load.stop()
        self.assertEqual((status, load.failures), (0, []))
        self.assertGreaterEqual(took, DELAY * 0.9, "it did not wait for balancers to look away")

    def test_sigterm_fails_readiness_and_serves_on_for_the_delay(self):
        server = self.start({"1": 1, "2": 1})
        connection = self.connect(server)
        server.process.send_signal(signal.SIGTERM)

        def not_ready():
            connection.request("GET", "/v2/health/ready")
            response = connection.getresponse()
            response.read()
            return response.status == 503

        until(not_ready, "readiness does not fail", patience=DELAY)
        self.assertEqual(sum(self.versions(connection, 5).values()), 5)
        self.assertEqual(self.ended(server, DELAY + 1)[0], 0)

    def test_sigterm_with_idle_connections_ends_after_the_delay(self):
        server = self.start({"1": 1, "2": 1})
        for _ in range(20):
            self.versions(self.connect(server), 1)
        server.process.send_signal(signal.SIGTERM)
        status, took = self.ended(server, DELAY + 1)
        self.assertEqual(status, 0)
        self.assertGreaterEqual(took, DELAY * 0.9)

    def test_sigint_skips_the_delay(self):
        server = self.start({"1": 1, "2": 1})
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(self.ended(server, DELAY * 0.8)[0], 0)

    def test_grace_waits_for_a_request_and_a_second_signal_does_not(self):
        for second in (False, True):
            with self.subTest(second=second):
                server = self.start({"1": 1, "2": 1})
                host, port = server.http.rsplit(":", 1)
                with socket.create_connection((host, int(port))) as half:
                    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
                    half.sendall(head + BODY[:100])
                    until(lambda: metric(server, "sluice_connections") >= 1, "the connection is not seen")
                    server.process.send_signal(signal.SIGINT)
                    if second:
                        time.sleep(0.2)
                        server.process.send_signal(signal.SIGINT)
                        self.ended(server, 1)
                        continue
                    time.sleep(0.5)
                    self.assertIsNone(server.process.poll(), "it ended over a request in flight")
                    half.sendall(BODY[100:])
                    self.assertIn(b" 200 ", half.recv(65536).split(b"\r\n")[0])
                    self.assertEqual(self.ended(server, GRACE)[0], 0)

    def test_after_kill_the_next_start_serves_at_once(self):
        address = "127.0.0.1:%d" % free_port()
        server = self.start({"1": 1, "2": 1}, "--http", address)
        self.versions(self.connect(server), 10)
        server.process.kill()
        server.process.wait()
        again = self.start({"1": 1, "2": 1}, "--http", address)
        self.assertEqual(sum(self.versions(self.connect(again), 10).values()), 10)
        again.stop()


class TestFaults(Case):
    def run_serve(self, *arguments):
        command = [sluice.BINARY, "serve", "--metrics", "127.0.0.1:0", "--admin", "127.0.0.1:0", *arguments]
        return subprocess.run(command, cwd=sluice.ROOT, text=True, capture_output=True, timeout=60)

    def test_every_problem_of_a_configuration_at_once(self):
        self.file.write_text(configuration({"1": 1}).replace("weight: 1", "wieght: 1") + "limits: {body: large}\nnonsense: true\n")
        done = self.run_serve("-c", str(self.file))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, r'sluice\.yaml:7:\d+: models\[0\]\.targets\[0\]: unknown field "wieght" \(did you mean "weight"\?\)')
        self.assertRegex(done.stderr, r"sluice\.yaml:9:\d+: limits\.body: .*large")
        self.assertRegex(done.stderr, r'sluice\.yaml:10:1: .*unknown field "nonsense"')

    def test_nothing_to_serve(self):
        done = self.run_serve()
        self.assertEqual(done.returncode, 2)
        self.assertIn("--backend", done.stderr)

    def test_a_port_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            done = self.run_serve("--backend", f"onnx={sluice.DIGITS / 'models'}", "--http", address)
        self.assertEqual(done.returncode, 1)
        self.assertIn(address, done.stderr)

    def test_without_the_library_it_runs_and_says_so(self):
        self.file.write_text(configuration({"1": 1, "2": 1}))
        http, admin = "127.0.0.1:%d" % free_port(), "127.0.0.1:%d" % free_port()
        command = [sluice.BINARY, "serve", "-c", self.file, "--http", http, "--metrics", "127.0.0.1:0", "--admin", admin]
        server = subprocess.Popen(command, cwd=sluice.ROOT, text=True, stderr=subprocess.PIPE,
                                  env={**os.environ, "SLUICE_ONNXRUNTIME": "/nowhere/libonnxruntime.so"})
        self.addCleanup(server.stderr.close)
        self.addCleanup(server.kill)
        until(lambda: ask(http, "/v2/health/live")[0] == 200, "it does not run")
        for path in (PATH, "/v2/health/ready"):
            status, body = ask(http, path, BODY if path == PATH else None)
            self.assertEqual(status, 503, body)
            self.assertNotIn(b"/nowhere", body)
        status, body = ask(admin, "/readyz")
        self.assertEqual(status, 503, body)
        self.assertIn(b"/nowhere/libonnxruntime.so", body)
        server.send_signal(signal.SIGINT)
        self.assertIn("/nowhere/libonnxruntime.so", server.communicate(timeout=20)[1])
        self.assertEqual(server.returncode, 0)

    def test_a_log_that_nobody_reads_any_more(self):
        self.file.write_text(configuration({"1": 1, "2": 1}))
        http = "127.0.0.1:%d" % free_port()
        command = [sluice.BINARY, "serve", "-c", self.file, "--http", http, "--metrics", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        server = subprocess.Popen(command, cwd=sluice.ROOT, stderr=subprocess.PIPE)
        self.addCleanup(server.kill)
        server.stderr.close()
        until(lambda: ask(http, "/v2/health/ready")[0] == 200, "it is not ready")
        for _ in range(3):  # each is logged
            self.assertEqual(ask(http, "/v2/models/nobody")[0], 404)
        server.send_signal(signal.SIGINT)
        self.assertEqual(server.wait(20), 0)


class TestConservation(Case):
    def test_every_request_is_counted_once(self):
        server = self.start({"1": 1, "2": 1})
        load = Load(server, callers=8)
        time.sleep(1)
        load.stop()
        connection = self.connect(server)
        connection.request("POST", PATH, b'{"inputs": []}')
        response = connection.getresponse()
        response.read()
        self.assertEqual((response.status, load.failures), (400, []))
        self.assertEqual(metric(server, "sluice_in_flight_requests"), 0)
        self.assertEqual(metric(server, "sluice_requests_total"), load.answered + 1)
        self.assertEqual(metric(server, "sluice_inflight_bytes"), 0)
        server.stop()


if __name__ == "__main__":
    unittest.main()
