"""The terms of a study in Optuna's words, and Optuna's trials in ours."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from keelway.project import Choice, Range
from keelway.train.tuning import StudyTerms, TuningTrial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

    from keelway.train.tuning import Space

ENDED, ERROR, WORKER, AGAIN = "ended", "error", "worker", "again"
"""Names of what is noted with a trial: how it failed, why, who tried it, and which stale trial it tries again."""
STARTUP_TRIALS = 5  # as many end before the median of them says anything


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return a space in Optuna's words, in the order of the names."""
    return {name: _distribution(space[name]) for name in sorted(space)}


def _distribution(allowed: Range | Choice) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(allowed, Choice):
        return CategoricalDistribution(allowed.values)
    low, high, step = allowed.low, allowed.high, allowed.step
    if step is not None:  # the highest value that can be reached; Optuna would warn of any other
        first, width = Decimal(str(low)), Decimal(str(step))
        last = first + (Decimal(str(high)) - first) // width * width
        high = int(last) if allowed.whole else float(last)
    if allowed.whole:
        return IntDistribution(int(low), int(high), log=allowed.log, step=int(step or 1))
    return FloatDistribution(float(low), float(high), log=allowed.log, step=None if step is None else float(step))


def sampler(terms: StudyTerms, index: int) -> BaseSampler:
    """Return what proposes trial number `index` of those that count: it depends on nothing but that and what was tried.

    A sampler of its own for each trial is what lets a study that was interrupted go on as if it had not been.
    """
    from optuna.samplers import RandomSampler, TPESampler

    seed = int.from_bytes(hashlib.sha256(f"{terms.seed}:{index}".encode()).digest()[:4])
    if terms.sampler == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, constant_liar=terms.parallel)


def pruner(terms: StudyTerms) -> BasePruner:
    """Return what ends trials early; a fold is one step."""
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    if terms.pruner == "median":
        return MedianPruner(n_startup_trials=STARTUP_TRIALS)
    if terms.pruner == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=terms.folds)
    return NopPruner()


def tuning_trial(trial: FrozenTrial) -> TuningTrial:
    """Return a trial that was begun in our words."""
    state = trial.state.name
    status: Any = {"RUNNING": "running", "COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}[state]
    if state == "FAIL":
        status = trial.user_attrs.get(ENDED, status)
    return TuningTrial(
        number=trial.number,
        status=status,
        parameters=dict(trial.params),
        value=trial.value if status == "complete" else None,
        means=tuple(trial.intermediate_values[step] for step in sorted(trial.intermediate_values)),
        started_at=_moment(trial.datetime_start),
        ended_at=None if trial.datetime_complete is None else _moment(trial.datetime_complete),
        error=trial.user_attrs.get(ERROR, ""),
    )


def _moment(local: datetime | None) -> datetime:
    """Return a moment that Optuna stored in the machine's time zone."""
    assert local is not None, "a trial that was begun has a time"
    return local.astimezone(UTC)
