"""Other people's clients against a live server: tritonclient for the Open Inference Protocol, MLflow's for its own."""

from __future__ import annotations

import importlib
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from keelway.core import SimulatedClock
from keelway.surfaces.scoring import ScoringApp
from keelway.testing.asgi import ReadyLog, live, route_of
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

ROWS = 4
pandas_moves = pytest.mark.filterwarnings("ignore:Operation with range is deprecated")  # in MLflow's own code


class Served:
    """A live server, and its log."""

    def __init__(self, url: str, log: ReadyLog) -> None:
        self.url, self.log = url, log

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    traffic = ServedTraffic(tmp_path_factory.mktemp("served"))
    traffic.send(churn_1=100)
    log = ReadyLog()
    route = route_of(traffic, ScorerShelf(churn_1=FixedScorer(0.25)), log=log)
    with live(ScoringApp({"churn": route}, clock=SimulatedClock(NOW))) as url:
        yield Served(url, log)


def triton() -> Any:
    return pytest.importorskip("tritonclient.http", reason="needs tritonclient[http] (requirements/dev.in)")


@pytest.fixture
def client(served: Served) -> Iterator[Any]:
    found = triton().InferenceServerClient(served.host)
    yield found
    found.close()


def tensors(*, binary: bool, datatype: str = "FP64", rows: int = ROWS) -> list[Any]:
    http = triton()
    utils = importlib.import_module("tritonclient.utils")
    numbers = np.array([12.5, 0.0, -3.0, 7.0][:rows], utils.triton_to_np_dtype(datatype))
    plans = np.array(["gold", "", "fr\u00fch", "x"][:rows], np.object_)
    found = [http.InferInput("recency_d", [rows], datatype), http.InferInput("plan", [rows], "BYTES")]
    for tensor, values in zip(found, (numbers, plans), strict=True):
        tensor.set_data_from_numpy(values, binary_data=binary)
    return found


def test_triton_asks_what_is_here_and_whether_it_is_ready(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("churn")
    assert client.is_model_ready("churn", "1")
    assert not client.is_model_ready("churn", "2")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("churn", "1")
    assert [each["name"] for each in metadata["inputs"]] == ["recency_d", "plan"]


@pytest.mark.parametrize("binary", [True, False], ids=["bytes", "JSON"])
@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT32", "INT64"])
def test_triton_infers(client: Any, served: Served, binary: bool, datatype: str) -> None:
    before = len(served.log.lines)
    result = client.infer("churn", tensors(binary=binary, datatype=datatype), request_id="r1")
    assert result.as_numpy("probability").tolist() == [0.25] * ROWS
    assert result.get_response()["id"] == "r1"
    logged = served.log.lines[before:]
    assert [line["features"]["plan"] for line in logged] == ["gold", "", "fr\u00fch", "x"]
    ids = [each.decode() for each in result.as_numpy("prediction_id")]
    assert ids == [line["prediction_id"] for line in logged]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_triton_packs_requests_and_unpacks_answers(client: Any, coding: str) -> None:
    outputs = [triton().InferRequestedOutput("probability", binary_data=False)]
    result = client.infer(
        "churn", tensors(binary=True), model_version="1", outputs=outputs,
        request_compression_algorithm=coding, response_compression_algorithm="gzip",
    )  # fmt: skip
    assert result.as_numpy("probability").tolist() == [0.25] * ROWS


def test_triton_reads_a_packed_answer_in_bytes(client: Any) -> None:
    plans = triton().InferInput("plan", [200], "BYTES")
    plans.set_data_from_numpy(np.array(["gold"] * 200, np.object_))
    numbers = triton().InferInput("recency_d", [200], "FP32")
    numbers.set_data_from_numpy(np.zeros(200, np.float32))
    result = client.infer("churn", [plans, numbers], response_compression_algorithm="gzip")
    assert result.as_numpy("probability").shape == (200,)
    assert len(set(result.as_numpy("prediction_id").tolist())) == 200


def test_triton_is_told_what_is_wrong(client: Any) -> None:
    utils = importlib.import_module("tritonclient.utils")
    with pytest.raises(utils.InferenceServerException, match=r"expected field plan.*\$\.inputs\.plan") as caught:
        client.infer("churn", tensors(binary=True)[:1])
    assert caught.value.status() == "422"
    with pytest.raises(utils.InferenceServerException, match="expected churn, found spend"):
        client.infer("spend", tensors(binary=True))


def mlflow_client(served: Served) -> Any:
    module = pytest.importorskip("mlflow.pyfunc.scoring_server.client", reason="needs keelway[mlflow]")
    host, port = served.host.split(":")
    return module.ScoringServerClient(host, int(port))


@pandas_moves
def test_mlflows_client_is_answered(served: Served) -> None:
    import pandas as pd

    client = mlflow_client(served)
    client.ping()
    client.wait_server_ready(timeout=60)
    assert client.get_version()
    frame = pd.DataFrame({"plan": ["gold", None], "recency_d": [12.5, None]})
    predictions = client.invoke(frame).get_predictions()
    assert predictions[0].tolist() == [0.25, 0.25]
    assert served.log.lines[-1]["features"] == {"recency_d": None, "plan": None}
    records = [{"plan": "a", "recency_d": 1.0}, {"plan": "b", "recency_d": 2.0}]
    assert client.invoke(records).get_predictions()[0].tolist() == [0.25, 0.25]


def test_mlflows_client_is_told_what_is_wrong(served: Served) -> None:
    import pandas as pd

    with pytest.raises(Exception, match=r"422.*field recency_d"):
        mlflow_client(served).invoke(pd.DataFrame({"plan": ["gold"]}))


@pandas_moves
def test_mlflows_payload_maker_is_read(served: Served) -> None:
    """`convert_input_example_to_serving_input` makes what `mlflow models serve` is sent from an example."""
    models = pytest.importorskip("mlflow.models", reason="needs keelway[mlflow]")
    import pandas as pd

    frame = pd.DataFrame({"recency_d": [1.0, 2.0], "plan": ["a", "b"]})
    for example in (frame, frame.to_dict("records"), {"recency_d": [1.0], "plan": ["a"]}):
        body = models.convert_input_example_to_serving_input(example)
        assert set(answer_to(served, body)["predictions"]) == {0.25}


def answer_to(served: Served, body: str, kind: str = "application/json") -> Any:
    asked = urllib.request.Request(f"{served.url}/invocations", body.encode(), {"content-type": kind})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.loads(answer.read())


def test_csv_of_pandas_is_read(served: Served) -> None:
    import pandas as pd

    frame = pd.DataFrame({"recency_d": [1.0, None], "plan": ["a", "b,c"]})
    found = answer_to(served, frame.to_csv(index=False), "text/csv; charset=utf-8")
    assert found == {"predictions": [0.25, 0.25]}
