"""Which databases a project's settings may name, and that a password is always a reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.app.settings import read_settings
from keelway.errors import SettingsError

HEAD = '[project]\nname = "shop"\nmodule = "shop.project"\n[signing]\nname = "shop"\n[engines]\n'


def settings(folder: Path, lines: str) -> object:
    (folder / "keelway.toml").write_text(HEAD + lines)
    return read_settings(folder).engines


@pytest.mark.parametrize(
    "lines",
    [
        'state = "sqlite:elsewhere/state.db"',
        'state = "postgresql://keelway@db.example/keelway?sslmode=verify-full"',
        'state = "postgresql+psycopg:///keelway?host=/run/postgresql"',
        'state = "postgresql://keelway@db.example/keelway"\nstate_password = "file:secrets/state"',
    ],
)
def test_what_can_hold_a_state_is_taken(tmp_path: Path, lines: str) -> None:
    assert settings(tmp_path, lines)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('state = "mysql://host/name"', "names no state database"),
        ('state = "state.db"', "names no state database"),
        ('state = "postgresql://keelway:hunter2@host/name"', "holds a secret"),
        ('state = "postgresql://keelway@host/name?password=hunter2"', "holds a secret"),
        ('state = "postgresql://keelway@host/name"\nstate_password = "hunter2"', "state_password is wrong"),
        ('state_password = "env:NAME"', "state_password is wrong"),
    ],
)
def test_anything_else_is_refused_and_no_secret_told(tmp_path: Path, lines: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        settings(tmp_path, lines)
    assert "hunter2" not in f"{caught.value} {caught.value.fix}"
