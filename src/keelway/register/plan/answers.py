"""From sums to answers: links, calibrations and mixtures, one row at a time in 64 bits.

The formulas are those of the libraries that fitted the model, term by term, so that the answers are theirs to the last bit
wherever they compute in 64 bits: `1 / (1 + exp(-x))`, a softmax that subtracts the largest score first, and for an isotonic
calibration the line between two points as `scipy.interpolate.interp1d` draws it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence

from keelway.register.plan.records import PlanCalibration, PlanMixture, PlanModel

Vector = list[float]
SMALLEST_EXPONENT = -709.0
"""Below it `exp(-x)` is beyond 64 bits, and the sigmoid 0."""
LARGEST_EXPONENT = 709.0


def sigmoid(score: float) -> float:
    """Return 1 / (1 + exp(-score)).

    >>> sigmoid(0.0), sigmoid(-1e6), sigmoid(1e6)
    (0.5, 0.0, 1.0)
    """
    if score > SMALLEST_EXPONENT:
        return 1.0 / (1.0 + math.exp(-score))
    return score if math.isnan(score) else 0.0


def exponential(score: float) -> float:
    """Return the exponential of a score; infinity, which is no answer, where it is beyond 64 bits.

    >>> exponential(0.0), exponential(1e6)
    (1.0, inf)
    """
    return math.exp(score) if score < LARGEST_EXPONENT else score if math.isnan(score) else math.inf


def softmax(scores: Sequence[float]) -> Vector:
    """Return the share of each score's exponential.

    >>> softmax([1.0, 1.0])
    [0.5, 0.5]
    """
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    total = 0.0
    for power in powers:
        total += power
    return [power / total for power in powers]


def calibrated(score: float, calibration: PlanCalibration) -> float:
    """Return what a score stands for.

    >>> calibrated(0.5, PlanCalibration(x=(0.0, 1.0), y=(0.2, 0.4)))
    0.30000000000000004
    """
    x, y = calibration.x, calibration.y
    if not x:
        return sigmoid(-(calibration.slope * score + calibration.shift))
    if len(x) == 1:
        return y[0]
    score = min(max(score, x[0]), x[-1])
    high = min(max(bisect_left(x, score), 1), len(x) - 1)
    low = high - 1
    return (y[high] - y[low]) / (x[high] - x[low]) * (score - x[low]) + y[low]


def answer_of(model: PlanModel) -> Callable[[Vector], Vector]:
    """Return what makes the answer of an estimator from its sums: one number, or one a class."""
    linked = _link(model)
    if not model.calibrations:
        return linked
    steps = model.calibrations

    def answer(sums: Vector) -> Vector:
        shares = [calibrated(score, step) for score, step in zip(linked(sums), steps, strict=True)]
        if len(shares) == 1:
            return shares
        total = 0.0
        for share in shares:
            total += share
        return [share / total for share in shares] if total else [1.0 / len(shares)] * len(shares)

    return answer


def answers_of(model: PlanModel) -> Callable[[list[Vector]], list[Vector]]:
    """Return what makes the answers of an estimator to many rows, the same to the last bit as `answer_of` gives to each."""
    if (model.link, model.outputs, model.slope, model.divisor, model.calibrations) == ("sigmoid", 1, 1.0, 1.0, ()):
        return _sigmoids
    answer = answer_of(model)
    return lambda sums: list(map(answer, sums))


def _sigmoids(sums: list[Vector]) -> list[Vector]:
    exp = math.exp
    return [[1.0 / (1.0 + exp(-score)) if score > SMALLEST_EXPONENT else sigmoid(score)] for [score] in sums]


def _link(model: PlanModel) -> Callable[[Vector], Vector]:
    links: dict[str, Callable[[Vector], Vector]] = {
        "identity": lambda sums: sums,
        "sigmoid": lambda sums: [sigmoid(each) for each in sums],
        "exponent": lambda sums: [exponential(each) for each in sums],
        "softmax": softmax,
    }
    link, slope, divisor = links[model.link], model.slope, model.divisor
    if slope == divisor == 1:
        return link
    return lambda sums: link([slope * each / divisor for each in sums])


def mean_of(answers: Sequence[Vector]) -> Vector:
    """Return the mean of the answers of several estimators to one row."""
    if len(answers) == 1:
        return answers[0]
    totals = [0.0] * len(answers[0])
    for answer in answers:
        totals = [total + each for total, each in zip(totals, answer, strict=True)]
    return [total / len(answers) for total in totals]


def mixed(mixture: PlanMixture, answers: Sequence[Vector], task: str) -> Vector:
    """Return the answer of an ensemble from those of its members to one row."""
    if not mixture.coefficients:
        totals = [0.0] * len(answers[0])
        for weight, answer in zip(mixture.weights, answers, strict=True):
            totals = [total + weight * each for total, each in zip(totals, answer, strict=True)]
        return totals
    read = [each for answer in answers for each in answer]
    scores = [
        sum(weight * each for weight, each in zip(row, read, strict=True)) + intercept
        for row, intercept in zip(mixture.coefficients, mixture.intercepts, strict=True)
    ]
    if task == "regression":
        return scores
    return softmax(scores) if len(scores) > 1 else [sigmoid(scores[0])]
