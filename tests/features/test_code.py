"""Whatever a function uses of the project is part of what it is."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from keelway.features.code import code_of

MAIN = """
import math
from functools import partial
from statistics import fmean
import {name}_helpers as helpers
from {name}_helpers import plus, HALF

RATES = {{"a": (1, 2.5), "b": frozenset({{"x", "y"}})}}

def constant(table, as_of):
    return RATES["a"]

def calls(table, as_of):
    return plus(1) + math.floor(HALF) + fmean([1])

def through_a_module(table, as_of):
    return helpers.plus(2)

def inside(table, as_of):
    return [plus(each) for each in table]

def importing(table, as_of):
    from {name}_helpers import minus
    return minus(1)

def importing_a_library(table, as_of):
    import json
    return json.dumps(1)

def importing_beside_itself(table, as_of):
    from .statistics import mean
    return mean(1)

def maker(number):
    def made(table, as_of):
        return number
    return made

one, two = maker(1), maker(2)
filled = partial(plus, 3)

def partly(table, as_of):
    return filled()

def again(table, as_of, depth=1):
    return again(table, as_of, depth - 1) if depth else 0

class Thing:
    pass

thing = Thing()

def unclear(table, as_of):
    return thing

def attribute_of_that_name(table, as_of):
    return table.thing
"""
HELPERS = """
HALF = 0.5
OFFSET = 1

def plus(number):
    return number + OFFSET

def minus(number):
    return number - OFFSET
"""

Project = Callable[..., ModuleType]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Return a maker of a project's two modules, some words of them replaced."""
    made: list[str] = []

    def make(**replaced: str) -> ModuleType:
        place = tmp_path / str(len(made))
        place.mkdir()
        monkeypatch.syspath_prepend(place)
        texts = {"shop.py": MAIN.format(name="shop"), "shop_helpers.py": HELPERS}
        for file, text in texts.items():
            changed = functools.reduce(lambda said, pair: said.replace(*pair), replaced.items(), text)
            (place / file).write_text(changed)
        for name in ("shop", "shop_helpers"):
            sys.modules.pop(name, None)
        made.append(str(place))
        return importlib.import_module("shop")

    yield make
    for name in ("shop", "shop_helpers"):
        sys.modules.pop(name, None)


TOLD = (
    "constant", "calls", "through_a_module", "inside", "importing", "importing_a_library", "one", "partly", "again",
    "attribute_of_that_name",
)  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_the_same_project_elsewhere_has_the_same_code(project: Project, name: str) -> None:
    first = code_of(getattr(project(), name))
    assert first is not None
    assert code_of(getattr(project(), name)) == first


@pytest.mark.parametrize(
    ("replaced", "moved"),
    [
        ({"2.5": "2.6"}, {"constant"}),
        ({"OFFSET = 1": "OFFSET = 2"}, {"calls", "through_a_module", "inside", "importing", "partly"}),
        ({"HALF = 0.5": "HALF = 0.6"}, {"calls", "through_a_module", "importing"}),
        ({"number - OFFSET": "number - 2 * OFFSET"}, {"through_a_module", "importing"}),
        ({"maker(1)": "maker(3)"}, {"one"}),
        ({"partial(plus, 3)": "partial(plus, 4)"}, {"partly"}),
        ({"depth=1": "depth=2"}, {"again"}),
        ({"fmean([1])": "fmean([2])"}, {"calls"}),
    ],
    ids=["a value", "a helper's value", "a value from elsewhere", "another helper", "a closure", "an argument", "a default", "its text"],
)  # fmt: skip
def test_only_what_is_used_matters(project: Project, replaced: dict[str, str], moved: set[str]) -> None:
    before = {name: code_of(getattr(project(), name)) for name in TOLD}
    after = {name: code_of(getattr(project(**replaced), name)) for name in TOLD}
    assert {name for name in TOLD if before[name] != after[name]} == moved


def test_two_closures_of_one_text_differ(project: Project) -> None:
    shop = project()
    assert code_of(shop.one) != code_of(shop.two)


@pytest.mark.parametrize("name", ["unclear", "importing_beside_itself"])
def test_what_cannot_be_told_is_not(project: Project, name: str) -> None:
    assert code_of(getattr(project(), name)) is None


def test_a_function_without_a_text_cannot_be_told() -> None:
    made: dict[str, Callable[..., int]] = {}
    exec("def typed(table, as_of):\n    return 1", made)
    assert code_of(made["typed"]) is None


def test_a_wrapper_is_told_with_what_it_wraps() -> None:
    def wrapped(number: int) -> Callable[..., int]:
        def function(table: int, as_of: int) -> int:
            return number

        @functools.wraps(function)
        def wrapper(table: int, as_of: int) -> int:
            return function(table, as_of)

        return wrapper

    assert code_of(wrapped(1)) == code_of(wrapped(1)) is not None
    assert code_of(wrapped(1)) != code_of(wrapped(2))
