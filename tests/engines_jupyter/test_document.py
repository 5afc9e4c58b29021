"""A notebook is given its parameters where papermill gives them, and its file is read and written whole."""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.engines.jupyter import (
    code_cells,
    notebook_bytes,
    parameter_defaults,
    parameter_value,
    read_notebook,
    stripped,
    with_parameters,
    write_notebook,
)
from keelway.engines.jupyter.document import python_literal
from keelway.errors import DataError, StorageError, UsageError

DEFAULTS = {1: ["parameters"]}
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def sources(document: Any) -> list[str]:
    return [cell.source for cell in document.cells]


def test_parameters_stand_in_a_cell_after_the_defaults(notebook: Any) -> None:
    document = notebook("# Title", "depth = 1\nname = 'a'", "print(depth)", tags=DEFAULTS)
    given_ = with_parameters(document, {"depth": 3, "name": "it's"})
    assert sources(given_) == [*sources(document)[:2], '# Parameters\ndepth = 3\nname = "it\'s"', "print(depth)"]
    assert given_.cells[2].metadata.tags == ["injected-parameters"]
    assert len(document.cells) == 3


def test_parameters_given_before_are_replaced(notebook: Any) -> None:
    document = notebook("# Title", "depth = 1", tags=DEFAULTS)
    twice = with_parameters(with_parameters(document, {"depth": 2}), {"depth": 3})
    assert sources(twice) == ["# Title", "depth = 1", "# Parameters\ndepth = 3"]


def test_without_a_cell_of_defaults_parameters_stand_first(notebook: Any) -> None:
    assert sources(with_parameters(notebook("print(depth)"), {"depth": 3})) == [
        "# Parameters\ndepth = 3",
        "print(depth)",
    ]
    assert sources(with_parameters(notebook("print(1)"), {})) == ["print(1)"]


@pytest.mark.parametrize(("name", "told"), [("dept", "depth, rate"), ("a b", "letters, digits"), ("1", "letters")])
def test_a_parameter_that_the_notebook_does_not_have_is_refused(notebook: Any, name: str, told: str) -> None:
    document = notebook("# Title", "depth = 1\nrate: float = 0.1", tags=DEFAULTS)
    with pytest.raises(UsageError) as caught:
        with_parameters(document, {name: 3})
    assert told in caught.value.expected


def test_defaults_are_told_where_they_are_plain(notebook: Any) -> None:
    document = notebook("# Title", "%matplotlib inline\ndepth = 1\nrows: int = [1, 2]\nrate = 1 / 3", tags=DEFAULTS)
    assert parameter_defaults(document) == {"depth": 1, "rows": [1, 2], "rate": None}
    assert parameter_defaults(notebook("depth = 1")) == {}
    assert parameter_defaults(notebook("# Title", "depth = = 1", tags=DEFAULTS)) == {}


@given(plain_values)
def test_a_value_comes_back_from_the_python_it_is_written_as(value: Any) -> None:
    assert same(eval(python_literal(value)), value)


def same(one: Any, other: Any) -> bool:
    if isinstance(other, float) and math.isnan(other):
        return isinstance(one, float) and math.isnan(one)
    if isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in other)
    return type(one) is type(other) and one == other


@given(st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none())
def test_a_number_or_truth_on_the_command_line_is_one(value: Any) -> None:
    assert same(parameter_value(str(value)), value)


@pytest.mark.parametrize("text", ["churn", "2026-01-01", "[1, 2", "{a}", "", "0x10", "1 2"])
def test_any_other_text_stays_a_text(text: str) -> None:
    assert parameter_value(text) == text


def test_a_notebook_is_written_as_it_was_read(notebook: Any, tmp_path: Path) -> None:
    document = notebook("# Title", "x = 1")
    path = tmp_path / "deep" / "a.ipynb"
    write_notebook(document, path)
    again = read_notebook(path)
    assert notebook_bytes(again) == path.read_bytes() == notebook_bytes(document)
    assert [each.name for each in path.parent.iterdir()] == ["a.ipynb"]
    write_notebook(notebook("x = 2"), path)
    assert sources(read_notebook(path)) == ["x = 2"]


def test_a_notebook_that_cannot_be_written_leaves_nothing(notebook: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_notebook(notebook("x = 1"), tmp_path / "file" / "a.ipynb")
    (tmp_path / "folder.ipynb").mkdir()
    with pytest.raises(StorageError):
        write_notebook(notebook("x = 1"), tmp_path / "folder.ipynb")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder.ipynb"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"{", "is no notebook"),
        (b"[]", "is no notebook"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"a": 1}', "is no notebook"),
    ],
    ids=["cut short", "a list", "no text", "other JSON"],
)
def test_what_is_no_notebook_is_told(text: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_bytes(text)
    with pytest.raises(DataError, match=told):
        read_notebook(tmp_path / "a.ipynb")


def test_a_notebook_that_is_not_there_or_of_another_language_is_told(notebook: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such notebook"):
        read_notebook(tmp_path / "a.ipynb")
    document = notebook("x <- 1")
    document.metadata["language_info"] = {"name": "R"}
    write_notebook(document, tmp_path / "r.ipynb")
    with pytest.raises(UsageError, match="not a notebook of Python"):
        read_notebook(tmp_path / "r.ipynb")


def test_stripping_takes_what_executing_left_and_nothing_else(notebook: Any) -> None:
    document = notebook("# Title", "x = 1", tags=DEFAULTS)
    bare = notebook_bytes(document)
    document.cells[1].update(execution_count=4, outputs=[{"output_type": "stream", "name": "stdout", "text": "1"}])
    document.cells[1].metadata["execution"] = {"iopub.status.busy": "2026-01-01"}
    document.metadata["widgets"] = {}
    assert notebook_bytes(stripped(document)) == bare
    assert document.cells[1].execution_count == 4


def test_cells_of_code_are_counted_among_all_cells(notebook: Any) -> None:
    assert [number for number, _ in code_cells(notebook("# Title", "x = 1", "  \n", "y = 1"))] == [2, 4]


def test_parameters_are_python_whatever_their_values(notebook: Any) -> None:
    source = (
        with_parameters(notebook("x"), {"a": 'quo"te\n', "b": float("-inf"), "c": {"d": [True, None]}}).cells[0].source
    )
    assert [type(each) for each in ast.parse(source).body] == [ast.Assign] * 3
