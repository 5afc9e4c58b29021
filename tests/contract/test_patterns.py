"""A pattern finds the same on every engine, or is refused."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.contract.rules.patterns import spelled
from keelway.errors import ContractError

PIECES = ("a", "b", "0", ".", "[ab]", "[^a]", "[0-9]", r"\d", r"\D", r"\w", r"\s", r"\.", r"[\d.]", r"\n", "é")
QUANTIFIERS = ("", "?", "*", "+", "{2}", "{1,2}", "+?")
ALPHABET = "ab0.-é \n\r\x0b\u2028"


def patterns() -> st.SearchStrategy[str]:
    piece = st.builds("".join, st.tuples(st.sampled_from(PIECES), st.sampled_from(QUANTIFIERS)))
    run = st.lists(piece, min_size=1, max_size=3).map("".join)
    either = st.builds("(?:{}|{})".format, run, run)
    body = st.lists(run | either, min_size=1, max_size=2).map("".join)
    return st.builds("{}{}{}".format, st.sampled_from(["", "^"]), body, st.sampled_from(["", "$"]))


def found_by_re2(pattern: str, text: str) -> bool:
    return bool(pc.match_substring_regex(pa.array([text]), pattern)[0].as_py())


def as_java_reads(pattern: str) -> re.Pattern[str]:
    r"""Python's engine reads the spelling for Java as Java does; its `\Z` is Java's `\z`."""
    return re.compile(pattern.replace(r"\z", r"\Z"))


@given(patterns(), st.text(ALPHABET, max_size=6))
def test_java_finds_what_re2_finds(pattern: str, text: str) -> None:
    assert bool(as_java_reads(spelled(pattern, "pyspark")).search(text)) == found_by_re2(pattern, text)


@given(patterns(), st.text(ALPHABET, max_size=6))
def test_an_engine_that_matches_whole_texts_finds_what_re2_finds(pattern: str, text: str) -> None:
    whole = f".*{spelled(pattern, 'snowflake')}.*"  # as Ibis writes it there
    whole = whole.replace("$", r"\Z")
    assert bool(re.fullmatch(whole, text)) == found_by_re2(pattern, text)


def test_duckdb_reads_the_pattern_as_it_stands() -> None:
    assert spelled(r"^\w+\s.$", "duckdb") == r"^\w+\s.$"


@pytest.mark.parametrize(
    ("pattern", "java"),
    [
        ("^[0-9]{5}$", r"^[0-9]{5}\z"),
        ("a.c", "a[^\n]c"),
        (r"\d\D", "[0-9][^0-9]"),
        (r"[\w-]", "[0-9A-Za-z_-]"),
        (r"\$\.", r"\$\."),
        (r"^(?:a|b)+?$", r"^(?:a|b)+?\z"),
        (r"\p{Lu}\t", "\\p{Lu}\t"),
    ],
)
def test_a_pattern_is_written_out_for_java(pattern: str, java: str) -> None:
    assert spelled(pattern, "databricks") == java


@pytest.mark.parametrize(
    "pattern",
    [
        r"\bword\b", r"(?i)abc", r"(?P<n>a)", r"\Aabc\z", r"[[:alpha:]]", r"[a&&b]", r"\x41", r"\Qa.b\E", "a{,3}", "}",
    ],
)  # fmt: skip
def test_what_engines_read_differently_is_refused(pattern: str) -> None:
    with pytest.raises(ContractError, match=r"read differently|cannot be used"):
        spelled(pattern, "duckdb")


@pytest.mark.parametrize("pattern", ["(", "[a", "a**", "a++", r"(a)\1", "(?=a)", "a{2,1}"])
def test_what_is_no_expression_is_refused_with_the_reason(pattern: str) -> None:
    with pytest.raises(ContractError) as caught:
        spelled(pattern, "duckdb")
    assert pattern in caught.value.found


def test_an_engine_without_a_spelling_is_named() -> None:
    with pytest.raises(ContractError, match="sqlite"):
        spelled("a", "sqlite")
