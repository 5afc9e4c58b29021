"""What each matured answer lost, by figure: the rows of which the mean is judged.

Rows are one an entity, and taken as exchangeable within an arm. Their mean is judged by an asymptotic confidence sequence,
which takes them to have a variance: errors of numbers with rare huge values need more rows than it can know of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelway.errors import UsageError
from keelway.evaluate import class_log_losses, class_squared_errors, log_losses, squared_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from keelway.deploy.analysis.evidence import Matured

    Numbers = NDArray[np.float64]

OF_NUMBERS = ("mse", "mae")


def row_losses(kind: str, known: Matured) -> Numbers:
    """Return what each answer lost: its log loss in nats, its squared or absolute error, or 1 where it named a wrong class.

    The squared error of an answer with several classes is the sum over all of them (Brier 1950), 0 to 2.

    Args:
        kind: Of the figure: `log_loss`, `brier`, `accuracy`, `mse` or `mae`.
        known: Of one arm.

    Raises:
        UsageError: Labels and answers do not fit together, or do not fit the figure.
    """
    import numpy as np

    if kind in OF_NUMBERS:
        numbers, given = checked_numbers(known)
        return np.asarray((given - numbers) ** 2 if kind == "mse" else np.abs(given - numbers))
    if kind == "accuracy" or np.ndim(known.scores) == 2:
        places, shares = checked_classes(known)
        return _class_losses(kind, places, shares)
    labels, scores = checked_scores(known)
    return (log_losses if kind == "log_loss" else squared_errors)(labels, scores)


def checked_scores(known: Matured) -> tuple[Numbers, Numbers]:
    """Return labels of 0 and 1 with the probabilities of 1 that were answered.

    Raises:
        UsageError: They are something else.
    """
    import numpy as np

    labels, scores = (np.asarray(each, dtype=np.float64) for each in (known.labels, known.scores))
    usable = labels.shape == scores.shape and np.isin(labels, (0, 1)).all() and _are_shares(scores)
    return (labels, scores) if usable else _refuse(known, "labels of 0 and 1, and as many probabilities")


def checked_numbers(known: Matured) -> tuple[Numbers, Numbers]:
    """Return what became of entities with what was answered, both finite numbers.

    Raises:
        UsageError: They are something else.
    """
    import numpy as np

    numbers, given = (np.asarray(each, dtype=np.float64) for each in (known.labels, known.scores))
    usable = numbers.shape == given.shape and np.isfinite(numbers).all() and np.isfinite(given).all()
    return (numbers, given) if usable else _refuse(known, "finite numbers, and as many answers")


def checked_classes(known: Matured) -> tuple[NDArray[np.intp], Numbers]:
    """Return the places of classes with the probability of each class that was answered.

    Raises:
        UsageError: They are something else.
    """
    import numpy as np

    labels, shares = (np.asarray(each, dtype=np.float64) for each in (known.labels, known.scores))
    fits = shares.ndim == 2 and labels.shape == shares.shape[:1]
    usable = fits and np.isin(labels, np.arange(shares.shape[1])).all() and _are_shares(shares)
    if not usable or not (shares.sum(axis=1) > 0).all():
        _refuse(known, "the place of a class, and a probability for each class, by row")
    return labels.astype(np.intp), shares


def _class_losses(kind: str, places: NDArray[np.intp], shares: Numbers) -> Numbers:
    import numpy as np

    if not len(places):
        return np.zeros(0)
    if kind == "accuracy":
        return np.asarray(shares.argmax(axis=1) != places, dtype=np.float64)
    return (class_log_losses if kind == "log_loss" else class_squared_errors)(places, shares)


def _are_shares(values: Numbers) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())  # NaN is not


def _refuse(known: Matured, expected: str) -> tuple[Numbers, Numbers]:
    import numpy as np

    raise UsageError(
        "Matured labels cannot be used",
        expected=expected,
        found=f"{np.shape(known.labels)} labels and {np.shape(known.scores)} scores",
    )
