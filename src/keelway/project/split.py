"""Which rows a model is tested on, and how the others are folded while it is tuned.

    Model("churn", ..., cuts=Cuts(...))                                   # TimeSplit: the newest cut tests
    Model("rich", ..., cuts=None, split=RandomSplit(test_share=0.2))      # data without a time
    Model("rich", ..., cuts=None, split=PredefinedSplit(column="part"))   # an official split

Time is the only split that shows what a model is worth on data still to come, so it is the default, and a random one
over data that has a time must say so.
"""

from __future__ import annotations

from dataclasses import dataclass

from keelway.errors import ProjectError

MIN_FOLDS = 2


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """Tests on the newest cut; folds validate on later training cuts and train on what was known by then.

    Attributes:
        folds: How many of the newest training cuts validate; fewer where there are not as many.
        seed: Decides how entities are dealt out where no fold over time is clean.
    """

    folds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        _check_folds(self.folds, at_least=1)


@dataclass(frozen=True, slots=True)
class RandomSplit:
    """Tests on rows drawn at random, with the same shares of classes as the rest.

    Attributes:
        test_share: The share of rows that test, between 0 and 1.
        folds: Into how many parts the training rows are folded.
        group: A column of a feature set whose rows stay together, such as a household; it is then no feature.
            Empty keeps the rows of one entity together.
        despite_time: Allows it over datasets that have an event time.
        seed: Decides which rows are drawn; the same for every estimator and run, so that their figures compare.
    """

    test_share: float = 0.2
    folds: int = 5
    group: str = ""
    despite_time: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _check_folds(self.folds, at_least=MIN_FOLDS)
        if not 0 < self.test_share < 1:
            raise ProjectError("Wrong test_share", expected="between 0 and 1", found=repr(self.test_share))


@dataclass(frozen=True, slots=True)
class PredefinedSplit:
    """Tests on the rows that a column names, as published benchmarks do.

    Attributes:
        column: A column of a feature set that says to which part a row belongs; it is then no feature.
        test: Its value for the rows that test; all others train.
        folds: Into how many parts the training rows are folded.
        seed: Decides how they are folded.
    """

    column: str = "part"
    test: str = "test"
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        _check_folds(self.folds, at_least=MIN_FOLDS)
        if not self.column or not self.test:
            raise ProjectError(
                "A predefined split needs a column and the value that tests",
                expected="two names",
                found=f"{self.column!r} and {self.test!r}",
            )


Splitting = TimeSplit | RandomSplit | PredefinedSplit


def split_columns(split: Splitting) -> tuple[str, ...]:
    """Return the columns of feature sets that only split the rows."""
    if isinstance(split, PredefinedSplit):
        return (split.column,)
    if isinstance(split, RandomSplit) and split.group:
        return (split.group,)
    return ()


def _check_folds(folds: int, *, at_least: int) -> None:
    if not isinstance(folds, int) or folds < at_least:
        raise ProjectError("Wrong number of folds", expected=f"{at_least} or more", found=repr(folds))
