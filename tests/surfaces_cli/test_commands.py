"""Every command is listed, documented and loaded only when it is called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from keelway.surfaces.cli.main import COMMANDS, main
from keelway.surfaces.cli.reference import leaves, render

HEAVY = {"pandas", "numpy", "mlflow", "sqlalchemy", "duckdb", "ibis", "sklearn", "fastapi", "pyarrow", "rich"}
NAMES = [name for commands in COMMANDS.values() for name in commands]
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def loaded_by(code: str) -> set[str]:
    told = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(told.stdout.split())


@pytest.mark.parametrize("name", NAMES)
def test_a_command_is_what_the_table_says(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert command.help, "a command explains itself"


def words() -> list[str]:
    """Return the words of every command, those inside groups too."""
    found = [main.get_command(click.Context(main), name) for name in NAMES]
    return [path for command in found if command is not None for path, _ in leaves(command)]


@pytest.mark.parametrize("path", words())
def test_every_command_takes_json_and_help(path: str) -> None:
    answer = CliRunner().invoke(main, [*path.split(), "--help"])
    assert answer.exit_code == 0
    assert "--json" in answer.output
    assert "--as" in answer.output


def test_the_reference_page_is_the_commands() -> None:
    assert REFERENCE.read_text("utf8") == render(), (
        "run: python -m keelway.surfaces.cli.reference > docs/reference/cli.md"
    )


def test_help_loads_nothing_heavy() -> None:
    modules = loaded_by(
        "from click.testing import CliRunner\nfrom keelway.surfaces.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0"
    )
    assert not {name.partition(".")[0] for name in modules} & HEAVY


def test_an_unknown_command_is_told() -> None:
    answer = CliRunner().invoke(main, ["fly"])
    assert answer.exit_code == 2
    assert "fly" in answer.output
