"""`keelway experiment`: what product owners and machines are told, with a project and without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from keelway.engines.sql import SqlState
from keelway.project import Analysis, Guardrail, Rollout
from keelway.surfaces.cli.main import main
from keelway.testing.experiment_records import store_rollout, told, trial
from keelway.testing.experiments import canary

SETTINGS = """
[project]
name = "shop"
module = "shop_of_trials.project"
actor = "user:ana"
[engines]
state = "sqlite:state.db"
artifacts = "artifacts"
tracking = ""
[signing]
name = "test"
[environments.prod]
[principals."user:ana"]
roles = ["data-scientist"]
"""
PROJECT = """
from datetime import UTC, datetime
from keelway import Cuts, Dataset, Estimator, Label, Model, Project, feature_set

orders = Dataset("orders", contract="contracts/orders.yaml", source="raw/orders/**/*.csv", event_time="at")

@feature_set(entity="customer", sources=[orders])
def activity(orders, as_of):
    return orders

@Label.define(entity="customer", source=orders, horizon="90d")
def churned(orders, as_of):
    return orders

churn = Model("churn", features=[activity], label=churned, estimators=[Estimator("one", "x.Y")],
              cuts=Cuts(first=datetime(2026, 1, 1, tzinfo=UTC), every="month"), trivial_rule="recency")
project = Project("shop", models=[churn])
"""
NOW = "2026-04-01T00:00:00Z"
Call = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a canary that was taken back, and a trial that goes on."""
    root = tmp_path_factory.mktemp("trials")
    (root / "keelway.toml").write_text(SETTINGS)
    source = root / "src/shop_of_trials"
    source.mkdir(parents=True)
    (source / "__init__.py").touch()
    (source / "project.py").write_text(PROJECT)
    state = SqlState(f"sqlite:///{root / 'state.db'}")
    analysis = Analysis((Guardrail("latency", "quantile", margin=0.25),))
    slow = [canary(seed=2, share=0.25, fault="latency", per_look=400, looks=10)]
    store_rollout(told(slow, Rollout.canary("prod", steps=(25,), analysis=analysis)), state, rollout="r1")
    store_rollout(trial(seed=1, looks=2), state, rollout="r2")
    state.close()
    return root


@pytest.fixture
def call(folder: Path) -> Call:
    def invoke(*words: str) -> Result:
        return CliRunner().invoke(main, ["experiment", *words, "--project", str(folder), "--now", NOW])

    return invoke


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_a_plan_takes_no_project_when_everything_is_given(tmp_path: Path) -> None:
    words = ["experiment", "plan", "--effect", "0.02", "--baseline", "0.1", "--traffic-per-day", "500"]
    result = CliRunner().invoke(main, [*words, "--project", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "at most 27 days (4 whole weeks)" in result.output
    assert "given: as you said" in result.output
    assert "+0.02 *" in result.output
    found = answer(CliRunner().invoke(main, [*words, "--json"]))
    assert found["plan"]["rows"] == [6526, 6526]
    assert found["assumptions"]["power"] == {"source": "usual", "told": "nothing else was said", "value": 0.8}


def test_a_plan_says_how_to_give_what_is_not_known(call: Call) -> None:
    result = call("plan", "churn", "--effect", "10%", "--baseline", "0.1")
    assert result.exit_code == 2
    assert "The traffic a day of churned is not known" in result.stderr
    assert "--traffic-per-day 5000" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--effect", "10%", "--baseline", "0.1", "--traffic-per-day", "0"],
        ["--effect", "10%", "--baseline", "0.1", "--traffic-per-day", "5", "--share", "1.5"],
        ["--effect", "10%", "--baseline", "0.1", "--traffic-per-day", "5", "--power", "nan"],
        ["--effect", "2", "--metric-kind", "mean", "--baseline", "4", "--traffic-per-day", "5"],
        ["--effect", "lots", "--baseline", "0.1", "--traffic-per-day", "5"],
    ],
    ids=" ".join,
)
def test_a_wrong_question_is_a_wrong_use(words: list[str]) -> None:
    result = CliRunner().invoke(main, ["experiment", "plan", *words])
    assert result.exit_code == 2, result.output
    assert "expected" in result.stderr


def test_an_effect_that_cannot_be_is_told(call: Call) -> None:
    result = call("plan", "churn", "--effect", "0.5", "--baseline", "0.9", "--traffic-per-day", "500")
    assert result.exit_code != 0
    assert "Traceback" not in result.output


def test_a_time_of_nothing_is_refused(call: Call) -> None:
    assert "over no time" in call("plan", "churn", "--effect", "1%", "--over", "0d").stderr


def test_rollouts_are_listed_newest_first(call: Call) -> None:
    lines = call("list", "churn").output.splitlines()
    assert [line.split()[0] for line in lines] == ["rollout", "r2", "r1"]
    assert "back" in lines[2]
    assert "failure" in lines[2]
    assert call("churn").output == call("list", "churn").output  # list is meant where nothing is said
    assert answer(call("list", "churn", "--json"))[1]["outcome"] == {"churn:2": "failure"}


def test_a_report_is_read_in_a_terminal(call: Call) -> None:
    output = call("report", "churn", "--rollout", "r1").output
    assert output.startswith("churn:2 was taken back: time to answer got worse than allowed.\n")
    assert "That breaks its limit (at most 25 % longer)." in output
    assert "not known:" in output


def test_a_report_is_written_with_the_same_bytes(call: Call, tmp_path: Path) -> None:
    pages = []
    for name in ("one.html", "two.html"):
        result = call("report", "churn", "--out", str(tmp_path / name))
        assert f"wrote {tmp_path / name}" in result.output
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]
    assert b"churn:2 and churn:3 against churn:1" in pages[0]
    found = answer(call("report", "churn", "--out", str(tmp_path / "report.json"), "--json"))
    assert found["file"] == str(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text("utf8")) == found["report"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("report", "churn", "--rollout", "r9"), "no rollout r9"),
        (("report", "churn", "--out", "report.pdf"), "HTML or JSON"),
        (("report", "basket"), "basket"),
        (("list", "churn", "--env", "moon"), "Unknown environment"),
    ],
    ids=["rollout", "form", "model", "environment"],
)
def test_what_is_not_there_is_named(call: Call, words: tuple[str, ...], told: str) -> None:
    result = call(*words)
    assert result.exit_code in (1, 2)
    assert told in result.stderr
