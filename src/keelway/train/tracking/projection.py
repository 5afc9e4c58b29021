"""What the records of runs say in the index: which line a record opens, and which figures another one adds to it.

Records come as plain values, since one of them (the scorecard) belongs to a later slice than this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any

from keelway.core import DIGEST_PREFIX, DIRTY, Digest, RunEntry, RunId, RunUpdate, parse_time


def run_change(
    kind: str, key: str, record: Mapping[str, Any], *, digest: Digest, at: datetime
) -> RunEntry | RunUpdate | None:
    """Return what storing a record changes in the index, or None where it is not about a run.

    Args:
        kind: The record's class.
        key: The key it is stored under.
        record: Its plain value.
        digest: Its digest.
        at: The moment it is stored for.
    """
    if kind == "RunStarted":
        return _plan_opened(record, digest)
    if kind == "Run":
        return _plan_closed(record, digest)
    if kind == "TrainedModel":
        return _training(key, record, digest, at)
    if kind in ("Scorecard", "TrainingFigures"):
        return RunUpdate(
            RunId(""), Digest(record["trained"]), _figures(record["metrics"]), seconds=record.get("seconds")
        )
    return _tracked(record, digest) if kind == "TrackedRun" else None


def training_id(key: str) -> RunId:
    """Return the run id of a training: the 64 digits of its key."""
    return RunId(key.removeprefix(DIGEST_PREFIX))


def _plan_opened(record: Mapping[str, Any], digest: Digest) -> RunEntry:
    purpose, _, model = record["plan"].partition(":")
    return RunEntry(
        run_id=RunId(record["run_id"]),
        kind="plan",
        name=record["plan"],
        model=model if purpose == "train" else "",
        estimator="",
        status="open",
        principal=record["principal"],
        seed=record["seed"],
        **_commit(record["code"]),
        parent=record.get("parent", ""),
        started_at=parse_time(record["started_at"]),
        ended_at=None,
        seconds=None,
        record=digest,
        parameters=record["parameters"],
    )


def _plan_closed(record: Mapping[str, Any], digest: Digest) -> RunUpdate:
    ended = record.get("ended_at")
    return RunUpdate(
        RunId(record["run_id"]),
        None,
        _figures(record["metrics"]),
        status=record["status"],
        ended_at=parse_time(ended) if ended else None,
        becomes=digest,
    )


def _training(key: str, record: Mapping[str, Any], digest: Digest, at: datetime) -> RunEntry:
    return RunEntry(
        run_id=training_id(key),
        kind="training",
        name=f"{record['model']} {record['estimator']}",
        model=record["model"],
        estimator=record["estimator"],
        status="succeeded",
        principal="",
        seed=record["seed"],
        **_commit(record["code"]),
        parent="",
        started_at=at,
        ended_at=at,
        seconds=None,
        record=digest,
        parameters={"factory": record["factory"], **record["parameters"]},
        metrics={"train_rows": float(record["train_rows"])},
    )


def _tracked(record: Mapping[str, Any], digest: Digest) -> RunEntry:
    started, ended = parse_time(record["started_at"]), parse_time(record["ended_at"])
    return RunEntry(
        run_id=RunId(record["run_id"]),
        kind=record["kind"],
        name=record["name"],
        model=record["model"],
        estimator=record["estimator"],
        status=record["status"],
        principal=record["principal"],
        seed=record["seed"],
        **_commit(record["code"]),
        parent=record["parent"],
        started_at=started,
        ended_at=ended,
        seconds=(ended - started).total_seconds(),
        record=digest,
        parameters=record["parameters"],
        metrics={**record["metrics"], **{name: float(told) for name, told in record["not_finite"].items()}},
    )


def _commit(code: Mapping[str, Any]) -> dict[str, Any]:
    commit: str = code.get("commit", "")
    return {"commit": commit.removesuffix(DIRTY), "dirty": commit.endswith(DIRTY)}


def _figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return figures that stand alone or with an interval; those without a value are left out."""
    values = {name: each.get("value") if isinstance(each, Mapping) else each for name, each in metrics.items()}
    return {name: float(value) for name, value in values.items() if isinstance(value, (int, float)) and isfinite(value)}
