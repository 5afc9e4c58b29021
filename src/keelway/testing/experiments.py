"""Simulated experiments: coin flips that are peeked at, and canaries that are well or have one known fault.

a, b, rows = flips((0.1, 0.1), per_look=100, looks=100, runs=4_000, seed=1)
share, first = crossed(abs(z_of_rates(a, b, rows)) > 1.96)      # 0.38 of the runs: why peeking needs another test
for evidence in canary(seed=1, fault="latency"): ...            # one look after another
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from keelway.deploy.analysis import ArmFigures, Matured, Moments, Phase, RateCounts, RolloutEvidence, moments_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

Fault = Literal["latency", "errors", "not a number", "constant", "calibration", "lost rows"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
USUAL_ERRORS = 0.002
USUAL_LATENCY_S, LATENCY_SPREAD = 0.008, 0.5
SLOWER, FAILING, UNDEFINED, SHIFT, LOST = 3.0, 0.05, 0.01, 1.0, 0.25
CONSTANT_SCORE = 0.3
BINS = 10
CONTROL, TREATMENT = "stable", "canary"


def flips(
    rates: tuple[float, float], *, per_look: int, looks: int, runs: int, seed: int
) -> tuple[Numbers, Numbers, Numbers]:
    """Return the successes of two arms at each look, (runs, looks) each, and the rows of either arm by look."""
    import numpy as np

    generator = np.random.default_rng(seed)
    one, two = (np.cumsum(generator.binomial(per_look, rate, (runs, looks)), axis=1) for rate in rates)
    rows = np.arange(1, looks + 1, dtype=np.float64) * per_look
    return one.astype(np.float64), two.astype(np.float64), rows


def z_of_rates(first: Numbers, second: Numbers, rows: Numbers) -> Numbers:
    """Return the difference of two rates in standard errors, as a test that is read once has it; 0 where nothing varies."""
    import numpy as np

    one, two = first / rows, second / rows
    error = np.sqrt((one * (1 - one) + two * (1 - two)) / rows)
    return np.asarray(np.divide(one - two, error, out=np.zeros_like(one), where=error > 0))


def crossed(hits: NDArray[np.bool_]) -> tuple[float, Numbers]:
    """Return the share of the runs that ever hit, and the look of each one's first hit, from 1; infinity without one."""
    import numpy as np

    ever = hits.any(axis=1)
    return float(ever.mean()), np.where(ever, hits.argmax(axis=1) + 1.0, np.inf)


@dataclass(slots=True)
class _SimulatedArm:
    """What a simulated arm has done so far."""

    requests: int = 0
    errors: int = 0
    undefined: int = 0
    counted: int = 0
    spent: Moments = field(default_factory=Moments)
    latencies: list[Numbers] = field(default_factory=list)
    histogram: Numbers | None = None
    pairs: list[tuple[Numbers, Numbers]] = field(default_factory=list)


def canary(
    *,
    seed: int,
    fault: Fault | None = None,
    share: float = 0.1,
    per_look: int = 200,
    looks: int = 100,
    label_delay: int = 5,
) -> Iterator[RolloutEvidence]:
    """Yield the evidence of one look after another, each all since the beginning.

    Both arms are one model: scores are drawn from a beta distribution and are calibrated, labels mature after
    `label_delay` looks, an entity spends an amount that depends on what it spent before. The canary may have a fault:
    `latency` of three times as much, 5 % `errors`, 1 % `not a number`, a `constant` score, a `calibration` shifted by 1
    on the logit scale, or a quarter of its entities not counted (`lost rows`).

    Args:
        seed: Decides everything.
        fault: What is wrong with the canary; None for nothing.
        share: The canary's declared share.
        per_look: Requests of both arms between two looks, each of a new entity.
        looks: How many looks.
        label_delay: After how many looks a label is known.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    arms = {CONTROL: _SimulatedArm(), TREATMENT: _SimulatedArm()}
    for look in range(1, looks + 1):
        tried = int(generator.binomial(per_look, share))
        for name, rows in ((CONTROL, per_look - tried), (TREATMENT, tried)):
            _answer(arms[name], rows, fault if name == TREATMENT else None, generator)
        yield _evidence(arms, share, max(look - label_delay, 0))


def _answer(arm: _SimulatedArm, rows: int, fault: Fault | None, generator: np.random.Generator) -> None:
    """Let an arm answer some requests."""
    import numpy as np

    chance = generator.beta(2, 5, rows)
    labels = (generator.random(rows) < chance).astype(np.float64)
    scores = chance
    if fault == "constant":
        scores = np.full(rows, CONSTANT_SCORE)
    elif fault == "calibration":
        scores = 1 / (1 + np.exp(-SHIFT) * (1 - chance) / chance)
    before = generator.exponential(20.0, rows)
    arm.spent = arm.spent.merged(moments_of(before + generator.normal(0, 10, rows), before))
    arm.requests += rows
    arm.errors += int(generator.binomial(rows, FAILING if fault == "errors" else USUAL_ERRORS))
    arm.undefined += int(generator.binomial(rows, UNDEFINED if fault == "not a number" else 0.0))
    arm.counted += int(generator.binomial(rows, 1 - LOST if fault == "lost rows" else 1.0))
    slower = SLOWER if fault == "latency" else 1.0
    arm.latencies.append(slower * USUAL_LATENCY_S * generator.lognormal(0, LATENCY_SPREAD, rows))
    found = np.histogram(scores, bins=BINS, range=(0, 1))[0].astype(np.float64)
    arm.histogram = found if arm.histogram is None else arm.histogram + found
    arm.pairs.append((labels, scores))


def _evidence(arms: Mapping[str, _SimulatedArm], share: float, matured: int) -> RolloutEvidence:
    control, treatment = (_figures(name, arms[name], matured) for name in (CONTROL, TREATMENT))
    shares = {CONTROL: 1 - share, TREATMENT: share}
    return RolloutEvidence(control, treatment, (Phase(shares, {name: arm.counted for name, arm in arms.items()}),))


def _figures(name: str, arm: _SimulatedArm, matured: int) -> ArmFigures:
    import numpy as np

    known = arm.pairs[:matured] or [(np.zeros(0), np.zeros(0))]
    labels, scores = (np.concatenate([pair[place] for pair in known]) for place in (0, 1))
    bought = RateCounts(int(labels.sum()), len(labels))
    quality = Matured(labels, scores)
    return ArmFigures(
        name,
        arm.requests,
        tallies={
            "error_rate": RateCounts(arm.errors, arm.requests),
            "not_a_number": RateCounts(arm.undefined, arm.requests),
            "conversion": bought,
        },
        moments={"spent": arm.spent},
        values={"latency": np.concatenate(arm.latencies)},
        histograms={"predictions": [] if arm.histogram is None else arm.histogram.tolist()},
        matured={"log_loss": quality, "brier": quality, "roc_auc": quality},
    )
