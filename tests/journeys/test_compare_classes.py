"""Models of classes, compared and described: trees against a line, by every metric that classes have."""

from __future__ import annotations

import json
import os
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from keelway.app import App, read_settings
from keelway.core import SimulatedClock, parse_time
from keelway.ledger import SigningKey, write_atomically
from keelway.surfaces.cli.main import main

TOML = """\
[project]
name = "ages"
module = "ages_declared"
source = "src"
actor = "user:dep"
[engines]
tracking = ""
[signing]
name = "ages.keelway"
[environments.local]
[principals."user:dep"]
roles = ["admin", "deployer"]
"""
CODE = """\
from keelway import Card, Dataset, Estimator, Evaluation, Label, Model, Project, RandomSplit, feature_set

people = Dataset("people", contract="people.yaml", source="raw/*.csv", event_time="")


@feature_set(entity="person", sources=[people])
def facts(people, as_of):
    return people


@Label.define(entity="person", source=people)
def pay(people, as_of):
    return people.select("person", "pay")


model = Model(
    "ages",
    features=[facts],
    label=pay,
    task="multiclass",
    estimators=[
        Estimator("line", "sklearn.linear_model.LogisticRegression", {"max_iter": 500}),
        Estimator("stump", "sklearn.tree.DecisionTreeClassifier", {"max_depth": 1}),
    ],
    cuts=None,
    split=RandomSplit(test_share=0.4),
    metrics=["accuracy", "log_loss", "f1_macro", "roc_auc_ovr"],
    evaluation=Evaluation(slices=["town"], smallest_difference=0.02, bootstrap=200),
    card=Card(license="mit", summary="Tells what somebody is paid."),
)
project = Project("ages", models=[model])
"""
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: people
version: 1.0.0
status: active
team: {name: pay, members: [{username: ana, role: owner}]}
schema:
  - name: people
    properties:
      - {name: person, logicalType: string, required: true}
      - {name: age, logicalType: integer}
      - {name: town, logicalType: string}
      - {name: pay, logicalType: string, required: true}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with 400 people in it, trained once."""
    root, draw = tmp_path_factory.mktemp("ages"), random.Random(0)
    rows = ["person,age,town,pay"]
    for number in range(400):
        age, town = draw.randint(18, 80), draw.choice(["aachen", "bonn"])
        paid = age + draw.gauss(0, 6)
        rows.append(f"p{number:03},{age},{town},{'low' if paid < 38 else 'middle' if paid < 60 else 'high'}")
    texts = {"keelway.toml": TOML, "src/ages_declared.py": CODE, "people.yaml": CONTRACT, "raw/a.csv": "\n".join(rows)}
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    stamp = parse_time("2026-01-01").timestamp()
    os.utime(root / "raw/a.csv", (stamp, stamp))
    settings = read_settings(root)
    key = SigningKey.generate(settings.signing.name)
    key.save(root / ".keelway/keys/signing.pem")
    write_atomically(root / settings.signing.public_key, key.public.pem().encode())
    with closing(App.open(root, clock=SimulatedClock(parse_time("2026-02-01")))) as app:
        app.data.ingest()
        app.lab.run("ages")
    return root


@pytest.fixture(scope="module")
def compared(root: Path) -> dict[str, Any]:
    with closing(App.open(root)) as app:
        [plan] = app.runs.list(kinds=["plan"])
    words = ["compare", f"{plan.run_id}/stump", "ages:1", "--project", str(root), "--json"]
    answer = CliRunner().invoke(main, words)
    assert answer.exit_code == 0, answer.stderr
    told: dict[str, Any] = json.loads(answer.stdout)
    return told


@pytest.mark.journey
def test_a_line_beats_a_stump_by_every_metric_of_classes(compared: dict[str, Any]) -> None:
    contest = compared["contest"]
    words = {each["comparison"]["metric"]: each["word"] for each in contest["duels"]}
    assert words == dict.fromkeys(["accuracy", "log_loss", "f1_macro", "roc_auc_ovr"], "better")
    methods = [each["comparison"]["difference"]["method"] for each in contest["duels"]]
    assert methods == ["McNemar", "paired t", "paired bootstrap, 200", "paired DeLong"]
    assert (contest["leader"], contest["rows"], contest["positives"]) == ("ages:1", 160, 0)
    assert "above the margin 0.02" in contest["duels"][0]["sentence"]


@pytest.mark.journey
def test_slices_and_warnings_come_along(compared: dict[str, Any]) -> None:
    assert {each["level"] for each in compared["contest"]["slices"]} == {"aachen", "bonn"}
    assert all(each["enough"] and each["duels"] for each in compared["contest"]["slices"])
    assert [each for each in compared["warnings"] if "drawn at random" in each]
    assert not [each for each in compared["warnings"] if "No margin" in each]


@pytest.mark.journey
def test_the_card_names_classes_owner_and_what_is_left_to_say(root: Path) -> None:
    with closing(App.open(root)) as app:
        card = app.versions.cards.card("ages")
        again = app.versions.cards.card("ages:1")
    assert card == again
    text = str(card.sections)
    assert "high, low, middle" in text
    assert "'ana'" in text
    needed = {gap.what for gap in card.gaps if not gap.optional}
    assert needed.isdisjoint({"the licence", "what the model does", "who answers for people"})
    assert not [gap for gap in card.gaps if gap.section in ("Fairness", "Slices")]
    assert card.metadata["license"] == "mit"
    assert card.metadata["pipeline_tag"] == "tabular-classification"
