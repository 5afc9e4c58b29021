"""Made-up rows of every kind of feature, with labels for every task, for tests of preparing, fitting and exporting.

>>> rows = MixedRows.draw(50)
>>> rows.frame.shape, sorted(rows.labels)
((50, 10), ['binary', 'multiclass', 'regression'])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keelway.features import FeatureColumn
from keelway.project import Estimator, Preprocessing, Task
from keelway.train import Fold, Lesson, fitted_pipeline, frame_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

FEATURES = (
    FeatureColumn("age", "numeric"),
    FeatureColumn("income", "numeric"),
    FeatureColumn("visits", "numeric"),
    FeatureColumn("plan", "categorical"),
    FeatureColumn("town", "categorical"),
    FeatureColumn("note", "text"),
    FeatureColumn("pixels", "array", 4),
)
WORDS = ("free", "prize", "lunch", "noon", "hello", "£5", "größe")
CLASSES = ("high", "low", "middle")  # sorted: labels of several classes are places among these


@dataclass(frozen=True)
class MixedRows:
    """Rows of numbers, categories, texts and arrays; age, plan, the word "free" and the first pixel decide the label.

    Attributes:
        columns: Feature to values, with missing numbers and empty categories among them.
        labels: Task to the label of each row.
    """

    columns: dict[str, list[Any]]
    labels: dict[Task, NDArray[Any]]

    @classmethod
    def draw(cls, count: int, *, seed: int = 0) -> MixedRows:
        """Return that many rows."""
        import numpy as np

        draw = np.random.default_rng(seed)
        numbers = draw.normal(size=(count, 3)).astype(np.float32)
        lost = draw.random((count, 3)) < 0.1
        plan = draw.choice(["", "basic", "gold", "rare"], count, p=[0.1, 0.5, 0.35, 0.05])
        notes = [" ".join(draw.choice(WORDS, 5)) for _ in range(count)]
        pixels = draw.random((count, 4)).astype(np.float32)
        score = np.where(lost[:, 0], 0, numbers[:, 0]) + (plan == "gold") + pixels[:, 0] + draw.normal(size=count) / 2
        score += np.array([note.count("free") for note in notes])
        places = np.digitize(score, np.quantile(score, [0.3, 0.7]))
        columns = {
            name: [None if gone else float(value) for value, gone in zip(numbers[:, at], lost[:, at], strict=True)]
            for at, name in enumerate(("age", "income", "visits"))
        }
        rest = {
            "plan": plan.tolist(),
            "town": [f"town {number}" for number in draw.integers(0, 60, count)],
            "note": notes,
            "pixels": pixels.tolist(),
        }
        labels: dict[Task, NDArray[Any]] = {
            "binary": (score > np.median(score)).astype(np.int8),
            "multiclass": np.array([1, 2, 0])[places],
            "regression": score,
        }
        return cls({**columns, **rest}, labels)

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a pipeline reads them."""
        return frame_of(self.columns, FEATURES)

    def lesson(
        self,
        preprocessing: Preprocessing | None = None,
        *,
        task: Task = "binary",
        folds: tuple[Fold, ...] | None = None,
    ) -> Lesson:
        """Return the lesson of these rows, with two folds that go forward unless others are given."""
        return Lesson(
            features=FEATURES,
            frame=self.frame,
            labels=self.labels[task],
            preprocessing=preprocessing or Preprocessing(),
            task=task,
            seed=7,
            folds=forward_folds(len(self.labels[task])) if folds is None else folds,
        )

    def fitted(self, estimator: Estimator, preprocessing: Preprocessing | None = None, *, task: Task = "binary") -> Any:
        """Return an estimator's pipeline, fitted on these rows."""
        return fitted_pipeline(self.lesson(preprocessing, task=task), estimator)


class BentPipeline:
    """A pipeline that answers otherwise for one row.

    Args:
        inner: The pipeline that answers every other row; it gives probabilities of one outcome.
        row: The place of the row among those that are asked for.
        change: What is added to the row's probability.
    """

    def __init__(self, inner: Any, row: int, change: float) -> None:
        self._inner, self._row, self._change = inner, row, change

    def predict_proba(self, frame: pd.DataFrame) -> NDArray[Any]:
        """Return the probabilities of both outcomes, one row each."""
        found: NDArray[Any] = self._inner.predict_proba(frame)
        found[self._row, 1] += self._change
        return found


def forward_folds(count: int) -> tuple[Fold, ...]:
    """Return two folds: a third learns and the next one tries, then two thirds learn and the last one tries."""
    import numpy as np

    from keelway.train import Fold

    third = count // 3
    return (
        Fold(np.arange(third), np.arange(third, 2 * third), "first"),
        Fold(np.arange(2 * third), np.arange(2 * third, count), "second"),
    )
