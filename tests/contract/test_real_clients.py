"""Other people's clients, unchanged, against a real server: MLflow's, Triton's and KServe's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

from tests.missing import ServiceMissing
from tests.servingfakes.front import LABELS, ROWS, SCORES, serving_front
from tests.servingfakes.node import ROOT, Node
from tests.servingfakes.pictures import COLOURS, FORMATS, b64, picture

PICTURES = [
    picture(colour, form=form) for colour, form in zip(COLOURS.values(), FORMATS, strict=True)
]
PYTHON = ROOT / "var" / "environments" / "clients" / "bin" / "python"


@pytest.fixture(scope="module", params=["on", "off"], ids=["lane", "gthread"])
def node(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Node]:
    with serving_front(tmp_path_factory.mktemp("clients"), BATON_LANE=request.param) as node:
        yield node


@pytest.fixture
def client(node: Node) -> ScoringServerClient:
    made = ScoringServerClient("127.0.0.1", node.port)
    made.wait_server_ready(timeout=10)
    return made


def asked(node: Node, script: str) -> Any:
    """What a script prints as JSON, in the clients' environment; `url` is the server's."""
    if not PYTHON.is_file():
        ServiceMissing(f"{PYTHON.relative_to(ROOT)} is not there; make clients").skip_or_fail()
    done = subprocess.run(
        [PYTHON, "-c", f"url = '127.0.0.1:{node.port}'\n{script}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# MLflow


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame(ROWS, columns=list("abcd")),
        pd.DataFrame(ROWS, columns=list("abcd"))[list("dcba")],
        np.array(ROWS),
    ],
    ids=["frame", "frame in another order", "array"],  # of a dict, 3.17.2 itself fails to dump one
)
def test_mlflows_client_predicts(client: ScoringServerClient, data: Any) -> None:
    assert client.invoke(data).get_predictions(predictions_format="ndarray").tolist() == LABELS


def test_mlflows_client_is_told_what_is_wrong(client: ScoringServerClient) -> None:
    with pytest.raises(Exception, match=r"error code 400.*got an unknown column"):
        client.invoke(pd.DataFrame([[*ROWS[0], 5.0]], columns=list("abcde")))


def test_mlflows_client_reads_the_version(client: ScoringServerClient) -> None:
    client.ping()
    assert client.get_version() == mlflow.__version__


# Triton

_TRITON = """
import json
import numpy as np
import tritonclient.http as http
client = http.InferenceServerClient(url)
rows = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], dtype=np.float32)
def tensor(name, array, datatype, **how):
    made = http.InferInput(name, array.shape, datatype)
    made.set_data_from_numpy(array, **how)
    return made
"""


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_infers(node: Node, binary: bool) -> None:
    told = asked(
        node,
        f"""{_TRITON}
given = tensor("x", rows, "FP32", binary_data={binary})
outputs = [http.InferRequestedOutput(n, binary_data={binary}) for n in ("label", "scores")]
reply = client.infer("flowers", [given], outputs=outputs, request_id="mine")
print(json.dumps([reply.as_numpy("label").tolist(), reply.as_numpy("scores").tolist(),
                  reply.get_response()["id"]]))""",
    )
    assert told == [LABELS, SCORES, "mine"]


def test_tritons_client_with_nothing_but_its_defaults(node: Node) -> None:
    told = asked(
        node,
        f"""{_TRITON}
columns = [tensor(n, rows[:, [i]].astype(np.float64), "FP64") for i, n in enumerate("abcd")]
reply = client.infer("flowers", columns)
print(json.dumps([reply.as_numpy("label").tolist(), reply.as_numpy("scores").tolist()]))""",
    )
    assert told == [LABELS, SCORES]


def test_tritons_client_sends_and_gets_texts(node: Node) -> None:
    told = asked(
        node,
        f"""{_TRITON}
horizon = tensor("horizon", np.array([2], dtype=np.int64), "INT64")
dates = client.infer("petr4", [horizon]).as_numpy("ds")
again = client.infer("petr4", [tensor("ds", dates, "BYTES")])
print(json.dumps([[d.decode() for d in dates], [d.decode() for d in again.as_numpy("ds")],
                  again.as_numpy("yhat").dtype.name]))""",
    )
    assert told[0] == told[1]
    assert len(told[0]) == 2
    assert told[2] == "float64"


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_sends_pictures(node: Node, binary: bool) -> None:
    """Files as they are in binary; in JSON, where its texts have to be UTF-8, as base64."""
    told = asked(
        node,
        f"""{_TRITON}
import base64
given = [base64.b64decode(text) for text in {[b64(one) for one in PICTURES]!r}]
if not {binary}:
    given = [base64.b64encode(one) for one in given]
array = np.array(given, dtype=np.object_)
reply = client.infer("colours", [tensor("image", array, "BYTES", binary_data={binary})])
print(json.dumps([[one.decode() for one in reply.as_numpy("label")],
                  reply.as_numpy("probabilities").argmax(axis=1).tolist()]))""",
    )
    assert told == [["red", "green", "blue"], [0, 1, 2]]


def test_tritons_client_asks_for_health_and_metadata(node: Node) -> None:
    told = asked(
        node,
        f"""{_TRITON}
print(json.dumps([client.is_server_live(), client.is_server_ready(),
                  client.is_model_ready("flowers"), client.is_model_ready("nothing"),
                  client.is_model_ready("flowers", "1"), client.is_model_ready("flowers", "9"),
                  client.get_server_metadata()["extensions"],
                  [t["name"] for t in client.get_model_metadata("flowers")["outputs"]]]))""",
    )
    assert told == [
        *(True, True, True, False, True, False),
        ["binary_tensor_data"],
        ["label", "scores"],
    ]


def test_tritons_client_is_told_what_is_wrong(node: Node) -> None:
    told = asked(
        node,
        f"""{_TRITON}
from tritonclient.utils import InferenceServerException
try:
    client.infer("flowers", [tensor("x", rows[:, :3], "FP32")])
except InferenceServerException as error:
    print(json.dumps([error.status(), error.message()]))""",
    )
    assert told == ["422", "instances[0]: expected 4 values, got 3 values"]


# KServe

_KSERVE = """
import asyncio, json
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
base = f"http://{url}"
rows = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], dtype=np.float32)
"""


@pytest.mark.parametrize("binary", [True, False])
def test_kserves_client_infers(node: Node, binary: bool) -> None:
    told = asked(
        node,
        f"""{_KSERVE}
async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    given = InferInput("x", list(rows.shape), "FP32")
    given.set_data_from_numpy(rows, binary_data={binary})
    request = InferRequest(model_name="flowers", infer_inputs=[given], request_id="mine")
    reply = await client.infer(base, request, model_name="flowers")
    named = {{one.name: one.as_numpy().tolist() for one in reply.outputs}}
    ready = await client.is_model_ready(base, "flowers")
    return [named["label"], named["scores"], reply.id, ready,
            await client.is_server_ready(base), await client.is_server_live(base)]
print(json.dumps(asyncio.run(main())))""",
    )
    assert told == [LABELS, SCORES, "mine", True, True, True]


def test_the_script_for_clients_cannot_pass_by_itself(node: Node) -> None:
    with pytest.raises(AssertionError, match="no such thing"):
        asked(node, "raise SystemExit('no such thing')")


def test_the_environment_is_apart(node: Node) -> None:
    """Their pandas is another one than ours: that is why they have an environment."""
    theirs = asked(node, "import json, pandas; print(json.dumps(pandas.__version__))")
    assert theirs.split(".")[0] != pd.__version__.split(".")[0]
    assert Path(PYTHON).is_file()
