"""Why an estimator went on: all that competed in a run, each with its figure, its interval and what the comparison showed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.core import RunStatus

if TYPE_CHECKING:
    from keelway.core import Scalar
    from keelway.evaluate import Comparison, Ranking, Scorecard
    from keelway.flow import RunView
    from keelway.ledger import Transaction
    from keelway.train.tuning import Tuning

STANDS = "the baseline, declared first; it stands unless another is shown to be better"
ALONE = "the only estimator"


@dataclass(frozen=True, slots=True)
class Competitor:
    """One estimator of a run.

    Attributes:
        metric: What decided.
        value: On the test rows, with its interval from `low` to `high` at `level`.
        chosen: Whether it went on.
        because: What was shown of it.
        trials: How many sets of parameters were tried for it; 0 where none were searched.
        tuned: The metric in the mean over the folds with the best of them, which was trained.
        parameters: The best ones.
    """

    estimator: str
    metric: str
    value: float
    low: float
    high: float
    level: float
    chosen: bool
    because: str
    trials: int
    tuned: float | None
    parameters: dict[str, Scalar]

    @property
    def in_words(self) -> str:
        """What was shown of it, and what was searched."""
        if not self.trials:
            return self.because
        return f"{self.because}; best of {self.trials} trials ({self.tuned:.4f} over the folds)"


def competitors_of(view: RunView, *, tx: Transaction) -> tuple[Competitor, ...]:
    """Return the estimators that competed in a run, the baseline first; none where there was nothing to choose."""
    from keelway.evaluate import Ranking, Scorecard
    from keelway.train.tuning import Tuning

    compared = view.steps.get("compare")
    if compared is None or compared.status is not RunStatus.SUCCEEDED:
        return ()
    ranking = tx.by_digest(Ranking, compared.output)
    left = {name: step.output for name, step in view.steps.items() if step is not None}
    names = [name.removeprefix("evaluate:") for name in view.plan.step("compare").needed()]
    tunings = {name: tx.by_digest(Tuning, left[f"tune:{name}"]) for name in names if f"tune:{name}" in left}
    if len(names) == 1 and not tunings:
        return ()
    found = []
    for name, comparison in zip(names, (None, *ranking.comparisons), strict=True):
        card = tx.by_digest(Scorecard, left[f"evaluate:{name}"])
        found.append(_competitor(card, ranking, comparison, tunings.get(name)))
    return tuple(found)


def _competitor(card: Scorecard, ranking: Ranking, comparison: Comparison | None, tuning: Tuning | None) -> Competitor:
    from keelway.evaluate import in_words

    deciding = (*(each.metric for each in ranking.comparisons), *([tuning.metric] if tuning else []))
    metric = next(name for name in (*deciding, *card.metrics) if name in card.metrics)
    figure = card.metrics[metric]
    return Competitor(
        estimator=card.estimator,
        metric=metric,
        value=figure.value,
        low=figure.low,
        high=figure.high,
        level=figure.level,
        chosen=card.trained == ranking.winner,
        because=in_words(comparison) if comparison else STANDS if ranking.comparisons else ALONE,
        trials=tuning.trials if tuning else 0,
        tuned=tuning.value if tuning else None,
        parameters=tuning.parameters if tuning else {},
    )
