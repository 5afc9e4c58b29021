"""The peers of bench_serving.py, as their own guides have one write them; runs in their environment, not in ours.

    python _peers.py PORT          KEELWAY_BENCH_SERVER=fastapi: a typed body, the scikit-learn pipeline on a DataFrame
    python _peers.py PORT          KEELWAY_BENCH_SERVER=litserve: LitServe with its batching
    bentoml serve _peers:Scored    KEELWAY_BENCH_SERVER=bentoml: BentoML with its adaptive batching

KEELWAY_BENCH_FOLDER has the fitted pipeline and its frame in `pipeline.joblib`. A request is `{"rows": [{column: value}, ...]}`;
an answer holds a probability for each row. None writes a line for each request.
"""

# No `from __future__ import annotations`: BentoML and FastAPI read the types when a class is made.

import os
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

BATCH, BATCH_S = 64, 0.002  # requests
BATCH_ROWS = 1_000  # of BentoML, which counts rows, and by its own setting of 100 takes the largest request apart
SERVER, FOLDER = os.environ["KEELWAY_BENCH_SERVER"], Path(os.environ["KEELWAY_BENCH_FOLDER"])


class Pipeline:
    """The pipeline, and how rows become the frame that it was fitted on."""

    def __init__(self) -> None:
        self.pipeline, frame = joblib.load(FOLDER / "pipeline.joblib")
        self.types = {name: "float64" if kind.kind in "iuf" else kind for name, kind in _kinds(frame)}

    def frame(self, rows: list[dict[str, Any]]) -> pd.DataFrame:
        return pd.DataFrame.from_records(rows, columns=list(self.types)).astype(self.types)

    def probabilities(self, frame: pd.DataFrame) -> np.ndarray:
        return self.pipeline.predict_proba(frame)[:, 1]


def _kinds(frame: pd.DataFrame) -> list[tuple[str, Any]]:
    return [(str(name), frame[name].dtype) for name in frame]


def serve_fastapi(port: int) -> None:
    """Serve as most people would write it: a typed body, a plain function, one DataFrame a request."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import create_model

    model, app = Pipeline(), FastAPI()
    kinds = {name: (float | None if kind == "float64" else str | None, ...) for name, kind in model.types.items()}
    row = create_model("Row", **kinds)  # type: ignore[call-overload]
    body_type = create_model("Body", rows=(list[row], ...))  # type: ignore[valid-type]

    @app.post("/predict")
    def predict(body: body_type) -> dict[str, list[float]]:  # type: ignore[valid-type]
        rows = [each.model_dump() for each in body.rows]  # type: ignore[attr-defined]
        return {"probabilities": model.probabilities(model.frame(rows)).tolist()}

    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


if SERVER == "litserve":  # its class has to be found by the process that runs it
    import litserve

    class Api(litserve.LitAPI):
        """LitServe's service: one process for the model, rows of many requests in one call."""

        def setup(self, device: str) -> None:
            self.model = Pipeline()

        def decode_request(self, request: dict[str, Any]) -> list[dict[str, Any]]:
            return request["rows"]

        def batch(self, inputs: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
            return inputs

        def predict(self, inputs: list[list[dict[str, Any]]]) -> list[np.ndarray]:
            found = self.model.probabilities(self.model.frame([row for each in inputs for row in each]))
            return np.split(found, np.cumsum([len(each) for each in inputs])[:-1])

        def unbatch(self, output: list[np.ndarray]) -> list[np.ndarray]:
            return output

        def encode_response(self, output: np.ndarray) -> dict[str, list[float]]:
            return {"probabilities": output.tolist()}


def serve_litserve(port: int) -> None:
    """Serve by LitServe's own server."""
    server = litserve.LitServer(Api(max_batch_size=BATCH, batch_timeout=BATCH_S), accelerator="cpu", timeout=120)
    server.run(host="127.0.0.1", port=port, num_api_servers=1, log_level="warning", generate_client_file=False)


if SERVER == "bentoml":
    import bentoml

    @bentoml.service(workers=1, traffic={"timeout": 120}, logging={"access": {"enabled": False}})
    class Scored:
        """BentoML's service, its rows put together: with that it answers several times as many requests of one row."""

        def __init__(self) -> None:
            self.model = Pipeline()

        @bentoml.api(batchable=True, max_batch_size=BATCH_ROWS)
        def predict(self, rows: list[dict[str, Any]]) -> list[float]:
            return self.model.probabilities(self.model.frame(rows)).tolist()


if __name__ == "__main__":
    {"fastapi": serve_fastapi, "litserve": serve_litserve}[SERVER](int(sys.argv[1]))
