"""Simulated canaries of models of each task, judged by what they answer and how it turns out.

scores, outcomes = drawn("multiclass", 100, None, np.random.default_rng(1))
for evidence in task_canary("regression", seed=1, fault="calibration"): ...     # one look after another

Errors and latencies are those of `testing.experiments`: they do not depend on the task.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from keelway.deploy.analysis import ArmFigures, ClassAnswers, Matured, Phase, RolloutEvidence, moments_of
from keelway.project import LABEL_FIGURES, Task
from keelway.testing.experiments import CONSTANT_SCORE, CONTROL, SHIFT, TREATMENT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

AnswerFault = Literal["constant", "calibration"]
CLASSES = ("cat", "dog", "owl")
CONCENTRATIONS = (1.2, 0.6, 0.3)
CLASS_SHIFT = 2.0
USUAL_NUMBER, NUMBER_SPREAD, NUMBER_ERROR = 20.0, 5.0, 2.0
TENTHS = (-1.2816, -0.8416, -0.5244, -0.2533, 0.0, 0.2533, 0.5244, 0.8416, 1.2816)  # of the normal distribution


def drawn(task: Task, rows: int, fault: AnswerFault | None, generator: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Return what a calibrated model answers, (rows,) or (rows, classes), and what becomes of those it answered for.

    Args:
        task: What is predicted; the classes are `CLASSES`.
        fault: `constant` answers the same to all; `calibration` is shifted by 1 on the scale of logits, by 2 for the last of
            several classes, and by the standard deviation of the answers where they are numbers. Outcomes are as without it.
        generator: Decides everything.

    Returns:
        Answers, and outcomes as 0 or 1, as the places of classes, or as numbers.
    """
    import numpy as np

    if task == "binary":
        chance = generator.beta(2, 5, rows)
        outcomes = (generator.random(rows) < chance).astype(np.float64)
        if fault == "constant":
            return np.full(rows, CONSTANT_SCORE), outcomes
        return (1 / (1 + np.exp(-SHIFT) * (1 - chance) / chance) if fault == "calibration" else chance), outcomes
    if task == "multiclass":
        shares = generator.dirichlet(CONCENTRATIONS, rows)
        outcomes = (generator.random(rows)[:, None] > shares.cumsum(axis=1)[:, :-1]).sum(axis=1).astype(np.float64)
        if fault == "constant":
            shares = np.tile(np.array(CONCENTRATIONS) / sum(CONCENTRATIONS), (rows, 1))
        elif fault == "calibration":
            shares = shares * np.exp([0.0, 0.0, CLASS_SHIFT])
        return shares / shares.sum(axis=1, keepdims=True), outcomes
    expected = USUAL_NUMBER + NUMBER_SPREAD * generator.standard_normal(rows)
    outcomes = expected + NUMBER_ERROR * generator.standard_normal(rows)
    if fault == "constant":
        return np.full(rows, USUAL_NUMBER), outcomes
    return expected + (NUMBER_SPREAD * SHIFT if fault == "calibration" else 0.0), outcomes


def task_canary(
    task: Task,
    *,
    seed: int,
    fault: AnswerFault | None = None,
    share: float = 0.1,
    per_look: int = 500,
    looks: int = 20,
    label_delay: int = 2,
) -> Iterator[RolloutEvidence]:
    """Yield the evidence of one look after another: the spread of the answers, and every figure of matured labels.

    Args:
        task: What is predicted.
        seed: Decides everything.
        fault: What is wrong with the canary's answers; None for nothing.
        share: The canary's declared share.
        per_look: Entities of both arms between two looks.
        looks: How many looks.
        label_delay: After how many looks an outcome is known.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    sizes = generator.binomial(per_look, share, looks)
    counts = {CONTROL: np.cumsum(per_look - sizes), TREATMENT: np.cumsum(sizes)}
    answers = {
        CONTROL: drawn(task, int(counts[CONTROL][-1]), None, generator),
        TREATMENT: drawn(task, int(counts[TREATMENT][-1]), fault, generator),
    }
    for look in range(looks):
        arms, phase = [], {}
        for name, (given, outcomes) in answers.items():
            rows = int(counts[name][look])
            known = int(counts[name][look - label_delay]) if look >= label_delay else 0
            phase[name] = rows
            arms.append(_figures(task, name, given[:rows], Matured(outcomes[:known], given[:known])))
        yield RolloutEvidence(arms[0], arms[1], (Phase({CONTROL: 1 - share, TREATMENT: share}, phase),))


def _figures(task: Task, name: str, given: Numbers, known: Matured) -> ArmFigures:
    import numpy as np

    quality: dict[str, Matured] = dict.fromkeys(map(str, LABEL_FIGURES[task]), known)
    if task == "multiclass":
        counts = np.bincount(given.argmax(axis=1), minlength=len(CLASSES))
        spread = ClassAnswers(tuple(map(float, counts)), tuple(moments_of(column) for column in given.T))
        return ArmFigures(name, len(given), classes={"predictions": spread}, matured=quality)
    edges = USUAL_NUMBER + NUMBER_SPREAD * np.array(TENTHS) if task == "regression" else np.arange(1, 10) / 10
    counts = np.bincount(np.searchsorted(edges, given, side="right"), minlength=len(edges) + 1)
    return ArmFigures(name, len(given), histograms={"predictions": [*map(float, counts)]}, matured=quality)
