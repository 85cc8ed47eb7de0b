"""Real models, small and not so small: the answers of Python's ONNX Runtime."""

import concurrent.futures
import unittest

import numpy
import onnx
import onnxruntime
import tritonclient.http as triton
from onnx import numpy_helper
from tritonclient.utils import np_to_triton_dtype

import sluice

REAL = sluice.CACHE / "models" / "real"
LIGHT = sluice.CACHE / "models" / "light"
server = None


def setUpModule():
    global server
    server = sluice.Sluice(REAL, LIGHT)
    unittest.addModuleCleanup(server.stop)


def inputs_of_real_models(random):
    """Model -> runs of it, each input -> array: real shapes on their free axes."""
    def floats(*shape):
        return random.random(shape, dtype=numpy.float32)

    state, rate = numpy.zeros((2, 1, 128), numpy.float32), numpy.array(16000, numpy.int64)
    return {
        "magika": [{"bytes": random.integers(0, 256, (rows, 2048), dtype=numpy.int32)} for rows in (1, 3)],
        "ch_PP-OCRv4_det_infer": [{"x": floats(1, 3, 64, 96)}, {"x": floats(1, 3, 96, 64)}],
        "ch_PP-OCRv4_rec_infer": [{"x": floats(1, 3, 48, 160)}, {"x": floats(2, 3, 48, 320)}],
        "ch_ppocr_mobile_v2.0_cls_infer": [{"x": floats(rows, 3, 48, 192)} for rows in (1, 3)],
        "silero_vad": [{"input": floats(1, 576), "state": state, "sr": rate}],
        "silero_vad_16k_op15": [{"input": floats(1, 576), "state": state, "sr": rate}],
        "silero_vad_16k_sequence": [{"input": floats(5, 576), "h": state[:1], "c": state[:1]}],
        "silero_vad_half": [{"input": floats(1, 576), "state": state}],
        "silero_vad_op18_ifless": [{"input": floats(1, 576), "state": state, "sr": rate}],
        "silero_vad_openvino_16k": [{"input": floats(1, 576), "state": state}],
    }


def oracle(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options)


class TestModels(unittest.TestCase):
    def setUp(self):
        self.client = triton.InferenceServerClient(server.http, network_timeout=120)
        self.addCleanup(self.client.close)

    def infer(self, name, arrays, client=None):
        inputs = []
        for key, array in arrays.items():
            made = triton.InferInput(key, list(array.shape), np_to_triton_dtype(array.dtype))
            made.set_data_from_numpy(array)
            inputs.append(made)
        return (client or self.client).infer(name, inputs)

    def same(self, got, want, what):
        self.assertEqual((got.dtype, got.shape), (want.dtype, want.shape), what)
        if want.dtype.kind == "f":
            scale = max(float(numpy.abs(want).max()), 1e-30)
            self.assertLessEqual(float(numpy.abs(got - want).max()) / scale, 1e-4, what)
        else:
            numpy.testing.assert_array_equal(got, want, what)

    def test_real(self):
        cases = inputs_of_real_models(numpy.random.default_rng(11))
        self.assertEqual(set(cases), {p.name for p in REAL.iterdir()}, "a model without a case, or a case without its model")
        for name, runs in cases.items():
            model = oracle(REAL / name / "1" / "model.onnx")
            for run, arrays in enumerate(runs):
                with self.subTest(model=name, run=run):
                    result = self.infer(name, arrays)
                    for output, want in zip(model.get_outputs(), model.run(None, arrays)):
                        self.same(result.as_numpy(output.name), want, f"{name}: {output.name}")

    def test_a_state_that_goes_round(self):
        """Ten windows of audio, each with the state that the one before answered."""
        sound = numpy.random.default_rng(3).normal(size=(10, 1, 576)).astype(numpy.float32)
        model = oracle(REAL / "silero_vad_half" / "1" / "model.onnx")
        want_state = got_state = numpy.zeros((2, 1, 128), numpy.float32)
        for window in sound:
            want, want_state = model.run(["output", "stateN"], {"input": window, "state": want_state})
            result = self.infer("silero_vad_half", {"input": window, "state": got_state})
            got_state = result.as_numpy("stateN")
            self.same(result.as_numpy("output"), want, "output")

    def test_many_callers_of_one_model(self):
        random = numpy.random.default_rng(5)
        files = random.integers(0, 256, (64, 1, 2048), dtype=numpy.int32)
        model = oracle(REAL / "magika" / "1" / "model.onnx")
        with concurrent.futures.ThreadPoolExecutor(16) as threads:
            for file, got in zip(files, threads.map(self.classify, files)):
                want = model.run(None, {"bytes": file})[0]
                self.same(got, want, "target_label")
                self.assertEqual(int(got.argmax()), int(want.argmax()))

    def classify(self, file):
        client = triton.InferenceServerClient(server.http)  # one a thread: its greenlets stay in it
        try:
            return self.infer("magika", {"bytes": file}, client).as_numpy("target_label")
        finally:
            client.close()

    def test_light(self):
        """The input of ONNX's own backend tests, the outputs that come with the models."""
        names = sorted(p.name for p in LIGHT.iterdir())
        self.assertGreaterEqual(len(names), 7)
        for name in names:
            with self.subTest(model=name):
                folder = LIGHT / name / "1"
                graph = onnx.load(folder / "model.onnx").graph
                constant = {i.name for i in graph.initializer}
                given = next(i for i in graph.input if i.name not in constant)
                shape = [d.dim_value for d in given.type.tensor_type.shape.dim]
                count = int(numpy.prod(shape))
                image = (numpy.arange(count).reshape(shape) / count).astype(numpy.float32)
                want = numpy_helper.to_array(onnx.load_tensor(folder / "expected_output_0.pb"))
                got = self.infer(name, {given.name: image}).as_numpy(graph.output[0].name)
                self.same(got, want, name)


if __name__ == "__main__":
    unittest.main()
