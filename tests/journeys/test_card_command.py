"""The model card on the command line: made from what happened, with its gaps, and closed by what people declare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = "src/churn/project.py"
CARD = """\
    card=Card(
        summary="Tells which customers will not buy again.",
        license="apache-2.0",
        intended_use="Who to write to first.",
        out_of_scope="Decisions about prices.",
        limitations="It knows one shop.",
        recommendations="Look at the reliability before acting on a probability.",
        hardware="a laptop",
        contact="shop-data@example.org",
    ),
"""


@pytest.mark.journey
def test_the_card_tells_what_happened_and_lists_what_nobody_said(live: Any) -> None:
    before = live.standing()
    card = live("card", "churn:1")
    assert live.standing() == before
    assert card["name"] == "churn:1"
    assert not card["complete"]
    needed = [gap["what"] for gap in card["gaps"] if not gap["optional"]]
    assert {"the licence", "what it is for", "whom to ask"} <= set(needed)
    [index] = card["metadata"]["model-index"]
    auc = next(each for each in index["results"][0]["metrics"] if each["type"] == "roc_auc")
    shown = live("show", live("show", "churn:1")["record"]["scorecard"])["record"]
    assert auc["value"] == round(shown["metrics"]["roc_auc"]["value"], 6)
    entries = next(each for each in card["sections"] if each["title"] == "Provenance")["blocks"][1]["rows"]
    assert [row[1:3] for row in entries] == [
        ["register", "-"], ["promote", "staging"], ["request", "prod"], ["approve", "prod"], ["promote", "prod"],
    ]  # fmt: skip


@pytest.mark.journey
def test_a_version_has_one_card_by_each_of_its_names(live: Any, tmp_path: Path) -> None:
    cards = [live("card", name) for name in ("churn:1", "churn", "churn@prod", "champion")]
    assert len({json.dumps(each) for each in cards}) == 1
    paths = [tmp_path / name for name in ("one/README.md", "two.md", "card.html")]
    live("card", "churn:1", "--out", str(paths[0]))
    answer = live("card", "churn:1", "--out", str(paths[1]), "--html", str(paths[2]))
    assert answer["files"] == [str(paths[1]), str(paths[2])]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    front = yaml.safe_load(paths[0].read_text("utf8").split("---\n")[1])
    assert front["datasets"] == ["transactions"]
    assert "<script" not in paths[2].read_text("utf8")


@pytest.mark.journey
def test_people_close_gaps_in_the_project_and_the_model_stays_the_same(trained: Any) -> None:
    told = trained.call("card", "churn", json_wanted=False)
    assert told.stdout.startswith("---\n")
    assert "# Model Card for churn:1" in told.stdout
    assert "Model Details: the licence. Say it by Model(card=Card(license=" in told.stderr
    trained.edit(PROJECT, '    trivial_rule="recency_d",\n', f'    trivial_rule="recency_d",\n{CARD}')
    trained.edit(PROJECT, "from keelway import (\n", "from keelway import (\n    Card,\n")
    card = trained("card", "churn")
    left = {gap["what"] for gap in card["gaps"] if not gap["optional"]}
    assert left == {
        "who answers for transactions",
        "how figures differ between parts of the rows",
        "how decisions fall on groups of people",
    }
    assert card["metadata"]["license"] == "apache-2.0"
    assert card["name"] == "churn:1"


@pytest.mark.journey
@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["churn:9"], "MissingRecordError"),
        (["nobody"], "MissingRecordError"),
        (["churn@nowhere"], "SettingsError"),
        (["champion"], "MissingRecordError"),
        (["churn:1", "--out", "card.pdf"], "UsageError"),
    ],
)
def test_what_cannot_be_told_is_refused(trained: Any, words: list[str], error: str) -> None:
    assert trained.refused("card", *words)["error"] == error
