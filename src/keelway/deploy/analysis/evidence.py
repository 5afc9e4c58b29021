"""What is known about the arms of a rollout at one look, all since it began: counts, moments, values, matured labels.

Counts and moments add up, so whoever keeps them never reads a request twice. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keelway.deploy.analysis.moments import Moments
from keelway.deploy.analysis.rates import RateCounts
from keelway.deploy.analysis.shares import Phase

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Matured:
    """Predictions whose outcome is known by now.

    Attributes:
        labels: 0 or 1; of several classes the place of the class; of numbers what it was.
        scores: What was answered, in the same order: the probability of 1; of each class, (rows, classes); or the number.
    """

    labels: ArrayLike
    scores: ArrayLike


@dataclass(frozen=True, slots=True)
class ClassAnswers:
    """How the answers of an arm are spread over classes, which stand in one order for all arms.

    Attributes:
        counts: Answers of which each class is the likeliest.
        shares: Of each class's probability, one value an answer.
    """

    counts: tuple[float, ...]
    shares: tuple[Moments, ...]

    @property
    def rows(self) -> float:
        """How many answers there are."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """What is known about one arm. A figure that is not there is missing, which is an error; one without rows is early.

    Attributes:
        arm: Its name.
        requests: How many it answered, or failed to.
        tallies: Of rates, by figure: errors of requests, conversions of entities ...
        moments: Of means, by figure, one value an entity; with the covariate where one was known before.
        values: Of quantiles, by figure: latencies in seconds ...
        histograms: Of distributions of numbers, by figure, in the same bins for all arms.
        classes: Of distributions of classes, by figure.
        matured: What labels say, by figure of quality.
    """

    arm: str
    requests: int
    tallies: Mapping[str, RateCounts] = field(default_factory=dict)
    moments: Mapping[str, Moments] = field(default_factory=dict)
    values: Mapping[str, ArrayLike] = field(default_factory=dict)
    histograms: Mapping[str, Sequence[float]] = field(default_factory=dict)
    classes: Mapping[str, ClassAnswers] = field(default_factory=dict)
    matured: Mapping[str, Matured] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RolloutEvidence:
    """Two arms at one look.

    Attributes:
        control: What is in use.
        treatment: What is tried.
        phases: How the entities were split, one for each time in which the shares stayed the same.
        problems: What could not be read, in words; anything here stops the judgement.
    """

    control: ArmFigures
    treatment: ArmFigures
    phases: tuple[Phase, ...]
    problems: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """The declared share of the treatment among the two arms, in the newest phase."""
        shares = self.phases[-1].shares
        treatment, control = shares[self.treatment.arm], shares[self.control.arm]
        return treatment / (treatment + control)
