"""A condition on runs is read into a tree, comes back as the same tree, and never reaches the database as text."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import RUN_FIELDS, RunAll, RunAny, RunFilter, RunNot, RunTest
from keelway.errors import UsageError
from keelway.train.tracking import parse_where, text_of

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SIGNS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
TEXTS = st.text(max_size=20).map(lambda text: text.replace("\0", "_"))
NAMES = TEXTS.filter(bool)
HOSTILE = ["'; DROP TABLE runs; --", "x' OR '1'='1", '" OR 1=1 --', "metrics.auc", "model", "and", "`", "a.b/c@d"]


@st.composite
def comparisons(draw: st.DrawFn) -> RunTest:
    scope = draw(st.sampled_from(["", "field", "metric", "parameter"]))
    if scope == "field":
        name = draw(st.sampled_from(sorted(set(RUN_FIELDS) - {"started", "ended"})))
        values = {"text": TEXTS, "number": NUMBERS, "flag": st.booleans()}[RUN_FIELDS[name]]
        return RunTest(name, scope, draw(SIGNS), draw(values))
    name = draw(NAMES | st.sampled_from(HOSTILE))
    values = NUMBERS if scope == "metric" else TEXTS | NUMBERS | st.booleans() | st.sampled_from(HOSTILE)
    value = draw(values)
    sign = draw(SIGNS) if not isinstance(value, str) else draw(SIGNS | st.just("like"))
    return RunTest(name, scope, sign, value)


def several(inner: st.SearchStrategy[RunFilter]) -> st.SearchStrategy[RunFilter]:
    parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return parts.map(RunAll) | parts.map(RunAny) | inner.map(RunNot)


@given(st.recursive(comparisons(), several, max_leaves=8))
def test_a_condition_comes_back_as_it_was_written(tree: RunFilter) -> None:
    assert parse_where(text_of(tree)) == tree


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_told_to_be_none(text: str) -> None:
    tree = None
    with contextlib.suppress(UsageError):
        tree = parse_where(text)
    if tree is None:
        with pytest.raises(UsageError) as told:
            parse_where(text)
        assert told.value.expected
    else:
        assert parse_where(text_of(tree)) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("auc > 0.8", RunTest("auc", "", ">", 0.8)),
        ("model='churn'", RunTest("model", "field", "=", "churn")),
        ("metrics.model <> 2", RunTest("model", "metric", "!=", 2.0)),
        ("params.C == 1e-3", RunTest("C", "parameter", "=", 0.001)),
        ('"evaluate:boosted.roc_auc" >= .5', RunTest("evaluate:boosted.roc_auc", "", ">=", 0.5)),
        ("name like 'base%'", RunTest("name", "field", "like", "base%")),
        ("dirty = TRUE", RunTest("dirty", "field", "=", True)),
        ("note = 'it''s'", RunTest("note", "", "=", "it's")),
        (
            "a > 1 or b > 2 and not c > 3",
            RunAny(
                (
                    RunTest("a", "", ">", 1.0),
                    RunAll((RunTest("b", "", ">", 2.0), RunNot(RunTest("c", "", ">", 3.0)))),
                )
            ),
        ),
        (
            "status in ('failed', 'open')",
            RunAny((RunTest("status", "field", "=", "failed"), RunTest("status", "field", "=", "open"))),
        ),
        ("seed not in (1)", RunNot(RunTest("seed", "field", "=", 1.0))),
    ],
)
def test_what_people_write_is_understood(text: str, tree: RunFilter) -> None:
    assert parse_where(text) == tree


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("", 1, "the name"),
        ("auc", 4, "an operator"),
        ("auc > ", 7, "a number"),
        ("auc > 0.8 and", 14, "the name"),
        ("auc > 0.8 status = 'x'", 11, "'and', 'or' or the end"),
        ("(auc > 0.8", 11, "')'"),
        ("model = 5", 1, "compared with a text"),
        ("metrics.auc = 'high'", 1, "compared with a number"),
        ("seed like 'x'", 1, "compared with a number"),
        ("started like '2026%'", 1, "a text after 'like'"),
        ("auc > 1; drop", 8, "a name, a number"),
        ("auc > 'open", 7, "a name, a number"),
        ("auc not 5", 9, "'in' after 'not'"),
        ("auc > 1e999", 1, "a finite number"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, place: int, expected: str) -> None:
    with pytest.raises(UsageError, match=f"at character {place}") as told:
        parse_where(text)
    assert expected in told.value.expected


@pytest.mark.parametrize("character", ["\0", "\udcff"], ids=["NUL", "half a character"])
def test_what_no_database_takes_is_refused(character: str) -> None:
    with pytest.raises(UsageError, match="The condition is no text"):
        parse_where(f"name = 'a{character}b'")


def test_a_time_that_is_none_is_told() -> None:
    with pytest.raises(UsageError, match="This is not a time"):
        parse_where("started > 'yesterday'")


@pytest.mark.parametrize("text", ["(" * 60 + "a > 1" + ")" * 60, "not " * 200 + "a > 1", "a > 1 or " * 1000 + "a > 1"])
def test_conditions_that_would_exhaust_the_reader_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_where(text)
