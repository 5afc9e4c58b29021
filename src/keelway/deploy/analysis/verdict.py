"""What one look says about a rollout: the verdict on it, and each figure behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["success", "failure", "inconclusive", "error"]
Status = Literal["violated", "held", "open", "unknown"]


@dataclass(frozen=True, slots=True)
class MeasuredFigure:
    """What one figure says at one look.

    Attributes:
        name: Of the figure.
        status: `violated`: shown to be worse than it may be. `held`: shown to be within its margin, or at its goal. `open`:
            neither yet. `unknown`: it could not be read.
        harm: By how much the treatment is worse than the control; None where that is not known.
        low: The end that the harm is above, at all looks together; None where there is none.
        high: The end that the harm is below.
        sentence: The same in words.
        control: The figure of the control by itself; None where it was not read, or is no number.
        treatment: The same of the treatment.
        cuped: The part of the variance that was taken out by what was known before; None where nothing was.
    """

    name: str
    status: Status
    harm: float | None
    low: float | None
    high: float | None
    sentence: str
    control: float | None = None
    treatment: float | None = None
    cuped: float | None = None


@dataclass(frozen=True, slots=True)
class RolloutVerdict:
    """What the evidence of one look says about a rollout.

    Attributes:
        outcome: The verdict; only `success` may promote.
        reasons: Why, every reason there is; never empty.
        figures: What each figure says; empty where it was not asked.
        mismatch_p: The always-valid p-value that the arms got their shares; None where it could not be computed.
        requests: Of the control and of the treatment.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    figures: tuple[MeasuredFigure, ...]
    mismatch_p: float | None
    requests: tuple[int, int]
