"""What a plan of an experiment can be told without asking anybody: traffic, baselines, and what the model declares.

Each number says where it comes from. What is not known is left out; nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from keelway.app.wire import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.core import Outcome
    from keelway.deploy.analysis import MetricKind
    from keelway.ledger import Transaction
    from keelway.monitor import EntitySums
    from keelway.project import BusinessMetric, Model, Rollout
    from keelway.report import Assumption, PlanWish
    from keelway.serve import RequestFigures

ERROR_RATE = "error_rate"
DAY_S = 86_400.0
SHORTEST = timedelta(hours=1)
"""Of a time that traffic is told by."""
FEW_OUTCOMES = 100
CLOSEST = 0.999
"""Of a correlation that a plan takes; nothing in the world is as sure as 1."""
COLUMNS = ("entity", "event_time", "value")


@dataclass(frozen=True, slots=True)
class MeasuredFigures:
    """What was measured or declared.

    Attributes:
        numbers: By the name that a plan knows them under.
        kind: Of the figure; None where that was not measured.
        warnings: What a reader must know of them.
    """

    numbers: dict[str, Assumption] = field(default_factory=dict)
    kind: MetricKind | None = None
    warnings: tuple[str, ...] = ()


def measured_figures(
    model: Model, environment: str, wish: PlanWish, *, over: timedelta, at: Workspace
) -> MeasuredFigures:
    """Return what is known of a model's traffic and of one of its figures, and what its rollout declares.

    Args:
        over: How far back requests and answers are read.
    """
    from keelway.serve import prediction_table, request_figures

    since, now = at.now() - over, at.now()
    with at.state.snapshot() as tx:
        answers = prediction_table(model.name, environment, since=since, columns=COLUMNS, tx=tx, artifacts=at.artifacts)
        requests = request_figures(model.name, environment, since=since, tx=tx)
        numbers, warnings = _traffic(answers, requests, now)
        found = MeasuredFigures()
        business = next((each for each in model.business if each.name == wish.metric), None)
        if wish.metric == ERROR_RATE:
            found = _errors(requests)
        elif business is not None:
            kind = wish.kind or _kind_of(wish.metric, model.rollout_for(environment))
            found = _of_events(answers, business, kind, at, tx)
        elif wish.metric == model.label.name:
            outcomes = _outcomes(model, now, at, tx)
            found = _of_outcomes(outcomes) if outcomes else _of_answers(answers)
    declared = _declared(model.rollout_for(environment), numbers | found.numbers)
    return MeasuredFigures(declared, found.kind, (*warnings, *found.warnings))


def _traffic(
    answers: pa.Table, requests: Sequence[RequestFigures], now: datetime
) -> tuple[dict[str, Assumption], tuple[str, ...]]:
    """Return entities a day by the log of predictions; where there is none, requests a day as they were counted."""
    import pyarrow.compute as pc

    from keelway.report import Assumption

    if answers.num_rows:
        first = _moment(pc.min(answers["event_time"]).as_py())
        count, what = pc.count_distinct(answers["entity"]).as_py(), "different entities were answered"
    elif requests:
        first = min(each.since for each in requests)
        count, what = sum(each.requests for each in requests), "requests were counted"
    else:
        return {}, ()
    length = max(now - first, SHORTEST)
    days = length.total_seconds() / DAY_S
    told = f"{count:,} {what} in {days:.3g} days"
    warnings = [f"Traffic was measured over {_told(length)} only."] if length < timedelta(days=7) else []
    if not answers.num_rows:
        warnings.append("Requests are counted, not entities: entities that come back make fewer rows than this says.")
    return {"per_day": Assumption(count / days, "measured", told)}, tuple(warnings)


def _errors(requests: Sequence[RequestFigures]) -> MeasuredFigures:
    """Return the share of requests that the server owed an answer to."""
    from keelway.report import Assumption

    asked, failed = sum(each.requests for each in requests), sum(each.failed for each in requests)
    if not asked:
        return MeasuredFigures()
    told = f"{failed:,} of {asked:,} requests failed"
    return MeasuredFigures({"baseline": Assumption(failed / asked, "measured", told)}, "rate")


def _of_events(
    answers: pa.Table, metric: BusinessMetric, kind: MetricKind, at: Workspace, tx: Transaction
) -> MeasuredFigures:
    """Return what business events say of the entities that were answered and whose window is over."""
    from keelway.monitor import baseline_sums, event_columns, events_complete_until, read_events

    until = events_complete_until(tx, metric.stream)
    if until is None or not answers.num_rows:
        return MeasuredFigures()
    known = event_columns(read_events(tx, at.artifacts, metric.stream), complete_until=until, now=at.now())
    sums = baseline_sums(answers, known, metric)
    count = len(sums.counts)
    if not count:
        return MeasuredFigures({}, None, (f"No window of {metric.window} is over yet, so {metric.name} is not known.",))
    told = f"{count:,} entities whose window of {metric.window} is over"
    few = (f"The baseline rests on {count} entities only.",) if count < FEW_OUTCOMES else ()
    return MeasuredFigures(dict(_moments(sums, kind, told)), kind, few)


def _moments(sums: EntitySums, kind: MetricKind, told: str) -> Iterator[tuple[str, Assumption]]:
    from keelway.report import Assumption

    if kind == "rate":
        yield "baseline", Assumption(sums.rate().rate, "measured", told)
        return
    moments = sums.moments(with_before=True)
    yield "baseline", Assumption(moments.mean, "measured", told)
    if moments.variance > 0:
        yield "deviation", Assumption(math.sqrt(moments.variance), "measured", told)
    spread = moments.squares * moments.before_squares
    if spread > 0:
        before = f"what {told.removesuffix(' is over')} did in as long a time before"
        correlation = moments.products / math.sqrt(spread)
        yield "correlation", Assumption(max(-CLOSEST, min(correlation, CLOSEST)), "measured", before)


def _kind_of(name: str, rollout: Rollout | None) -> MetricKind:
    """Return as what the model's rollout judges a business metric; a mean of amounts where it does not."""
    declared = [each.kind for each in rollout.analysis.figures if each.name == name] if rollout is not None else []
    return "rate" if declared == ["rate"] else "mean"


def _outcomes(model: Model, now: datetime, at: Workspace, tx: Transaction) -> list[Outcome]:
    from keelway.monitor import read_outcomes

    return [one for one in read_outcomes(tx, at.artifacts, model.label.name) if one.known_at <= now]


def _of_outcomes(outcomes: Sequence[Outcome]) -> MeasuredFigures:
    """Return the rate of a label, or its mean with its deviation; nothing of classes, which have none."""
    if any(isinstance(one.value, str) for one in outcomes):
        return MeasuredFigures({}, None, ("The label names classes, so it has no baseline of its own.",))
    values = [float(one.value) for one in outcomes]
    few = (f"The baseline rests on {len(values)} outcomes only.",) if len(values) < FEW_OUTCOMES else ()
    return _described(values, f"{len(values):,} outcomes that are known", few)


def _of_answers(answers: pa.Table) -> MeasuredFigures:
    """Return what the model itself expects, where no outcome is known yet."""
    values = [float(value) for value in answers["value"].to_pylist() if isinstance(value, int | float)]
    if not values or not all(0 <= value <= 1 for value in values):
        return MeasuredFigures()
    from keelway.report import Assumption

    told = f"the mean of {len(values):,} predictions, because no outcome is known yet"
    warning = "The baseline is what the model predicts: it is as right as the model is calibrated."
    return MeasuredFigures({"baseline": Assumption(sum(values) / len(values), "measured", told)}, "rate", (warning,))


def _described(values: Sequence[float], told: str, warnings: tuple[str, ...]) -> MeasuredFigures:
    from statistics import fmean, stdev

    from keelway.report import Assumption

    numbers = {"baseline": Assumption(fmean(values), "measured", told)}
    if set(values) <= {0.0, 1.0}:
        return MeasuredFigures(numbers, "rate", warnings)
    if len(values) > 1:
        numbers["deviation"] = Assumption(stdev(values), "measured", told)
    return MeasuredFigures(numbers, "mean", warnings)


def _declared(rollout: Rollout | None, numbers: dict[str, Assumption]) -> dict[str, Assumption]:
    """Return numbers with those that the model's rollout declares; a trial of several shares equally."""
    return numbers | dict(_of_rollout(rollout)) if rollout is not None else numbers


def _of_rollout(rollout: Rollout) -> Iterator[tuple[str, Assumption]]:
    from keelway.report import Assumption

    told = f"the rollout of the model in {rollout.environment}"
    analysis, last = rollout.analysis, rollout.stages[-1].percent
    yield "alpha", Assumption(analysis.alpha, "declared", told)
    yield "treatments", Assumption(float(analysis.comparisons), "declared", told)
    if rollout.several:
        shared = analysis.comparisons / (analysis.comparisons + 1)
        yield "share", Assumption(shared, "declared", f"{told} shares equally")
    elif 0 < last < 100:
        yield "share", Assumption(last / 100, "declared", f"the last step of {told}")


def _moment(value: Any) -> datetime:
    """Return a moment of a column, which is a time or its text."""
    from keelway.core import parse_time

    return value if isinstance(value, datetime) else parse_time(value)


def _told(length: timedelta) -> str:
    hours = length.total_seconds() / 3600
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.1f} days"
