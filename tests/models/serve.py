"""Send a corpus (corpus.py, real.py) through a running server and compare the answers.

    python serve.py BINARY CORPUS

starts `BINARY serve --backend onnx=CORPUS/repository`, sends every request alone, in v2's binary form and in JSON, and
then many at a time, and exits 1 with a line for each answer that is not what Python's onnxruntime gave.
"""

import base64
import concurrent.futures
import http.client
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import ml_dtypes
import numpy as np

FLOATS = {"FP16": np.float16, "BF16": ml_dtypes.bfloat16, "FP32": np.float32, "FP64": np.float64}
WHOLE = {"BOOL": np.bool_} | {f"{sign}INT{bits}": np.dtype(f"{sign}int{bits}".lower()) for sign in ("", "U") for bits in (8, 16, 32, 64)}
NUMBERS = FLOATS | WHOLE


class Connections:
    """One connection to the server for each thread."""

    def __init__(self, address):
        self.address, self.local, self.all = address, threading.local(), []

    def exchange(self, model, body, headers):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(self.address)
            self.all.append(self.local.connection)
        self.local.connection.request("POST", f"/v2/models/{model}/infer", body, headers)
        answer = self.local.connection.getresponse()
        return answer, answer.read()

    def close(self):
        for connection in self.all:
            connection.close()


def infer(server, model, request):
    """Return (status, outputs by name or the error's text)."""
    head = {"inputs": [], "parameters": {"binary_data_output": True}}
    data = b""
    for t in request["inputs"]:
        raw = base64.b64decode(t["data"])
        head["inputs"].append({"name": t["name"], "datatype": t["dtype"], "shape": t["shape"],
                               "parameters": {"binary_data_size": len(raw)}})
        data += raw
    text = json.dumps(head).encode()
    answer, body = server.exchange(model, text + data, {"Inference-Header-Content-Length": str(len(text)),
                                                        "Content-Type": "application/octet-stream"})
    if answer.status != 200:
        return answer.status, body.decode()
    size = int(answer.headers.get("Inference-Header-Content-Length", len(body)))
    outputs, at = {}, size
    for t in json.loads(body[:size]).get("outputs", []):
        n = t["parameters"]["binary_data_size"]
        outputs[t["name"]] = (t["datatype"], t["shape"], body[at:at + n])
        at += n
    return 200, outputs


def as_json(request):
    """The request's body in JSON, or None if it holds what JSON cannot."""
    inputs = []
    for t in request["inputs"]:
        raw = base64.b64decode(t["data"])
        if t["dtype"] == "BYTES":
            data = [x.decode() for x in strings(raw)]
        else:
            values = np.frombuffer(raw, NUMBERS[t["dtype"]])
            if t["dtype"] in FLOATS:
                values = values.astype(np.float64)
                if not np.isfinite(values).all():
                    return None
            data = values.tolist()
        inputs.append({"name": t["name"], "datatype": t["dtype"], "shape": t["shape"], "data": data})
    return json.dumps({"inputs": inputs}).encode()


def strings(raw):
    while raw:
        n = int.from_bytes(raw[:4], "little")
        yield raw[4:4 + n]
        raw = raw[4 + n:]


def infer_json(server, model, body):
    """Like infer, in JSON both ways: the outputs come back as the bytes that their numbers stand for."""
    answer, text = server.exchange(model, body, {"Content-Type": "application/json"})
    if answer.status != 200:
        return answer.status, text.decode()
    outputs = {}
    for t in json.loads(text).get("outputs", []):
        if t["datatype"] == "BYTES":
            data = b"".join(len(x.encode()).to_bytes(4, "little") + x.encode() for x in t["data"])
        else:
            exact = object if t["datatype"] in WHOLE else np.float64
            data = np.array(t["data"], dtype=exact).astype(NUMBERS[t["datatype"]]).tobytes()
        outputs[t["name"]] = (t["datatype"], t["shape"], data)
    return 200, outputs


def differs(case, request, status, outputs, merged):
    if request["fails"] or case["unavailable"]:
        return "" if status in (400, 404, 500, 502, 503) else f"{status}, and it must fail"
    if status != 200:
        return f"{status}: {outputs[:300]}"
    for want in request["outputs"]:
        dtype, shape, data = outputs.get(want["name"], (None, None, None))
        raw = base64.b64decode(want["data"])
        if (dtype, shape) != (want["dtype"], want["shape"]):
            return f"{want['name']}: {dtype} {shape}, want {want['dtype']} {want['shape']}"
        if data == raw or case["random"]:
            continue
        if dtype not in FLOATS or not merged and not same_but_nan(dtype, raw, data):
            return f"{want['name']}: other bytes"
        if not merged:
            continue
        x, y = (np.frombuffer(b, FLOATS[dtype]).astype(np.float64).reshape(max(shape[0], 1), -1) for b in (raw, data))
        scale = np.max(np.abs(np.where(np.isfinite(x), x, 0)), axis=1, keepdims=True)
        limit = scale * (1e-2 if dtype in ("FP16", "BF16") else 1e-4)
        if not ((np.abs(x - y) <= limit) | (x == y) | (np.isnan(x) & np.isnan(y))).all():
            return f"{want['name']}: other numbers"
    return ""


def same_but_nan(dtype, x, y):
    """JSON has one NaN, floats have many."""
    x, y = np.frombuffer(x, FLOATS[dtype]), np.frombuffer(y, FLOATS[dtype])
    nan = np.isnan(x) & np.isnan(y)
    return np.where(nan, 0, x).tobytes() == np.where(nan, 0, y).tobytes()


def check(binary, corpus):
    """Return how many requests were sent alone, and a line for each wrong answer."""
    cases = json.loads((corpus / "cases.json").read_text())
    jobs = [(c, r) for c in cases for r in c["requests"]]
    wrong = []
    with tempfile.TemporaryDirectory() as scratch, open(pathlib.Path(scratch) / "log", "w") as log:
        ready = pathlib.Path(scratch) / "ready.json"
        process = subprocess.Popen([binary, "serve", "--backend", f"onnx={corpus / 'repository'}", "--http", "127.0.0.1:0",
                                   "--metrics", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ready-file", str(ready)], stderr=log)
        try:
            server = Connections(wait(process, ready))
            for c, r in jobs:
                if why := differs(c, r, *infer(server, c["model"], r), False):
                    wrong.append(f"{c['model']}, alone: {why}")
                if (body := as_json(r)) is not None:
                    if why := differs(c, r, *infer_json(server, c["model"], body), False):
                        wrong.append(f"{c['model']}, in JSON: {why}")
            many = [job for job in jobs for _ in range(8)]
            with concurrent.futures.ThreadPoolExecutor(32) as pool:
                for (c, r), answer in zip(many, pool.map(lambda job: infer(server, job[0]["model"], job[1]), many)):
                    if why := differs(c, r, *answer, True):
                        wrong.append(f"{c['model']}, among others: {why}")
            server.close()
            if process.poll() is not None:
                wrong.append(f"the server ended with {process.returncode}")
        finally:
            process.terminate()
            process.wait(60)
    return len(jobs), list(dict.fromkeys(wrong))


def wait(process, ready):
    """Wait until the server is ready and return its address."""
    for _ in range(2400):
        if ready.exists():
            return json.loads(ready.read_text())["http"]
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError("the server was not ready in two minutes")


def main():
    sent, wrong = check(sys.argv[1], pathlib.Path(sys.argv[2]))
    for line in wrong:
        print(line)
    print(sent, "requests,", len(wrong), "wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
