"""The process of one model: reads the model, then answers batches of rows until its server is gone.

python -m keelway.engines.local.python_worker DESCRIPTOR
"""

from __future__ import annotations

import gc
import importlib
import math
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keelway.core import ArtifactKind
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.frames import read_frame, send_frame
from keelway.engines.local.python_worker.messages import NOT_FINITE, WorkerAnswer, WorkerModel
from keelway.errors import EngineError, KeelwayError


def loaded(model: WorkerModel) -> Callable[[Sequence[Sequence[Any]]], list[Any]]:
    """Return what answers rows by a model's fitted pipeline.

    Raises:
        IntegrityError: Bytes are altered, or hold types that are not on the allow list.
    """
    import numpy as np

    from keelway.engines.local.python_worker.rows_frame import RowsFrame
    from keelway.train import load_pipeline

    sys.path[:0] = model.folders
    if model.module:
        importlib.import_module(model.module)  # it trusts the classes of its own
    with tempfile.TemporaryDirectory() as folder:
        given = LocalArtifacts(Path(folder))
        for data in model.artifacts.values():
            given.put(data, kind=ArtifactKind.MODEL)  # under the digest that it really has
        pipeline = load_pipeline(model.pipeline, artifacts=given)
    frame_of_rows = RowsFrame(model.features)

    def answers(rows: Sequence[Sequence[Any]]) -> list[Any]:
        frame = frame_of_rows(rows)
        if model.task == "regression":
            return list(np.asarray(pipeline.predict(frame), dtype=np.float64).tolist())
        found = np.asarray(pipeline.predict_proba(frame), dtype=np.float64)
        return list((found[:, 1] if model.task == "binary" else found).tolist())

    return answers


def answered(answer: Callable[[Sequence[Sequence[Any]]], list[Any]], rows: Sequence[Sequence[Any]]) -> WorkerAnswer:
    """Return the answers to a batch; whatever a model raises is told and ends nothing but the batch."""
    try:
        found = answer(rows)
    except Exception as error:  # noqa: BLE001  (a user's model may raise anything, and its words may tell of a row)
        told = str(error) if isinstance(error, KeelwayError) else type(error).__name__
        return WorkerAnswer([], told)
    flat = [number for each in found for number in (each if isinstance(each, list) else [each])]
    if not all(map(math.isfinite, flat)):
        return WorkerAnswer([], NOT_FINITE)
    return WorkerAnswer(found)


def main() -> None:
    """Serve one model until the other end of the line closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(line.fileno(), False)
    model = read_frame(line, WorkerModel)
    if model.memory_mb:
        limit = model.memory_mb * 1_000_000
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        answer = loaded(model)
    except KeelwayError as error:
        send_frame(line, WorkerAnswer([], str(error)))
        return
    send_frame(line, WorkerAnswer([]))
    gc.collect()
    gc.freeze()  # the model and its libraries stay, so no later collection has to walk through them
    try:
        while True:
            send_frame(line, answered(answer, read_frame(line, list[list[Any]])))
    except (EngineError, OSError):
        return  # the server is gone


if __name__ == "__main__":
    main()
