"""Compares answers with what really happened, once it is known.

Outcomes arrive later than answers, so most answers are pending; they are counted, never guessed. An entity asked
about twice for the same cut date counts once, with its last answer.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Outcome, Prediction, VersionName
from keelway.monitor.record import Estimate, QualityReport, QualitySlice, QualityVerdict

if TYPE_CHECKING:
    from keelway.project import Monitor

ALL_ARMS = "all"
Z_95 = 1.959963984540054
_CLIP = 1e-15  # a probability of exactly 0 or 1 that was wrong would cost infinitely much

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
    pairs = [(known[case], answer.probability) for case, answer in answers.items() if case in known]
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


def _judge(auc: Estimate | None, matured: int, monitor: Monitor) -> tuple[QualityVerdict, str]:
    if matured < monitor.min_outcomes:
        return "not enough", f"{matured} outcomes are known; a verdict needs {monitor.min_outcomes}"
    if auc is None:
        return "not enough", f"ROC AUC has no value: the {matured} outcomes are all alike, or an answer is no number"
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


def roc_auc(truth: Sequence[int], scores: Sequence[float]) -> Estimate | None:
    """Return ROC AUC with DeLong's 95 % interval; None where a class is missing or a score is no finite number."""
    import numpy as np
    from scipy.stats import rankdata

    labels, values = np.asarray(truth, dtype=bool), np.asarray(scores, dtype=float)
    positives, negatives = values[labels], values[~labels]
    m, n = len(positives), len(negatives)
    if not m or not n or not np.isfinite(values).all():
        return None
    ranks = rankdata(np.concatenate([positives, negatives]))
    above = (ranks[:m] - rankdata(positives)) / n  # share of negatives under each positive
    below = 1 - (ranks[m:] - rankdata(negatives)) / m
    value = float(above.mean())
    spread = (float(above.var(ddof=1)) / m if m > 1 else 0.25) + (float(below.var(ddof=1)) / n if n > 1 else 0.25)
    reach = Z_95 * math.sqrt(spread)
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))


def log_loss(truth: Sequence[int], scores: Sequence[float]) -> Estimate | None:
    """Return the mean log-loss in nats with its 95 % interval; None without answers or with one that is no number."""
    if not truth or not all(0 <= score <= 1 for score in scores):
        return None
    losses = [-math.log(max(score if value else 1 - score, _CLIP)) for value, score in zip(truth, scores, strict=True)]
    value = math.fsum(losses) / len(losses)
    variance = math.fsum((loss - value) ** 2 for loss in losses) / max(len(losses) - 1, 1)
    reach = Z_95 * math.sqrt(variance / len(losses))
    return Estimate(value, max(0.0, value - reach), value + reach)
