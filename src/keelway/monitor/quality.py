"""Compares answers with what really happened, once it is known.

Outcomes arrive later than answers, so most answers are pending; they are counted, never guessed. An entity asked
about twice for the same cut date counts once, with its last answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Outcome, Prediction, VersionName
from keelway.evaluate import Interval
from keelway.monitor.quality_figures import figures_of
from keelway.monitor.record import QualityReport, QualitySlice, QualityVerdict

if TYPE_CHECKING:
    from keelway.project import LabelValue, Monitor, Task

ALL_ARMS = "all"
LARGE = 1000


@dataclass(frozen=True, slots=True)
class _Rule:
    """What decides about the quality of a task's models.

    Attributes:
        figure: Its name.
        bound: The attribute of the monitor that it may not cross.
        without: Why it may have no value.
    """

    figure: str
    bound: str
    words: str
    higher_is_better: bool
    without: str


RULES: dict[Task, _Rule] = {
    "binary": _Rule(
        "roc_auc", "auc_floor", "ROC AUC", True, "fewer than two are of one class, or an answer is no number"
    ),
    "multiclass": _Rule(
        "accuracy",
        "accuracy_floor",
        "accuracy",
        True,
        "one is no class, or an answer does not fit the version's classes",
    ),
    "regression": _Rule("mae", "mae_ceiling", "mean absolute error", False, "one, or an answer, is no number"),
}
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
    task: Task = "binary",
    classes: Mapping[VersionName, Sequence[str]] | None = None,
    now: datetime,
) -> QualityReport:
    """Return how a model's answers turned out, per version and per arm, from the outcomes known by `now`.

    Args:
        monitor: Says what quality is enough, by the bound that is of the task.
        task: What the model predicts.
        classes: The names of the probabilities that a version answers with, in their order; of a multiclass model.
    """
    known = {(one.entity, one.as_of): one.value for one in outcomes if one.label == label and one.known_at <= now}
    slices = tuple(
        _slice(key, answers, known, monitor, task, classes or {})
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
        task=task,
        accuracy_floor=monitor.accuracy_floor,
        mae_ceiling=monitor.mae_ceiling,
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


def _slice(
    key: _Slice,
    answers: dict[_Case, Prediction],
    known: Mapping[_Case, LabelValue],
    monitor: Monitor,
    task: Task,
    classes: Mapping[VersionName, Sequence[str]],
) -> QualitySlice:
    """Judge one version in one arm."""
    pairs = [(known[case], answer.value) for case, answer in answers.items() if case in known]
    figures = figures_of(task, pairs, classes.get(key[0], ()))
    verdict, reason = _judge(task, figures, len(pairs), monitor)
    return QualitySlice(
        version=key[0],
        arm=key[1],
        matured=len(pairs),
        pending=len(answers) - len(pairs),
        positives=sum(value == 1 for value, _ in pairs) if task == "binary" else 0,
        roc_auc=figures.get("roc_auc"),
        log_loss=figures.get("log_loss"),
        verdict=verdict,
        reason=reason,
        **{name: figures.get(name) for name in ("accuracy", "brier", "mae", "rmse")},
    )


def _judge(
    task: Task, figures: Mapping[str, Interval | None], matured: int, monitor: Monitor
) -> tuple[QualityVerdict, str]:
    """Return the verdict by the figure that decides for the task, and why."""
    rule = RULES[task]
    bound: float | None = getattr(monitor, rule.bound)
    if bound is None:
        return "not enough", f"the monitor has no {rule.bound}, so nothing says what quality is enough"
    if matured < monitor.min_outcomes:
        return "not enough", f"{matured} outcomes are known; a verdict needs {monitor.min_outcomes}"
    found = figures[rule.figure]
    if found is None:
        return "not enough", f"{rule.words} has no value: of {matured} outcomes {rule.without}"
    if not (found.value >= bound if rule.higher_is_better else found.value <= bound):
        interval = f"95 % interval {_told(found.low)} to {_told(found.high)}"
        wanted = f"needs {bound:g}" if rule.higher_is_better else f"at most {bound:g} is allowed"
        return "lost", f"{rule.words} is {_told(found.value)} on {matured} outcomes ({interval}), {wanted}"
    return "kept", ""


def _told(value: float) -> str:
    """Return a figure with three digits behind the point; without them where it is large."""
    return f"{value:.3f}" if abs(value) < LARGE else f"{value:.6g}"


def _worst(verdicts: Sequence[QualityVerdict]) -> QualityVerdict:
    if "lost" in verdicts:
        return "lost"
    return "kept" if "kept" in verdicts else "not enough"


def _nothing(whole: Sequence[QualitySlice]) -> tuple[str, ...]:
    return () if whole else ("there are no predictions",)
