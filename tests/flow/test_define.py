"""`@step` registers functions, finds them again, and compares them with the plan before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from keelway.errors import UsageError
from keelway.flow import Context, Plan, Step, check_plan, definition_of, step


@dataclass(frozen=True, slots=True)
class Sum:
    total: int


@step()
def add(ctx: Context, *, left: int, right: int = 1) -> Sum:
    return Sum(left + right)


@step
def bare(ctx: Context, **anything: object) -> Sum | None:
    return None


@step(name="tests.by-path", cache=False, returns="keelway.flow:Nothing")
def by_path(ctx: Context):  # type: ignore[no-untyped-def]
    return None


def plain_function(ctx: Context) -> Sum:
    return Sum(0)


@step()
def returns_number(ctx: Context) -> int:
    return 1


@step()
def returns_unknown(ctx: Context) -> Unheard:  # type: ignore[name-defined]  # noqa: F821
    return None


def test_a_step_function_stays_a_function() -> None:
    assert add(None, left=1) == Sum(2)  # type: ignore[arg-type]


def test_a_function_is_found_by_its_path() -> None:
    definition = definition_of(f"{__name__}:add")
    assert (definition.function, definition.cache, definition.output_class()) == (add, True, Sum)


def test_the_bare_decorator_works_and_none_is_looked_past() -> None:
    assert definition_of(f"{__name__}:bare").output_class() is Sum


def test_a_registered_name_and_an_import_path_for_the_record() -> None:
    definition = definition_of("tests.by-path")
    assert definition.output_class().__name__ == "Nothing"
    assert not definition.cache


@pytest.mark.parametrize(
    ("uses", "words"),
    [
        pytest.param("tests.nobody", "No step is registered", id="unregistered"),
        pytest.param("keelway.nowhere:thing", "cannot be imported", id="no module"),
        pytest.param(f"{__name__}:nothing_here", "cannot be imported", id="no function"),
        pytest.param(f"{__name__}:plain_function", "is not a step", id="undecorated"),
        pytest.param(f"{__name__}:returns_number", "what record it returns", id="no record"),
        pytest.param(f"{__name__}:returns_unknown", "cannot be read", id="annotation unknown"),
    ],
)
def test_a_plan_with_an_unusable_function_is_refused(uses: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_plan(Plan("p", (Step("a", uses),)))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        pytest.param({}, "no left", id="missing"),
        pytest.param({"left": 1, "middle": 2}, "a surplus middle", id="surplus"),
    ],
)
def test_arguments_are_compared_with_the_function(parameters: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_plan(Plan("p", (Step("a", f"{__name__}:add", parameters=dict(parameters)),)))


def test_two_functions_cannot_have_one_name() -> None:
    with pytest.raises(UsageError, match="Two functions want to be"):
        step(name="tests.by-path")(plain_function)


def _compiled_from(text: str) -> object:
    space: dict[str, object] = {"step": step, "Sum": Sum, "__name__": "nowhere"}
    exec(text, space)
    return definition_of_function(space["made"])


def definition_of_function(function: object) -> object:
    return function.__keelway_step__.source_digest()  # type: ignore[attr-defined]


def test_code_without_source_text_is_told_apart_by_what_it_compiles_to() -> None:
    one = _compiled_from("@step()\ndef made(ctx) -> Sum:\n    return Sum(1)\n")
    same = _compiled_from("@step()\ndef made(ctx) -> Sum:\n    return Sum(1)  # the same\n")
    other = _compiled_from("@step()\ndef made(ctx) -> Sum:\n    return Sum(2)\n")
    assert one == same != other
