"""The guard of a canary: all traffic or back, by what both arms did at the same time.

Too little traffic never decides. Once there is enough, one sign of harm is enough to go back; without any, and with
every figure known, the challenger takes over. An answer that is no finite number is always harm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from keelway.core import Prediction, VersionName, psi, psi_null_quantile
from keelway.evaluate import Interval

BINS = 10
"""Equal bins of the probability in [0, 1]."""
_SURE = 0.01  # how rarely chance alone may look like harm, per sign


@dataclass(frozen=True, slots=True)
class CanaryGuard:
    """How much harm is allowed, and how much traffic a verdict needs.

    Attributes:
        min_requests: Each arm needs so many.
        error_rate: By how much the canary's share of failed requests may exceed the stable one's.
        latency_ratio: By how much its 99th percentile may be slower.
        latency_floor_ms: A percentile under this is never too slow.
        psi: How far the distribution of its answers may differ; a model trained on new data differs a little.
        min_outcomes: Each arm needs so many known outcomes before ROC AUC is compared.
    """

    min_requests: int = 200
    error_rate: float = 0.01
    latency_ratio: float = 1.5
    latency_floor_ms: float = 5.0
    psi: float = 0.5
    min_outcomes: int = 200


@dataclass(frozen=True, slots=True)
class ArmEvidence:
    """What one arm did.

    Attributes:
        requests: Answered and failed ones.
        errors: Failed ones.
        undefined: Answers that are no number in [0, 1].
        probabilities: Answers per equal bin of [0, 1].
        latency_p99_ms: None where it was not measured; then latency is not judged.
        outcomes: Answers whose outcome is known.
    """

    version: VersionName
    requests: int
    errors: int
    undefined: int
    probabilities: tuple[int, ...]
    latency_p99_ms: float | None = None
    roc_auc: Interval | None = None
    outcomes: int = 0


@dataclass(frozen=True, slots=True)
class ChallengerVerdict:
    """Whether the challenger takes all traffic, goes back, or waits for more."""

    verdict: Literal["advance", "back", "wait"]
    reasons: tuple[str, ...]


def arm_evidence(
    predictions: Iterable[Prediction],
    *,
    version: VersionName,
    errors: int = 0,
    latency_p99_ms: float | None = None,
    roc_auc: Interval | None = None,
    outcomes: int = 0,
) -> ArmEvidence:
    """Return what the answers of one version amount to, with the failures counted elsewhere."""
    counts, undefined = [0] * BINS, 0
    for answer in predictions:
        if answer.version != version:
            continue
        if 0 <= answer.probability <= 1:
            counts[min(int(answer.probability * BINS), BINS - 1)] += 1
        else:
            undefined += 1
    requests = sum(counts) + undefined + errors
    return ArmEvidence(version, requests, errors, undefined, tuple(counts), latency_p99_ms, roc_auc, outcomes)


def challenger_verdict(
    stable: ArmEvidence, canary: ArmEvidence, *, guard: CanaryGuard | None = None
) -> ChallengerVerdict:
    """Return whether the canary takes over, goes back, or waits."""
    limits = guard or CanaryGuard()
    few = tuple(
        f"{arm.version} had {arm.requests} requests, a verdict needs {limits.min_requests}"
        for arm in (stable, canary)
        if arm.requests < limits.min_requests
    )
    if few:
        return ChallengerVerdict("wait", few)
    harm = (
        *_undefined(canary),
        *_errors(stable, canary, limits),
        *_latency(stable, canary, limits),
        *_answers(stable, canary, limits),
        *_quality(stable, canary, limits),
    )
    if harm:
        return ChallengerVerdict("back", harm)
    fine = f"{canary.version} did no worse than {stable.version} in {canary.requests} requests"
    return ChallengerVerdict("advance", (fine,))


def _undefined(canary: ArmEvidence) -> tuple[str, ...]:
    return (f"{canary.undefined} answers are no number in [0, 1]",) if canary.undefined else ()


def _errors(stable: ArmEvidence, canary: ArmEvidence, guard: CanaryGuard) -> tuple[str, ...]:
    from scipy.stats import fisher_exact

    before, after = stable.errors / stable.requests, canary.errors / canary.requests
    if after <= before + guard.error_rate:
        return ()
    table = [[canary.errors, canary.requests - canary.errors], [stable.errors, stable.requests - stable.errors]]
    chance = float(fisher_exact(table, alternative="greater").pvalue)
    if not chance < _SURE:
        return ()
    return (f"{after:.1%} of its requests failed, {before:.1%} of {stable.version}'s (p = {chance:.2g})",)


def _latency(stable: ArmEvidence, canary: ArmEvidence, guard: CanaryGuard) -> tuple[str, ...]:
    if stable.latency_p99_ms is None or canary.latency_p99_ms is None:
        return ()
    allowed = max(stable.latency_p99_ms * guard.latency_ratio, guard.latency_floor_ms)
    if canary.latency_p99_ms <= allowed:
        return ()
    return (f"its 99th percentile takes {canary.latency_p99_ms:.1f} ms, allowed is {allowed:.1f} ms",)


def _answers(stable: ArmEvidence, canary: ArmEvidence, guard: CanaryGuard) -> tuple[str, ...]:
    n, m = sum(stable.probabilities), sum(canary.probabilities)
    if not n or not m:
        return ("an arm gave no answer at all",)
    found = psi(stable.probabilities, canary.probabilities)
    chance = psi_null_quantile(n, m, BINS, level=1 - _SURE)
    if found <= max(guard.psi, chance):
        return ()
    return (f"its answers are spread otherwise: PSI {found:.2f}, allowed is {max(guard.psi, chance):.2f}",)


def _quality(stable: ArmEvidence, canary: ArmEvidence, guard: CanaryGuard) -> tuple[str, ...]:
    """Compare ROC AUC only where both arms have outcomes; worse means that the intervals do not even touch."""
    if min(stable.outcomes, canary.outcomes) < guard.min_outcomes or stable.roc_auc is None or canary.roc_auc is None:
        return ()
    if canary.roc_auc.high >= stable.roc_auc.low and math.isfinite(canary.roc_auc.value):
        return ()
    return (f"its ROC AUC is {canary.roc_auc.value:.3f}, that of {stable.version} {stable.roc_auc.value:.3f}",)
