"""The commands on policies, in a project of `keelway init`, as a person who writes policies uses them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from keelway.surfaces.cli import main

Ask = Callable[..., Result]
GATE = "policies/production/gate.rego"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policies") / "shop"
    answer = CliRunner().invoke(main, ["init", str(folder)])
    assert answer.exit_code == 0, answer.output
    return folder


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(made, tmp_path / "shop"))


@pytest.fixture
def ask(shop: Path) -> Ask:
    def asked(*words: str, code: int = 0) -> Result:
        answer = CliRunner().invoke(main, ["policy", *words, "--project", str(shop)])
        assert answer.exit_code == code, answer.output
        return answer

    return asked


def told(answer: Result) -> Any:
    return json.loads(answer.stdout)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_tests_of_a_new_project_pass_and_cover_it(ask: Ask) -> None:
    found = told(ask("test", "--coverage", "--json"))
    assert [each["policy"] for each in found] == ["policies/staging", "policies/production"]
    assert [each["failed"] for each in found] == [0, 0]
    assert [each["coverage"]["share"] for each in found] == [1.0, 1.0]
    assert "18 of 18 tests passed" in ask("test", "prod").output


def test_a_rule_that_was_changed_fails_its_tests_and_says_which(ask: Ask, shop: Path) -> None:
    edit(shop / GATE, "lib.auc_floor(0.65)", "lib.auc_floor(0.45)")
    answer = ask("test", "prod", code=1)
    assert "a model that ranks too poorly stays out" in answer.output
    assert "is admitted, expected refused" in answer.output
    assert "test_a_low_floor_is_named" in answer.output
    assert ask("test", "staging").exit_code == 0


def test_a_clause_without_a_test_is_told_and_may_fail_the_build(ask: Ask, shop: Path) -> None:
    with (shop / GATE).open("a") as file:
        file.write('\nrules contains "fresh"\n\ndeny contains reason if some reason in lib.fresh_within_days(3)\n')
    assert "never seen to refuse: fresh_within_days(3) (fresh, gate.rego:" in ask("coverage", "prod").output
    ask("coverage", "prod", "--least", "0.95", code=1)
    ask("coverage", "prod", "--least", "0.9")


def test_a_policy_without_tests_does_not_pass_them(ask: Ask, shop: Path) -> None:
    (shop / "policies/staging/tests/gate.yaml").unlink()
    assert "it has no tests" in ask("test", "staging", code=1).output


def test_cases_that_cannot_be_read_are_told_with_their_file(ask: Ask, shop: Path) -> None:
    (shop / "policies/staging/tests/gate.yaml").write_text("cases: [{name: a}]")
    assert "tests/gate.yaml" in ask("test", "staging", code=2).output


def test_a_look_through_finds_what_is_wrong(ask: Ask, shop: Path) -> None:
    assert ask("check").output == "policies/staging: nothing found\npolicies/production: nothing found\n"
    edit(
        shop / GATE,
        'lib.admitted_in("staging")',
        'lib.admitted_in("staging")\n\ndeny contains "x" if input.metric.auc < 1',
    )
    answer = ask("check", "prod", code=1)
    assert "reads metric.auc, but no evidence holds metric; did you mean metrics?" in answer.output
    assert told(ask("check", "prod", "--json", code=1))[0]["findings"][0]["level"] == "error"


def test_the_ready_rules_are_listed_and_told_one_by_one(ask: Ask) -> None:
    assert "fresh_within_days(days)" in ask("rules").output
    one = ask("rules", "auc_floor").output
    assert "metrics.roc_auc.low >= {floor}" in one
    assert "keelway run MODEL" in one
    assert len(told(ask("rules", "--json"))) > 40
    assert "no ready rule" in ask("rules", "nothing", code=2).output


def test_a_replay_over_no_decisions_changes_nothing(ask: Ask) -> None:
    assert "against 0 decisions: 0 would change" in ask("replay", "prod", "--against", "2026-01-01..").output
    assert (
        told(ask("replay", "--policy", "policies/staging", "--against", "2026-01-01..2026-02-01", "--json"))["judged"]
        == 0
    )


@pytest.mark.parametrize(
    "words",
    [
        ("replay", "--against", "2026-01-01.."),
        ("replay", "prod", "--against", "2026-01-01"),
        ("replay", "prod", "--against", "..2026-01-01"),
        ("measure", "shop:1"),
    ],
)
def test_a_question_that_is_none_is_refused(ask: Ask, words: tuple[str, ...]) -> None:
    ask(*words, code=2)


@pytest.mark.parametrize(
    "words", [("test", "policies/nowhere"), ("check", "../elsewhere"), ("replay", "x", "--against", "2026-01-01..")]
)
def test_a_policy_that_is_not_there_is_told(ask: Ask, words: tuple[str, ...]) -> None:
    assert "no such policy folder" in ask(*words, code=2).output
