"""Write requests for real models, with the answers that Python's onnxruntime gives, as corpus.py does.

    python real.py MODELS OUT

MODELS holds {real,light}/NAME/1/model.onnx, as `make parts` fetches them. OUT gets cases.json, and a
repository of links to them.
"""

import json
import os
import pathlib
import shutil
import sys

import numpy as np

from corpus import encode, run, session_of

# Lengths for free axes, by the input's name; the first axis is the rows.
SHAPES = {
    "ch_PP-OCRv4_det_infer": {"x": [(1, 3, 64, 96), (1, 3, 64, 96), (1, 3, 32, 32)]},
    "ch_PP-OCRv4_rec_infer": {"x": [(1, 3, 48, 64), (1, 3, 48, 64), (2, 3, 48, 64), (1, 3, 48, 100)]},
    "ch_ppocr_mobile_v2.0_cls_infer": {"x": [(1, 3, 48, 192), (1, 3, 48, 192), (2, 3, 48, 192)]},
    "magika": {"bytes": [(1, 2048), (1, 2048), (3, 2048)]},
    "silero_vad": {"input": [(1, 512), (2, 512)], "state": [(2, 1, 128), (2, 2, 128)]},
    "silero_vad_16k_op15": {"input": [(1, 512), (2, 512)], "state": [(2, 1, 128), (2, 2, 128)]},
    "silero_vad_16k_sequence": {"input": [(1, 576), (4, 576)]},
    "silero_vad_half": {"input": [(1, 512), (2, 512)], "state": [(2, 1, 128), (2, 2, 128)]},
    "silero_vad_op18_ifless": {"input": [(1, 512), (2, 512)], "state": [(2, 1, 128), (2, 2, 128)]},
}


def make(rng, spec, shape):
    if spec.name == "sr":
        return np.array(16000, dtype=np.int64)
    if "int32" in spec.type:
        return rng.integers(0, 256, shape).astype(np.int32)
    return (rng.normal(size=shape) * 0.1).astype(np.float32)


def main():
    models, out = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    repository = out / "repository"
    shutil.rmtree(repository, ignore_errors=True)
    repository.mkdir(parents=True)
    cases = []
    for path in sorted(models.glob("*/*/1/model.onnx")):
        name = path.parent.parent.name
        os.symlink(path.parent.parent, repository / name)
        session = session_of(path)
        rng = np.random.default_rng(len(name))
        shapes = SHAPES.get(name, {})
        requests = []
        for i in range(max([len(s) for s in shapes.values()], default=1)):
            feeds = {}
            for spec in session.get_inputs():
                shape = shapes[spec.name][i] if spec.name in shapes else spec.shape
                feeds[spec.name] = make(rng, spec, shape)
            names, arrays = run(session, feeds)
            requests.append({"inputs": [encode(k, v) for k, v in feeds.items()],
                             "outputs": [encode(n, a) for n, a in zip(names, arrays)], "fails": False})
        cases.append({"model": name, "merge": "", "unavailable": False, "random": False, "requests": requests})
    (out / "cases.json").write_text(json.dumps(cases, separators=(",", ":")))
    print(len(cases), "models,", sum(len(c["requests"]) for c in cases), "requests")


if __name__ == "__main__":
    main()
