"""The commands on the state database: where it is, back to older tables, and over to another database."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from keelway.engines.sql import HEAD, SqlState
from keelway.surfaces.cli.main import main
from keelway.testing.state import step

SETTINGS = '[project]\nname = "shop"\nmodule = "shop.project"\n[signing]\nname = "shop"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "keelway.toml").write_text(SETTINGS)
    with closing(SqlState(f"sqlite:///{tmp_path / '.keelway/state.db'}")) as state:
        for number in range(3):
            step(state, number)
    return tmp_path


def told(root: Path, *words: str, code: int = 0) -> Any:
    result = CliRunner().invoke(main, ["state", *words, "--project", str(root), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout if code == 0 else result.stderr)


def test_show_says_where_it_is_and_what_it_holds(root: Path) -> None:
    shown = told(root, "show")
    assert shown["url"].endswith("/.keelway/state.db")
    assert (shown["version"], shown["rows"]["log_leaves"], shown["rows"]["pointers"]) == (HEAD, 3, 1)


def test_migrate_goes_back_and_forth(root: Path) -> None:
    back = told(root, "migrate", "--to", "0001")
    assert (back["found"], back["version"], back["newest"]) == (HEAD, "0001", HEAD)
    human = CliRunner().invoke(main, ["state", "migrate", "--to", "0002", "--project", str(root)])
    assert "0001 -> 0002" in human.output
    assert told(root, "migrate")["version"] == HEAD
    assert told(root, "show")["rows"]["log_leaves"] == 3
    assert "0001" in told(root, "migrate", "--to", "9", code=2)["expected"]


def test_copy_fills_an_empty_database_and_no_other(root: Path) -> None:
    copied = told(root, "copy", "--to", "sqlite:moved/state.db")
    assert copied["rows"] == told(root, "show")["rows"]
    assert (root / "moved/state.db").exists()
    assert "already holds" in told(root, "copy", "--to", "sqlite:moved/state.db", code=1)["what"]
    (root / "keelway.toml").write_text(SETTINGS + '[engines]\nstate = "sqlite:moved/state.db"\n')
    assert told(root, "show")["rows"] == copied["rows"]
