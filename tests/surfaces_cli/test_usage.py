"""A command that was written wrongly is told in JSON where JSON was asked for, and in click's own words where not."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from keelway.surfaces.cli.main import main
from keelway.surfaces.cli.session import shortened
from keelway.surfaces.cli.usage import wants_json

WRONG = {
    "no such command": (("fly",), "No such command 'fly'"),
    "no such option": (("status", "--wings"), "No such option '--wings'"),
    "no such command of a group": (("policy", "fly"), "No such command 'fly'"),
    "a missing argument": (("verify",), "Missing argument 'BUNDLE'"),
    "a missing option": (("models", "export", "churn:1"), "Missing option '--out'"),
    "no number": (("audit", "log", "--limit", "many"), "'many' is not a valid integer"),
    "a number that makes no sense": (("audit", "log", "--limit", "-3"), "-3 is not in the range"),
    "a file that is not there": (("verify", "nowhere.json", "--key", "x"), "does not exist"),
    "too many words": (("doctor", "now"), "Got unexpected extra argument (now)"),
}


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_use_is_told_as_it_was_asked_for(words: tuple[str, ...], said: str) -> None:
    plainly = CliRunner().invoke(main, [*words])
    as_json = CliRunner().invoke(main, [*words, "--json"])
    assert plainly.exit_code == as_json.exit_code == 2
    assert "Usage:" in plainly.stderr
    assert said in plainly.stderr
    told = json.loads(as_json.stderr)
    assert (told["error"], said in told["what"], as_json.stdout) == ("UsageError", True, "")
    assert set(told) == {"error", "what", "expected", "found", "fix"}
    assert told["expected"].startswith("keelway" if "keelway" in told["expected"] else "main")
    assert told["fix"].endswith("--help`.")


def test_whoever_calls_the_command_catches_a_usage_error_as_before() -> None:
    with pytest.raises(click.UsageError, match="No such command"):
        main.main(["fly", "--json"], standalone_mode=False)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [(["--json"], True), (["a", "--json", "b"], True), ([], False), (["a", "--", "--json"], False), (["--jso"], False)],
)
def test_json_is_wanted_where_the_option_stands(words: list[str], wanted: bool) -> None:
    assert wants_json(words) is wanted


@pytest.mark.parametrize("text", ["", "a", "abcdef", "abcdefg"])
def test_what_is_cut_off_shows_that_it_is(text: str) -> None:
    cut = shortened(text, 6)
    assert len(cut) <= 6
    assert cut == text if len(text) <= 6 else cut.endswith("…")
