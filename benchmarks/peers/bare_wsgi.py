"""The least that gunicorn can run: orjson and the same ONNX Runtime call, nothing else.

gunicorn bare_wsgi:app --workers 2 --threads 4
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson

options = ort.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
outputs = [output.name for output in session.get_outputs()]


def app(environ: Mapping[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """Any path, any method."""
    body = orjson.loads(environ["wsgi.input"].read())
    answers = session.run(outputs, {name: np.array(body["instances"], dtype=np.float32)})
    others = dict(zip(outputs[1:], answers[1:], strict=True))
    answer = {"predictions": answers[0], "outputs": others}
    out = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(out)))]
    start_response("200 OK", headers)
    return [out]
