"""Compares answers with what really happened, once it is known.

Outcomes arrive later than answers, so most answers are pending; they are counted, never guessed. An entity asked
about twice for the same cut date counts once, with its last answer.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from statistics import NormalDist
from typing import TYPE_CHECKING

from keelway.core import Outcome, Prediction, VersionName
from keelway.evaluate import Interval, auc_interval, log_losses
from keelway.monitor.record import QualityReport, QualitySlice, QualityVerdict

if TYPE_CHECKING:
    from keelway.project import Monitor

ALL_ARMS = "all"
LEVEL = 0.95
CLASS_ROWS = 2
"""DeLong's variance needs so many outcomes of each class."""

_Slice = tuple[VersionName, str]
_Case = tuple[str, datetime]


def quality_report(
    predictions: Iterable[Prediction],
    outcomes: Iterable[Outcome],
    *,
    model: str,
    environment: str,
    label: str,
    monitor: Monitor,
    now: datetime,
) -> QualityReport:
    """Return how a model's answers turned out, per version and per arm, from the outcomes known by `now`."""
    known = {(one.entity, one.as_of): one.value for one in outcomes if one.label == label and one.known_at <= now}
    slices = tuple(
        _slice(key, answers, known, monitor)
        for key, answers in sorted(_last_answers(predictions, model, environment).items())
    )
    whole = [one for one in slices if one.arm == ALL_ARMS]
    return QualityReport(
        model=model,
        environment=environment,
        label=label,
        auc_floor=monitor.auc_floor,
        min_outcomes=monitor.min_outcomes,
        slices=slices,
        verdict=_worst([one.verdict for one in whole]),
        reasons=tuple(f"{one.version}: {one.reason}" for one in whole if one.reason) or _nothing(whole),
        at=now,
    )


def _last_answers(
    predictions: Iterable[Prediction], model: str, environment: str
) -> dict[_Slice, dict[_Case, Prediction]]:
    """Return the last answer per entity and cut date, by version and arm, and by version over all arms."""
    grouped: dict[_Slice, dict[_Case, Prediction]] = defaultdict(dict)
    for answer in predictions:
        if answer.model != model or answer.environment != environment:
            continue
        for arm in (answer.arm, ALL_ARMS):
            cases = grouped[(answer.version, arm)]
            case = (answer.entity, answer.as_of)
            before = cases.get(case)
            if before is None or (before.event_time, before.prediction_id) < (answer.event_time, answer.prediction_id):
                cases[case] = answer
    return grouped


def _slice(key: _Slice, answers: dict[_Case, Prediction], known: dict[_Case, int], monitor: Monitor) -> QualitySlice:
    """Judge one version in one arm."""
    pairs = [(known[case], _share(answer)) for case, answer in answers.items() if case in known]
    truth, scores = [value for value, _ in pairs], [score for _, score in pairs]
    auc = roc_auc(truth, scores)
    verdict, reason = _judge(auc, len(pairs), monitor)
    return QualitySlice(
        version=key[0],
        arm=key[1],
        matured=len(pairs),
        pending=len(answers) - len(pairs),
        positives=sum(truth),
        roc_auc=auc,
        log_loss=log_loss(truth, scores),
        verdict=verdict,
        reason=reason,
    )


def _share(answer: Prediction) -> float:
    """Return the probability that a binary model answered; an answer of another kind is no number here."""
    return answer.value if isinstance(answer.value, float) else math.nan


def _judge(auc: Interval | None, matured: int, monitor: Monitor) -> tuple[QualityVerdict, str]:
    if matured < monitor.min_outcomes:
        return "not enough", f"{matured} outcomes are known; a verdict needs {monitor.min_outcomes}"
    if auc is None:
        return (
            "not enough",
            f"ROC AUC has no value: of {matured} outcomes fewer than two are of one class, or an answer is no number",
        )
    if not auc.value >= monitor.auc_floor:
        interval = f"95 % interval {auc.low:.3f} to {auc.high:.3f}"
        return "lost", f"ROC AUC is {auc.value:.3f} on {matured} outcomes ({interval}), needs {monitor.auc_floor:g}"
    return "kept", ""


def _worst(verdicts: Sequence[QualityVerdict]) -> QualityVerdict:
    if "lost" in verdicts:
        return "lost"
    return "kept" if "kept" in verdicts else "not enough"


def _nothing(whole: Sequence[QualitySlice]) -> tuple[str, ...]:
    return () if whole else ("there are no predictions",)


def roc_auc(truth: Sequence[int], scores: Sequence[float]) -> Interval | None:
    """Return ROC AUC with DeLong's interval; None for fewer than two of a class or a score that is no finite number."""
    if min(sum(truth), len(truth) - sum(truth)) < CLASS_ROWS or not all(math.isfinite(score) for score in scores):
        return None
    return auc_interval(truth, scores)


def log_loss(truth: Sequence[int], scores: Sequence[float]) -> Interval | None:
    """Return the mean log-loss in nats by the normal approximation; None for no answers or one that is no number."""
    import numpy as np

    if not truth or not all(0 <= score <= 1 for score in scores):
        return None
    losses = log_losses(np.asarray(truth, dtype=np.float64), np.asarray(scores, dtype=np.float64))
    value, count = float(losses.mean()), len(losses)
    reach = NormalDist().inv_cdf(0.5 + LEVEL / 2) * float(losses.std(ddof=1)) / math.sqrt(count) if count > 1 else value
    return Interval(value, max(0.0, value - reach), value + reach, LEVEL, "normal")
