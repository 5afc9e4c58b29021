"""Judges a rollout: a pure function from a declared analysis and the evidence of one look to a verdict with reasons.

It asks in this order, and stops at the first answer:

1. Is it known how entities were split, and did the arms get their shares? If not, no figure can be believed: an `error`.
2. Is a guardrail or metric shown to be worse than it may be, by the minimum of traffic in both arms? `failure`, also where
   another figure is missing: what harms does not wait for it.
3. Could every figure be read? What is missing, NaN or does not fit is an `error`: it pauses, and never promotes.
4. Is there the minimum of traffic in both arms? If not: `inconclusive`.
5. Are all guardrails shown to be within their margins, and the metrics at their goals? `success`. Else `inconclusive`.

Every test holds at all looks together, so it may be asked every minute. A rollout like its control is ever failed with
probability at most alpha, which the figures share (Bonferroni); one that is beyond some margin ever succeeds with
probability at most alpha, because every figure has to be shown by itself. Distributions are the exception: PSI has no
confidence sequence here, so being within its margin is a statement of one look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from keelway.deploy.analysis.evidence import RolloutEvidence
from keelway.deploy.analysis.harms import ArmHarm, harm_of
from keelway.deploy.analysis.levels import cuped_part, levels_of
from keelway.deploy.analysis.sequences import always_valid_p
from keelway.deploy.analysis.shares import mismatch_p
from keelway.deploy.analysis.verdict import MeasuredFigure, Outcome, RolloutVerdict
from keelway.errors import KeelwayError
from keelway.evaluate import adjusted

if TYPE_CHECKING:
    from keelway.project import Analysis, Guardrail, Metric


def judge(analysis: Analysis, evidence: RolloutEvidence, *, part: float = 1.0) -> RolloutVerdict:
    """Return what the evidence says about a rollout, by the rules at the top of this module.

    Args:
        part: Of alpha that may be spent on failing it, where it is judged anew several times; see `failing_part`.
    """
    requests = evidence.control.requests, evidence.treatment.requests
    p_value, problems = _assignment(evidence)
    if problems:
        return RolloutVerdict("error", problems, (), p_value, requests)
    if p_value is None or not p_value >= analysis.mismatch:
        return RolloutVerdict("error", (_mismatch(evidence, analysis, p_value),), (), p_value, requests)
    declared = analysis.figures
    harms = [_harm(each, evidence, analysis) for each in declared]
    unknown = tuple(str(each) for each in harms if isinstance(each, KeelwayError))
    early = min(requests) < analysis.minimum
    level = _abort_level(analysis, part)
    figures = tuple(
        _measured(each, harm, analysis, evidence, level) for each, harm in zip(declared, harms, strict=True)
    )
    violated = () if early else tuple(each.sentence for each in figures if each.status == "violated")
    if violated:
        return RolloutVerdict("failure", (*violated, *unknown), figures, p_value, requests)
    if unknown:
        return RolloutVerdict("error", unknown, figures, p_value, requests)
    if early:
        reason = f"{min(requests)} requests in the smaller arm; nothing is decided before {analysis.minimum}"
        return RolloutVerdict("inconclusive", (reason,), figures, p_value, requests)
    outcome, reasons = _decided(analysis, figures, harms)
    return RolloutVerdict(outcome, reasons, figures, p_value, requests)


def violations(analysis: Analysis, evidence: RolloutEvidence, *, part: float = 1.0) -> tuple[str, ...]:
    """Return the names of the figures that are shown to be worse than they may be, without computing any interval.

    It says the same as `judge`, faster, for whoever asks every second whether to stop; what is missing is not its business.
    """
    if min(evidence.control.requests, evidence.treatment.requests) < analysis.minimum:
        return ()
    level = _abort_level(analysis, part)
    found = []
    for each in analysis.figures:
        harm = _harm(each, evidence, analysis)
        if not isinstance(harm, (str, KeelwayError)) and _shown(harm.log_above(each.thresholds[1], alpha=level), level):
            found.append(each.name)
    return tuple(found)


def _assignment(evidence: RolloutEvidence) -> tuple[float | None, tuple[str, ...]]:
    """Return the p-value of the shares, and what makes any judgement impossible."""
    arms = {evidence.control.arm, evidence.treatment.arm}
    problems = list(evidence.problems)
    if len(arms) < 2:
        problems.append(f"control and treatment are the same arm, {evidence.control.arm}")
    if not evidence.phases or any(not arms <= phase.shares.keys() for phase in evidence.phases):
        return None, (*problems, f"it is not known how entities were split between {' and '.join(sorted(arms))}")
    p_value = mismatch_p(evidence.phases)
    return (p_value if math.isfinite(p_value) else None), tuple(problems)


def _mismatch(evidence: RolloutEvidence, analysis: Analysis, p_value: float | None) -> str:
    newest = evidence.phases[-1]
    counts = ", ".join(f"{arm} {count}" for arm, count in newest.counts.items())
    shares = ", ".join(f"{arm} {share:g}" for arm, share in newest.shares.items())
    found = "cannot be computed" if p_value is None else f"{p_value:.2g} is below {analysis.mismatch:g}"
    return f"sample ratio mismatch: {counts} where {shares} was declared (p {found}); no figure can be believed"


def _harm(figure: Guardrail | Metric, evidence: RolloutEvidence, analysis: Analysis) -> ArmHarm | str | KeelwayError:
    """Return the harm by a figure, why it is too early for one, or what is wrong with it."""
    try:
        return harm_of(figure, evidence, planned=analysis.planned)
    except KeelwayError as error:
        return error


def _measured(
    figure: Guardrail | Metric,
    harm: ArmHarm | str | KeelwayError,
    analysis: Analysis,
    evidence: RolloutEvidence,
    level: float,
) -> MeasuredFigure:
    """Return what a figure says."""
    if isinstance(harm, KeelwayError):
        return MeasuredFigure(figure.name, "unknown", None, None, None, f"{figure.name}: {harm}")
    if isinstance(harm, str):
        return MeasuredFigure(figure.name, "open", None, None, None, f"{figure.name}: {harm}")
    within, beyond = figure.thresholds
    held_level = analysis.alpha / analysis.comparisons
    status: Literal["violated", "held", "open"] = "open"
    if _shown(harm.log_above(beyond, alpha=level), level):
        status = "violated"
    elif _shown(harm.log_below(within, alpha=held_level), held_level):
        status = "held"
    low, high = harm.end("low", alpha=level), harm.end("high", alpha=held_level)
    value = harm.estimate()
    sentence = _in_words(figure, status, value, low, high)
    ends = _finite(low), _finite(high)
    levels, cuped = levels_of(figure, evidence), cuped_part(figure, evidence)
    return MeasuredFigure(figure.name, status, value, *ends, sentence, *levels, cuped)


def _decided(
    analysis: Analysis, figures: Sequence[MeasuredFigure], harms: Sequence[ArmHarm | str | KeelwayError]
) -> tuple[Outcome, tuple[str, ...]]:
    """Return the verdict on figures that could all be read, and of which none is violated."""
    count = len(analysis.guardrails)
    waiting = [each.sentence for each in figures[:count] if each.status != "held"]
    goals = [each.sentence for each in figures[count:] if each.status != "held"]
    if goals and analysis.decide == "any" and _any_reached(analysis, harms[count:]):
        goals = []
    if waiting or goals:
        return "inconclusive", (*waiting, *goals)
    return "success", tuple(each.sentence for each in figures)


def _any_reached(analysis: Analysis, harms: Sequence[ArmHarm | str | KeelwayError]) -> bool:
    """Return whether any metric reached its goal, corrected by Holm for how many had the chance."""
    level = analysis.alpha / analysis.comparisons
    p_values = [
        1.0
        if isinstance(harm, (str, KeelwayError))
        else always_valid_p(harm.log_below(metric.thresholds[0], alpha=level))
        for metric, harm in zip(analysis.metrics, harms, strict=True)
    ]
    return min(adjusted(p_values, "holm")) <= level


def _abort_level(analysis: Analysis, part: float) -> float:
    return analysis.alpha * part / (len(analysis.figures) * analysis.comparisons)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _shown(log_evidence: float, level: float) -> bool:
    return log_evidence >= -math.log(level)  # NaN is not


def _in_words(
    figure: Guardrail | Metric, status: Literal["violated", "held", "open"], harm: float, low: float, high: float
) -> str:
    within, beyond = figure.thresholds
    goal = (
        f"worse by less than {within:g}" if within > 0 else f"better by more than {-within:g}" if within else "better"
    )
    said = {
        "violated": f"is shown to be worse by more than {beyond:g}" if beyond else "is shown to be worse",
        "held": f"is shown to be {goal}",
        "open": f"is not yet shown to be {goal}",
    }[status]
    ends = f" ({low:+.4g} to {high:+.4g})" if math.isfinite(high) else ""
    return f"{figure.name} {said}: it is {harm:+.4g}{ends}"
