"""The page on features describes every block, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keelway.features import SQL_ENGINES, blocks

PAGE = (Path(__file__).parents[2] / "docs" / "features.md").read_text("utf8")
DESCRIBED = dict(re.findall(r"^\| `(\w+)(?:\([^`]*\))?` \| (.+) \|$", PAGE, re.MULTILINE))


def test_every_public_block_is_on_the_page_and_no_other() -> None:
    assert {*DESCRIBED} == {*blocks.__all__}


@pytest.mark.parametrize("name", blocks.__all__)
def test_every_block_explains_itself(name: str) -> None:
    block = getattr(blocks, name)
    assert not callable(block) or len(block.__doc__.partition("\n")[0]) > 20
    assert len(DESCRIBED[name]) > 15


def test_public_blocks_are_sorted() -> None:
    assert sorted(blocks.__all__) == [*blocks.__all__]


def test_the_windows_and_engines_are_the_ones_on_the_page() -> None:
    assert f"{blocks.WINDOWS_D[0]}, {blocks.WINDOWS_D[1]} and {blocks.WINDOWS_D[2]} days" in DESCRIBED["WINDOWS_D"]
    assert all(f"`{engine}`" in PAGE for engine in SQL_ENGINES)
