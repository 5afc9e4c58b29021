"""Simulated canaries as servers leave them: a log, counts of requests and labels, from which the evidence is gathered.

for evidence in served_canary(seed=1, fault="errors"): ...      # one look after another, each all since the beginning

The figures are those of `testing.experiments`; here they go the way they go in use. Entities are assigned by their hash,
a request that fails leaves no line in the log, a latency is known by its bin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keelway.core import Prediction, VersionName, canonical_json, digest_bytes, digest_of
from keelway.deploy import CANARY, STABLE, Deployment
from keelway.deploy.analysis import RolloutEvidence
from keelway.monitor.rollout import RolloutReadings, evidence_of, microseconds, rollout_columns
from keelway.project import Analysis, LabelValue, Task
from keelway.serve import (
    LARGEST_BIN,
    ArmRequests,
    PredictionSegment,
    RequestFigures,
    SealingPorts,
    latency_of,
    seal,
)
from keelway.testing.experiments import (
    FAILING,
    LATENCY_SPREAD,
    SLOWER,
    UNDEFINED,
    USUAL_ERRORS,
    USUAL_LATENCY_S,
    Fault,
)
from keelway.testing.serving import NOW, deployment_of
from keelway.testing.task_canaries import CLASSES, drawn

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

LOOK_EVERY = timedelta(minutes=1)


def canary_deployment(percent: int, *, at: datetime = NOW, number: int = 1, rollout: str = "r1") -> Deployment:
    """Return a step of a rollout in which a canary has this share."""
    from dataclasses import replace

    made = (
        deployment_of(churn_1=100 - percent, churn_2=percent) if percent < 50 else deployment_of(churn_1=50, churn_2=50)
    )
    return replace(made, stable=VersionName("churn:1"), at=at, number=number, rollout=rollout, strategy="canary")


def answers_table(
    deployment: Deployment,
    entities: Sequence[str],
    values: Sequence[float] | Sequence[Sequence[float]] | Numbers,
    *,
    at: datetime,
    arms: Sequence[str] | None = None,
    as_of: datetime = NOW,
) -> pa.Table:
    """Return answers of a deployment as `sealed_columns` reads them.

    Args:
        values: A number for each entity, or a probability for each class.
        arms: Who answered each entity; None for the arm it is in.
    """
    import numpy as np
    import pyarrow as pa

    named = list(arms or [deployment.arm_of(entity) for entity in entities])
    versions = {arm: deployment.version_of(arm) for arm in deployment.arms}
    rows = len(entities)
    texts = {
        "version": [str(versions.get(arm, deployment.stable)) for arm in named],
        "deployment": [str(digest_of(deployment))] * rows,
        "arm": named,
        "entity": list(entities),
    }
    columns = {name: pa.array(column, pa.string()) for name, column in texts.items()}
    given = np.asarray(values, dtype=np.float64)
    columns["value"] = pa.array(given.tolist(), pa.list_(pa.float64()) if given.ndim == 2 else pa.float64())
    moment = pa.timestamp("us", "UTC")
    columns |= {"as_of": pa.array([as_of] * rows, moment), "event_time": pa.array([at] * rows, moment)}
    return rollout_columns(pa.table(columns))


@dataclass(slots=True)
class WrittenJournal:
    """A journal in memory."""

    journal_id: str
    written: bytes = b""

    @property
    def lines(self) -> int:
        """How many lines were appended."""
        return self.written.count(b"\n")

    def append(self, lines: bytes) -> None:
        """Append whole lines."""
        self.written += lines

    def read(self) -> bytes:
        """Return all bytes."""
        return self.written

    def remove(self) -> None:
        """Forget the lines."""
        self.written = b""

    def close(self) -> None:
        """Do nothing: nothing is held."""


def seal_answers(
    deployment: Deployment,
    values: Mapping[str, float | tuple[float, ...]],
    *,
    at: datetime,
    journal: str,
    ports: SealingPorts,
    as_of: datetime = NOW,
) -> PredictionSegment | None:
    """Seal answers of a deployment to entities, each by its arm, as one journal.

    Args:
        values: What was answered, by entity.
        at: When all of them were answered; they are sealed a second later.
    """
    sender, lines = digest_of(deployment), []
    for number, (entity, value) in enumerate(values.items()):
        arm = deployment.arm_of(entity)
        version = deployment.version_of(arm)
        told = Prediction(
            prediction_id=f"{journal}-{number:08d}", model=deployment.model, version=version,
            version_digest=digest_bytes(version.encode()), deployment=sender, environment=deployment.environment, arm=arm,
            entity=entity, as_of=as_of, features={}, value=value, event_time=at,
        )  # fmt: skip
        lines.append(canonical_json(told) + b"\n")
    return seal(
        WrittenJournal(journal, b"".join(lines)), model=deployment.model, environment=deployment.environment, ports=ports,
        now=at + timedelta(seconds=1),
    )  # fmt: skip


def latency_bins(seconds: Numbers) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the bins that latencies fall into, rising, and how many fall into each; see `serve.latency_bin`."""
    import numpy as np

    ends = [latency_of(place) for place in range(LARGEST_BIN)]
    bins, counts = np.unique(np.searchsorted(ends, seconds), return_counts=True)
    return tuple(bins.tolist()), tuple(counts.tolist())


@dataclass(slots=True)
class _Served:
    """What a simulated rollout left so far."""

    tables: list[pa.Table] = field(default_factory=list)
    requests: list[RequestFigures] = field(default_factory=list)
    labels: list[dict[tuple[str, int], LabelValue]] = field(default_factory=list)


def served_canary(
    *,
    seed: int,
    analysis: Analysis,
    task: Task = "binary",
    fault: Fault | None = None,
    percent: int = 10,
    per_look: int = 1_000,
    looks: int = 10,
    label_delay: int = 2,
    entities: int = 0,
) -> Iterator[RolloutEvidence]:
    """Yield the gathered evidence of one look after another.

    Both arms are one model, whose answers are calibrated (see `testing.task_canaries`); the canary may have a fault of `testing.experiments`.

    Args:
        seed: Decides everything.
        analysis: What is gathered.
        task: What the model predicts.
        fault: What is wrong with the canary; None for nothing.
        percent: The canary's share.
        per_look: Requests between two looks.
        looks: How many looks.
        label_delay: After how many looks a label is known.
        entities: How many there are, who come again and again; 0 for a new one each time.
    """
    import numpy as np
    import pyarrow as pa

    generator = np.random.default_rng(seed)
    deployment, served = canary_deployment(percent), _Served()
    for look in range(looks):
        now = NOW + look * LOOK_EVERY
        came = generator.integers(entities, size=per_look) if entities else np.arange(per_look) + look * per_look
        _serve([f"{seed}-{each}" for each in came], deployment, task, fault, generator, served, now)
        known = served.labels[: max(look + 1 - label_delay, 0)]
        table = pa.concat_tables(served.tables).unify_dictionaries()
        labels = {case: value for part in known for case, value in part.items()}
        classes = dict.fromkeys(map(str, deployment.traffic), CLASSES) if task == "multiclass" else {}
        readings = RolloutReadings(
            now + LOOK_EVERY, table, requests=served.requests, labels=labels, task=task, classes=classes
        )
        yield evidence_of(readings, [deployment], CANARY, analysis=analysis)


def _serve(
    names: list[str],
    deployment: Deployment,
    task: Task,
    fault: Fault | None,
    generator: np.random.Generator,
    served: _Served,
    now: datetime,
) -> None:
    """Answer requests, and leave what is left of them."""
    import numpy as np

    arms = np.array([deployment.arm_of(name) for name in names])
    counted: list[ArmRequests] = []
    labels: dict[tuple[str, int], LabelValue] = {}
    for arm in (STABLE, CANARY):
        asked = [name for name, its in zip(names, arms, strict=True) if its == arm]
        found = _answered(len(asked), task, fault if arm == CANARY else None, generator)
        there = np.flatnonzero(~found.failed)
        answered = [asked[place] for place in there]
        served.tables.append(answers_table(deployment, answered, found.scores[there], at=now, arms=[arm] * len(there)))
        told = [CLASSES[int(each)] if task == "multiclass" else each for each in found.labels.tolist()]
        labels |= {(name, microseconds(NOW)): each for name, each in zip(asked, told, strict=True)}
        bins, counts = latency_bins(found.latencies[there])
        failed, undefined = int(found.failed.sum()), int(found.undefined.sum())
        version = deployment.version_of(arm)
        counted.append(ArmRequests(version, arm, len(answered), failed, bins, counts, undefined))
    failures = sum(each.failed for each in counted)
    until = now + LOOK_EVERY
    served.requests.append(
        RequestFigures("churn", deployment.environment, now, until, len(names), failures, 0, tuple(counted))
    )
    served.labels.append(labels)


@dataclass(frozen=True, slots=True)
class _Answered:
    scores: Numbers
    labels: Numbers
    latencies: Numbers
    failed: NDArray[np.bool_]
    undefined: NDArray[np.bool_]


def _answered(rows: int, task: Task, fault: Fault | None, generator: np.random.Generator) -> _Answered:
    """Return what an arm makes of requests."""
    scores, labels = drawn(task, rows, fault if fault in ("constant", "calibration") else None, generator)
    slower = SLOWER if fault == "latency" else 1.0
    latencies = slower * USUAL_LATENCY_S * generator.lognormal(0, LATENCY_SPREAD, rows)
    undefined = generator.random(rows) < (UNDEFINED if fault == "not a number" else 0.0)
    failed = undefined | (generator.random(rows) < (FAILING if fault == "errors" else USUAL_ERRORS))
    return _Answered(scores, labels, latencies, failed, undefined)
