"""Wrong use is told with what was expected and found, and changes nothing."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from keelway.surfaces.cli.main import main

RELEASE = ("--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token")
CONTRACT = "contracts/transactions.odcs.yaml"
PROJECT = "src/churn/project.py"


def test_no_project_here_is_told(desk_at, tmp_path: Path) -> None:
    told = desk_at(tmp_path).refused("status")
    assert told["error"] == "ProjectError"
    assert "keelway.toml" in told["expected"]
    assert "keelway init" in told["fix"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        pytest.param("[project]", "[project", "SettingsError", id="bad TOML"),
        pytest.param("[project]", "[project]\ncolour = 1", "SettingsError", id="unknown setting"),
        pytest.param('name = "churn"', "name = 1", "SettingsError", id="wrong type"),
    ],
)
def test_wrong_settings_are_told(trained, old: str, new: str, error: str) -> None:
    before = trained.standing()
    trained.edit("keelway.toml", old, new)
    told = trained.refused("status")
    assert told["error"] == error
    assert told["expected"]
    assert told["found"]
    assert told["fix"]
    assert trained.standing() == before


@pytest.mark.parametrize(
    "words",
    [("promote", "churn", "--to", "moon"), ("score", "churn", "--env", "moon"), ("deploy", "churn", "--env", "moon")],
    ids=lambda words: words[0],
)
def test_an_unknown_environment_is_told(trained, words: tuple[str, ...]) -> None:
    before = trained.standing()
    told = trained.refused(*words)
    assert told["found"] == "moon"
    assert "prod" in told["expected"]
    assert trained.standing() == before


def test_a_contract_that_does_not_parse_stops_the_load(trained) -> None:
    before = trained.standing()
    (trained.root / CONTRACT).write_text("schema: [")
    trained.upload("1998-03-01T00:00:00+00:00")
    assert trained.at("1998-03-01").refused("ingest")["error"] == "ContractError"
    assert trained.standing()["pointers"] == before["pointers"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("    bought = transactions.order_date\n", "    raise ValueError('broken')\n", id="raises"),
        pytest.param('.drop("first_d")', '.drop("first_d").union(totals.mutate(\n'
                     '        gap_d=gap_d, overdue=gap_d, mean_order=mean_order, basket=ibis.null(str)).drop("first_d"))',
                     id="two rows an entity"),
    ],
)  # fmt: skip
def test_a_feature_function_that_breaks_its_promise_stops_the_run(trained, old: str, new: str) -> None:
    trained.edit(PROJECT, old, new)
    told = trained.refused("run")
    assert "activity" in str(told)
    assert [line["name"] for line in trained("models")] == ["churn:1"]


def test_an_empty_policy_folder_lets_nothing_in(trained) -> None:
    (trained.root / "policies/staging/gate.rego").unlink()
    before = trained.standing()
    told = trained.refused("promote", "churn:1", "--to", "staging", *RELEASE)
    assert told["reasons"]
    assert told["fix"]
    assert trained.standing()["pointers"] == before["pointers"]


def test_production_asks_for_an_approval_by_somebody_else(trained) -> None:
    trained("promote", "churn:1", "--to", "staging", *RELEASE)
    trained("promote", "churn:1", "--to", "prod", "--request")
    pointers, size = trained.standing()["pointers"], trained.ledger_size()
    assert "approv" in str(trained.refused("promote", "churn:1", "--to", "prod", *RELEASE)["reasons"])
    assert trained.ledger_size() == size + 1, "a refusal is kept"
    assert trained.refused("approve", "churn:1", "--to", "prod")["error"] in ("RefusedError", "IdentityError")
    assert trained.standing()["pointers"] == pointers


def test_a_person_cannot_move_production(trained) -> None:
    trained("promote", "churn:1", "--to", "staging", *RELEASE)
    trained("promote", "churn:1", "--to", "prod", "--request")
    trained("approve", "churn:1", "--to", "prod", "--as", "user:bo")
    pointers = trained.standing()["pointers"]
    assert trained.refused("promote", "churn:1", "--to", "prod")["error"] in ("RefusedError", "IdentityError")
    assert trained.standing()["pointers"] == pointers


@pytest.mark.parametrize("token", ["", "env:WRONG_TOKEN"], ids=["no token", "a wrong token"])
def test_a_service_principal_needs_its_token(trained, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("WRONG_TOKEN", "guess")
    before = trained.standing()
    words = ("promote", "churn:1", "--to", "staging", "--as", "sp:release")
    assert trained.refused(*words, *(("--token", token) if token else ()))["error"] == "IdentityError"
    assert trained.standing()["pointers"] == before["pointers"]


def test_tampered_model_bytes_are_not_served(live, flip) -> None:
    flip(live.artifact(live("show", "churn:1")["record"]["onnx"]))
    assert live.refused("serve", "churn", "--port", "0")["error"] == "IntegrityError"
    assert live.call("doctor").exit_code == 1


def test_a_taken_port_is_told(live) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        told = live.refused("serve", "churn", "--port", str(taken.getsockname()[1]))
    assert told["error"] == "ServingError"
    assert "taken" in told["what"]


def test_an_unknown_option_is_told() -> None:
    answer = CliRunner().invoke(main, ["status", "--colour"])
    assert answer.exit_code == 2
    assert "--colour" in answer.output
