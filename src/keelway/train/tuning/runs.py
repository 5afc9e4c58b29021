"""Trials as runs: each one that ended has its line in the index over runs, and is mirrored to the tracker like any other."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keelway.core import ArtifactKind, ArtifactStore, CodeState, Digest, PrincipalId, RunId, digest_of
from keelway.ledger import StateStore
from keelway.train.tracking.lines import encode, opening_line
from keelway.train.tracking.machine import machine, requirements
from keelway.train.tracking.record import RunOpening, TrackedRun, TrackedStatus
from keelway.train.tuning.record import TuningTrial

ID_DIGITS = 32
ENDED: dict[str, TrackedStatus] = {
    "complete": "succeeded",
    "pruned": "succeeded",
    "failed": "failed",
    "stopped": "interrupted",
    "stale": "interrupted",
}


@dataclass(frozen=True, slots=True)
class TrialOrigin:
    """What all trials of a study share.

    Attributes:
        experiment: What the tracker lists them under.
        parent: The run that searches.
        dataset: The record of the feature table.
        signature_json: Inputs and outputs, in the layout of MLflow, or empty.
        input_example_json: One made-up row of inputs, or empty.
    """

    study: str
    model: str
    estimator: str
    metric: str
    experiment: str
    parent: str
    principal: PrincipalId
    seed: int
    code: CodeState
    dataset: Digest
    signature_json: str = ""
    input_example_json: str = ""


def trial_run_id(study: str, number: int) -> RunId:
    """Return the id of a trial among all runs."""
    return RunId(digest_of({"study": study, "trial": number}).partition(":")[2][:ID_DIGITS])


def record_trials(
    trials: Sequence[TuningTrial], origin: TrialOrigin, *, artifacts: ArtifactStore, state: StateStore
) -> int:
    """Record every trial that ended and is not recorded yet, in one transaction; return how many those are."""
    ended = [trial for trial in trials if trial.status in ENDED]
    with state.snapshot() as tx:
        new = [each for each in ended if tx.find(TrackedRun, trial_run_id(origin.study, each.number)) is None]
    if not new:
        return 0
    runs = [_tracked(trial, _opening(trial, origin), origin, artifacts=artifacts) for trial in new]
    with state.transaction() as tx:
        for run in runs:
            if tx.find(TrackedRun, run.run_id) is None:  # nobody else was faster
                tx.insert(run.run_id, run, parent=run.experiment, at=run.ended_at)
    return len(runs)


def _opening(trial: TuningTrial, origin: TrialOrigin) -> RunOpening:
    return RunOpening(
        run_id=trial_run_id(origin.study, trial.number),
        name=f"{origin.model} {origin.estimator} trial {trial.number}",
        kind="trial",
        experiment=origin.experiment,
        model=origin.model,
        estimator=origin.estimator,
        parent=origin.parent,
        principal=origin.principal,
        seed=origin.seed,
        started_at=trial.started_at,
        code=origin.code,
        machine=machine(),
        requirements=requirements(),
    )


def _tracked(trial: TuningTrial, opening: RunOpening, origin: TrialOrigin, *, artifacts: ArtifactStore) -> TrackedRun:
    """Return the record of a trial; its journal holds the mean after each fold."""
    assert trial.ended_at is not None, "it ended"
    tags = {"keelway.study": origin.study, "keelway.trial": str(trial.number), "keelway.trial_status": trial.status}
    journal = opening_line(opening) + encode(_lines(trial, origin, tags))
    kept = artifacts.put(zlib.compress(journal, 1), kind=ArtifactKind.RECORD, name=f"{opening.run_id}.journal")
    return TrackedRun(
        run_id=opening.run_id,
        name=opening.name,
        kind=opening.kind,
        experiment=opening.experiment,
        model=opening.model,
        estimator=opening.estimator,
        status=ENDED[trial.status],
        parent=opening.parent,
        principal=opening.principal,
        seed=opening.seed,
        started_at=opening.started_at,
        ended_at=max(trial.ended_at, trial.started_at),
        code=opening.code,
        machine=opening.machine,
        script=(),
        requirements=opening.requirements,
        parameters=trial.parameters,
        metrics={origin.metric: trial.means[-1]} if trial.means else {},
        not_finite={},
        tags=tags,
        dataset=origin.dataset,
        signature_json=origin.signature_json,
        input_example_json=origin.input_example_json,
        artifacts={},
        warnings=(),
        error=trial.error,
        points=len(trial.means),
        journal=kept.digest,
    )


def _lines(trial: TuningTrial, origin: TrialOrigin, tags: dict[str, str]) -> list[list[Any]]:
    """Return what the journal of a trial says after its first line."""
    assert trial.ended_at is not None, "it ended"
    ended = trial.ended_at.timestamp()
    return [
        *(["p", name, value] for name, value in trial.parameters.items()),
        *(["t", name, text] for name, text in tags.items()),
        ["s", "dataset", origin.dataset],
        *(["s", name, text] for name, text in _described(origin).items() if text),
        *(["m", origin.metric, mean, step, ended] for step, mean in enumerate(trial.means)),
        ["end", ENDED[trial.status], trial.error, ended],
    ]


def _described(origin: TrialOrigin) -> dict[str, str]:
    return {"signature": origin.signature_json, "input_example": origin.input_example_json}
