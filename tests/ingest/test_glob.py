"""One meaning of a glob, for every store."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.errors import SourceError
from keelway.ingest import Glob, name_parts

PART = st.text("ab-._ []+*?{}^$é\n", min_size=1, max_size=4).filter(lambda part: part not in (".", ".."))
PLAIN = st.text("ab-._ []+{}^$é\n", min_size=1, max_size=4).filter(lambda part: part not in (".", ".."))
NAME = st.lists(PLAIN, min_size=1, max_size=5).map("/".join)
GLOB = st.lists(st.one_of(PART, st.just("**")), min_size=1, max_size=4).map("/".join)


@given(NAME)
def test_a_name_without_wildcards_matches_itself_only(name: str) -> None:
    glob = Glob.parse(name)
    assert glob.matches(name)
    assert not glob.matches(name + "x")
    assert not glob.matches("x/" + name)


@given(NAME)
def test_two_stars_match_everything(name: str) -> None:
    assert Glob.parse("**").matches(name)


@given(GLOB, NAME)
def test_a_name_that_matches_lies_in_folders_that_may_hold_it(text: str, name: str) -> None:
    glob = Glob.parse(text)
    if not glob.matches(name):
        return
    folders = name.split("/")[:-1]
    assert all(glob.may_hold("/".join(folders[: depth + 1])) for depth in range(len(folders)))
    assert glob.folder == "/".join(folders[: len(glob.folder.split("/"))]) or not glob.folder


@given(GLOB, NAME)
def test_matching_agrees_with_trying_every_number_of_folders(text: str, name: str) -> None:
    def agrees(parts: list[str], names: list[str]) -> bool:
        if not parts:
            return not names
        if parts[0] == "**":
            if len(parts) == 1:
                return bool(names)
            return any(agrees(parts[1:], names[skip:]) for skip in range(len(names)))
        wanted = re.escape(parts[0]).replace(r"\*", ".*").replace(r"\?", ".")
        return bool(names) and bool(re.fullmatch(wanted, names[0], re.DOTALL)) and agrees(parts[1:], names[1:])

    assert Glob.parse(text).matches(name) == agrees(text.split("/"), name.split("/"))


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("raw/orders/**/*.csv", "raw/orders"),
        ("raw/*/x.csv", "raw"),
        ("*.csv", ""),
        ("raw/orders/x.csv", "raw/orders"),
        ("**", ""),
        ("raw/[a]/x", "raw"),
    ],
)
def test_the_folder_is_what_stands_before_the_first_wildcard(text: str, folder: str) -> None:
    assert Glob.parse(text).folder == folder
    assert str(Glob.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "beside"),
    [
        ("raw/**/*.csv", "raw/**/_SUCCESS"),
        ("raw/*/*.csv", "raw/*/_SUCCESS"),
        ("raw/**", "raw/**/_SUCCESS"),
        ("*.csv", "_SUCCESS"),
    ],
)
def test_a_marker_is_looked_for_wherever_files_are(text: str, beside: str) -> None:
    assert str(Glob.parse(text).beside("_SUCCESS")) == beside


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../b", "a\\b", "a\0b", "..", "a/.."])
def test_what_leaves_the_store_is_refused(name: str) -> None:
    with pytest.raises(SourceError) as caught:
        name_parts(name)
    assert caught.value.fix
    with pytest.raises(SourceError):
        Glob.parse(name)
