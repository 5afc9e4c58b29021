"""What is written for people makes its folder, and a place that cannot be written to is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.app.files import written
from keelway.errors import StorageError


def test_a_text_is_written_with_its_folder_and_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    assert written(path, "one") == path
    assert written(path, "zwei ü").read_text("utf8") == "zwei ü"


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"page\.html cannot be written"):
        written(tmp_path / "file" / "page.html", "text")
