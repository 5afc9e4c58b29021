"""What is declared about preprocessing, searches and ensembles is checked when it is declared."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import digest_of
from keelway.errors import ProjectError
from keelway.project import Choice, ColumnPreprocessing, Combination, Ensemble, Estimator, Preprocessing, Range
from keelway.project.estimator import Calibration, ClassWeight
from keelway.project.preprocessing import Encoding, Imputation, Scaling, Selection, TextEncoding
from keelway.train import EnsembleManifest

PATH = "sklearn.linear_model.LogisticRegression"

WRONG: dict[str, Callable[[], object]] = {
    "imputation": lambda: Preprocessing(impute="magic"),  # type: ignore[arg-type]
    "no imputation": lambda: Preprocessing(impute=None),  # type: ignore[arg-type]
    "scale": lambda: Preprocessing(scale="log"),  # type: ignore[arg-type]
    "no scale": lambda: Preprocessing(scale=None),  # type: ignore[arg-type]
    "encoding": lambda: Preprocessing(encode="hash"),  # type: ignore[arg-type]
    "text": lambda: Preprocessing(text="bert"),  # type: ignore[arg-type]
    "text columns": lambda: Preprocessing(text_columns=0),
    "selection": lambda: Preprocessing(select="best"),  # type: ignore[arg-type]
    "keep": lambda: Preprocessing(select="variance", keep=0),
    "keep without select": lambda: Preprocessing(keep=5),
    "column's imputation": lambda: ColumnPreprocessing(impute="magic"),  # type: ignore[arg-type]
    "column's rare level": lambda: ColumnPreprocessing(rare_level=0),
    "calibration": lambda: Estimator("a", PATH, calibrate="platt"),  # type: ignore[arg-type]
    "class weight": lambda: Estimator("a", PATH, class_weight="even"),  # type: ignore[arg-type]
    "class weight twice": lambda: Estimator("a", PATH, {"class_weight": "balanced"}, class_weight="balanced"),
    "space": lambda: Estimator("a", PATH, space={"C": [1, 2]}),  # type: ignore[dict-item]
    "range the wrong way": lambda: Range(2, 1),
    "range without end": lambda: Range(0, float("inf")),
    "range of nothing": lambda: Range(float("nan"), 1),
    "logarithm of zero": lambda: Range(0, 1, log=True),
    "step too long": lambda: Range(0, 1, step=2),
    "step and logarithm": lambda: Range(1, 9, log=True, step=1),
    "choice of one": lambda: Choice((1,)),
    "choice twice": lambda: Choice((1, 1)),
    "method": lambda: Ensemble("a", ("b", "c"), "bagging"),  # type: ignore[arg-type]
    "one member": lambda: Ensemble("a", ("b",)),
    "a member twice": lambda: Ensemble("a", ("b", "b")),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_declaration_is_refused(case: str) -> None:
    with pytest.raises(ProjectError) as caught:
        WRONG[case]()
    assert caught.value.expected


def test_a_choice_of_true_and_one_is_a_choice() -> None:
    assert Choice((1, True)).values == (1, True)
    assert Choice([None, "balanced"]).values == (None, "balanced")  # type: ignore[arg-type]


@given(low=st.integers(-100, 100), more=st.integers(1, 100))
def test_a_range_is_of_whole_numbers_where_both_ends_are(low: int, more: int) -> None:
    assert Range(low, low + more).whole
    assert not Range(float(low), low + more).whole
    assert not Range(low, low + more, step=0.5).whole


def test_columns_that_say_nothing_leave_what_holds_for_all() -> None:
    chosen = Preprocessing(impute="mean", columns={"plan": ColumnPreprocessing()})
    assert chosen.of("plan") == chosen.of("other") == Preprocessing(impute="mean")


def test_everything_that_is_declared_is_told_under_a_name_of_its_own() -> None:
    told = Preprocessing(columns={"age": ColumnPreprocessing(scale=False, missing_indicator=True)}).flat()
    assert told["columns.age.scale"] is False
    assert told["columns.age.missing_indicator"] is True
    assert "columns" not in told
    assert all(value is None or isinstance(value, (str, int, float, bool)) for value in told.values())


def test_another_declaration_has_another_digest() -> None:
    declared = [
        Preprocessing(),
        Preprocessing(encode="target"),
        Preprocessing(columns={"plan": ColumnPreprocessing(encode="target")}),
        Estimator("a", PATH),
        Estimator("a", PATH, calibrate="sigmoid"),
        Estimator("a", PATH, space={"C": Range(0.1, 10, log=True)}),
        Ensemble("a", ("b", "c")),
        Ensemble("a", ("c", "b")),
    ]
    assert len({digest_of(each) for each in declared}) == len(declared)


def test_members_must_be_single_estimators_of_the_model() -> None:
    ensemble = Ensemble("both", ["linear", "trees"])  # type: ignore[arg-type]
    ensemble.check_members(["linear", "trees", "more"])
    with pytest.raises(ProjectError, match="found trees"):
        ensemble.check_members(["linear"])


PAGE = (Path(__file__).parents[2] / "docs" / "preprocessing.md").read_text("utf8")
WORDS = sorted(
    {
        *(each.name for kind in (Preprocessing, ColumnPreprocessing, Range, Ensemble) for each in fields(kind)),
        *(word for kind in (Imputation, Scaling, Encoding, TextEncoding, Selection) for word in get_args(kind)),
        *(word for kind in (Calibration, ClassWeight, Combination) for word in get_args(kind)),
        *(each.name for each in fields(EnsembleManifest)),
        "class_weight", "calibrate", "space",
    }
)  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_every_option_and_choice_is_on_the_page(word: str) -> None:
    assert re.search(rf"\b{word}\b", PAGE), f"docs/preprocessing.md does not tell of {word}"


def test_the_defaults_on_the_page_are_those_of_the_declaration() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \(default\)", PAGE, re.MULTILINE))
    assert told == {
        "impute": '"median"',
        "missing_indicator": "False",
        "scale": "True",
        "text": '"tfidf"',
    }
    defaults = Preprocessing()
    assert all(repr(getattr(defaults, name)).replace("'", '"') == value for name, value in told.items())
    assert (defaults.encode, defaults.rare_level, defaults.text_columns, defaults.select) == ("one_hot", 20, 1000, None)
    assert Ensemble("a", ("b", "c")).method == "voting"
