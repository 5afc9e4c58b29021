"""What a fitted first stage does to each feature, read from scikit-learn's objects as plain numbers.

Categories are not read but asked: the stage encodes every level it knows, and one that it does not, and what comes out is
the plan's table. So any encoder, scaled or not, is the same table, with the very bits that training has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keelway.features import FeatureColumn
from keelway.register.plan.records import NOWHERE, PlanLevels, PlanNumber
from keelway.train import ordered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNKNOWN = "\0never"
"""A level that no stage knows; no text column of a table holds a zero byte."""


class PlanSources:
    """The numbers and levels of one fitted first stage, and the columns that they fill.

    Args:
        prepare: The fitted ColumnTransformer.
        features: The schema, in the order of the model version.
        tables: The names of tables begin with this.

    Raises:
        NotImplementedError: A stage does something that no plan can say.
    """

    def __init__(self, prepare: Any, features: Sequence[FeatureColumn], *, tables: str) -> None:
        read = ordered(features)
        self._places = [list(features).index(each) for each in read]
        self._prefix = tables
        self.width = 0
        self.numbers: dict[int, PlanNumber] = {}
        self.levels: list[PlanLevels] = []
        self.tables: dict[str, NDArray[np.float32]] = {}
        for name, stage, columns in prepare.transformers_:
            kind = name.partition("_")[0]
            if kind not in ("numbers", "missing", "categories"):
                raise NotImplementedError(f"{kind} features are answered by ONNX")
            {"numbers": self._number, "missing": self._indicator, "categories": self._categories}[kind](
                stage, [self._places[column] for column in columns]
            )

    def keep(self, columns: Sequence[int]) -> None:
        """Leave only some columns, in this order."""
        at = {column: place for place, column in enumerate(columns)}
        self.width = len(columns)
        self.numbers = {
            place: replace(each, column=at.get(each.column, NOWHERE), indicator=at.get(each.indicator, NOWHERE))
            for place, each in self.numbers.items()
        }
        for place, each in enumerate(self.levels):
            kept = [number for number, column in enumerate(each.columns) if column in at]
            self.levels[place] = replace(each, columns=tuple(at[each.columns[number]] for number in kept))
            self.tables[each.table] = self.tables[each.table][:, kept]

    def _number(self, stage: Any, places: Sequence[int]) -> None:
        import numpy as np
        import pandas as pd

        names = [type(each).__name__ for _, each in stage.steps]
        if names[0] != "SimpleImputer" or len(names) > 2:
            raise NotImplementedError(f"numbers that go through {', '.join(names)} are answered by ONNX")
        slopes, shifts = _scaling(stage[1] if len(names) == 2 else None, len(places))
        nothing = np.full((1, len(places)), np.nan, dtype=np.float32)
        missing = np.asarray(stage.transform(pd.DataFrame(nothing, columns=_names_of(stage, len(places)))))[0]
        for number, place in enumerate(places):
            known = self.numbers.get(place, _untouched(place))
            self.numbers[place] = replace(
                known, column=self.width + number, slope=slopes[number], shift=shifts[number],
                missing=float(missing[number]),
            )  # fmt: skip
        self.width += len(places)

    def _indicator(self, stage: Any, places: Sequence[int]) -> None:
        if len(stage.features_) != len(places):
            raise NotImplementedError("only some columns tell where a number is missing")
        for number, place in enumerate(places):
            self.numbers[place] = replace(self.numbers.get(place, _untouched(place)), indicator=self.width + number)
        self.width += len(places)

    def _categories(self, stage: Any, places: Sequence[int]) -> None:
        known = _levels_of(stage)
        total = _encoded(stage, [[UNKNOWN]] * len(places)).shape[1]
        widths = (
            [len(levels) for levels in known] if hasattr(stage, "drop_idx_") else [total // len(places)] * len(places)
        )
        if len(known) != len(places) or sum(widths) != total:
            raise NotImplementedError(f"{type(stage).__name__} fills columns that belong to no single feature")
        begin = 0
        for number, (place, levels, width) in enumerate(zip(places, known, widths, strict=True)):
            given = [[UNKNOWN] for _ in places]
            given[number] = [*levels, UNKNOWN]
            table = f"{self._prefix}levels.{place}"
            self.tables[table] = _encoded(stage, given)[:, begin : begin + width]
            filled = tuple(range(self.width + begin, self.width + begin + width))
            self.levels.append(PlanLevels(place, filled, tuple(levels), table))
            begin += width
        self.width += total


def _untouched(place: int) -> PlanNumber:
    return PlanNumber(place, NOWHERE, 1.0, 0.0, 0.0, NOWHERE)


def _scaling(scaler: Any | None, count: int) -> tuple[list[float], list[float]]:
    """Return slope and shift of each column, with the rounding to 32 bits that the scaler does to its own numbers."""
    import numpy as np

    kind = type(scaler).__name__
    if scaler is None:
        return [1.0] * count, [0.0] * count
    if kind == "MinMaxScaler" and not scaler.clip:
        return scaler.scale_.tolist(), scaler.min_.tolist()
    if kind == "StandardScaler" and scaler.with_mean and scaler.with_std:
        centre, size = (each.astype(np.float32).astype(np.float64) for each in (scaler.mean_, scaler.scale_))
    elif kind == "RobustScaler" and scaler.with_centering and scaler.with_scaling:
        centre, size = scaler.center_, scaler.scale_
    else:
        raise NotImplementedError(f"numbers that go through {kind} are answered by ONNX")
    return (1 / size).tolist(), (-centre / size).tolist()


def _levels_of(stage: Any) -> list[list[str]]:
    """Return the levels that an encoder knows, column by column."""
    first = stage[0] if hasattr(stage, "steps") else stage
    found = getattr(first, "levels", None) or getattr(first, "categories_", None)
    if found is None:
        raise NotImplementedError(f"categories that go through {type(first).__name__} are answered by ONNX")
    return [[str(level) for level in levels] for levels in found]


def _encoded(stage: Any, given: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    """Return what a stage makes of texts; columns that are shorter than others repeat their last one."""
    import numpy as np
    import pandas as pd

    names = _names_of(stage, len(given))
    longest = max(map(len, given))
    table = pd.DataFrame(
        {
            name: pd.Series([*texts, *[texts[-1]] * (longest - len(texts))], dtype=object)
            for name, texts in zip(names, given, strict=True)
        }
    )
    return np.asarray(stage.transform(table), dtype=np.float32)


def _names_of(stage: Any, count: int) -> list[Any]:
    """Return the names of columns that a stage was fitted on, or numbers."""
    return list(getattr(stage, "feature_names_in_", range(count)))
