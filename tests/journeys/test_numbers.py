"""A project that predicts numbers from a table without a time: trained, listed, and told what is not built for it."""

from __future__ import annotations

import os
import random
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from keelway.app import App, read_settings
from keelway.core import SimulatedClock, parse_time
from keelway.ledger import SigningKey, write_atomically
from keelway.surfaces.cli.main import main

TOML = """\
[project]
name = "incomes"
module = "incomes_declared"
source = "src"
actor = "user:dep"

[engines]
tracking = ""

[signing]
name = "incomes.keelway"

[environments.local]

[principals."user:dep"]
roles = ["admin", "deployer"]
"""
CODE = """\
from keelway import Dataset, Estimator, Label, Model, Project, RandomSplit, feature_set

people = Dataset("people", contract="people.yaml", source="raw/*.csv", event_time="")


@feature_set(entity="person", sources=[people])
def facts(people, as_of):
    return people


@Label.define(entity="person", source=people)
def income(people, as_of):
    return people.select("person", "income")


model = Model(
    "incomes",
    features=[facts],
    label=income,
    task="regression",
    estimators=[Estimator("ridge", "sklearn.linear_model.Ridge")],
    cuts=None,
    split=RandomSplit(),
)
project = Project("incomes", models=[model])
"""
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: people
version: 1.0.0
status: active
schema:
  - name: people
    properties:
      - {name: person, logicalType: string, required: true}
      - {name: age, logicalType: integer}
      - {name: town, logicalType: string}
      - {name: income, logicalType: number, required: true}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with 200 people in it, trained once."""
    root, draw = tmp_path_factory.mktemp("incomes"), random.Random(0)
    rows = ["person,age,town,income"]
    for number in range(200):
        age, town = draw.randint(18, 80), draw.choice(["aachen", "bonn"])
        rows.append(f"p{number:03},{age},{town},{age * 30 + 500 * (town == 'bonn') + draw.gauss(0, 100):.2f}")
    texts = {
        "keelway.toml": TOML,
        "src/incomes_declared.py": CODE,
        "people.yaml": CONTRACT,
        "raw/a.csv": "\n".join(rows) + "\n",
    }
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    stamp = parse_time("2026-01-01").timestamp()
    os.utime(root / "raw/a.csv", (stamp, stamp))
    settings = read_settings(root)
    key = SigningKey.generate(settings.signing.name)
    key.save(root / ".keelway/keys/signing.pem")
    write_atomically(root / settings.signing.public_key, key.public.pem().encode())
    with closing(App.open(root, clock=SimulatedClock(parse_time("2026-02-01")))) as app:
        app.data.ingest()
        app.lab.run("incomes")
    return root


def test_the_list_of_models_shows_the_metric_that_decides(root: Path) -> None:
    with closing(App.open(root)) as app:
        [line] = app.lab.models()
    assert (line.name, line.metric, line.trivial) == ("incomes:1", "rmse", None)
    assert 80 < line.value < 130
    assert line.low < line.value < line.high


def test_a_later_run_over_the_same_files_trains_nothing(root: Path) -> None:
    with closing(App.open(root, clock=SimulatedClock(parse_time("2026-03-01")))) as app:
        view = app.lab.run("incomes")
        assert len(app.lab.models()) == 1
    again = [name for name, step in view.steps.items() if step is None or step.cached_from is None]
    assert again == ["snapshot:people", "cuts"], "what looks at the outside world is executed, all else is known"


def test_a_version_is_compared_with_the_pipeline_it_was_exported_from(root: Path) -> None:
    with closing(App.open(root)) as app:
        [training] = app.runs.list(kinds=["training"])
        found = app.compare.models(["incomes:1", training.run_id], metrics=["rmse", "r2"], margins=["5"]).found
    assert [each.kind for each in found.models] == ["version", "training"]
    assert [each.word for each in found.contest.duels] == ["no difference worth having"] * 2
    assert found.contest.rows == 40
    assert "drawn at random" in found.warnings[0]


@pytest.fixture
def grown(root: Path, tmp_path: Path) -> Path:
    """Return the project with sixty people more, whom nothing has learned from."""
    shutil.copytree(root, tmp_path / "incomes")
    grown, draw = tmp_path / "incomes", random.Random(1)
    rows = [f"q{number:03},{draw.randint(18, 80)},bonn,{draw.uniform(900, 3000):.2f}" for number in range(60)]
    (grown / "raw/b.csv").write_text("\n".join(["person,age,town,income", *rows]) + "\n")
    stamp = parse_time("2026-02-15").timestamp()
    os.utime(grown / "raw/b.csv", (stamp, stamp))
    with closing(App.open(grown, clock=SimulatedClock(parse_time("2026-03-01")))) as app:
        app.data.ingest()
    return grown


def test_people_that_a_model_learned_from_are_left_out_of_later_rows(grown: Path) -> None:
    with closing(App.open(grown, clock=SimulatedClock(parse_time("2026-03-01")))) as app:
        [training] = app.runs.list(kinds=["training"])
        names = ["incomes:1", training.run_id]
        later = app.compare.models(names, snapshots=["newest"]).found
        first = app.compare.models(names).found
    assert (first.contest.rows, later.contest.rows) == (40, 100), "the test rows, and with them everybody who is new"
    assert "160 rows were left out, because a model learned from them." in later.warnings
    assert later.contest.models[0].figures["rmse"].value > first.contest.models[0].figures["rmse"].value


def test_a_split_that_is_declared_otherwise_by_now_is_refused(grown: Path) -> None:
    code = grown / "src/incomes_declared.py"
    code.write_text(code.read_text().replace("RandomSplit()", "RandomSplit(test_share=0.4)"))
    with closing(App.open(grown)) as app:
        [training] = app.runs.list(kinds=["training"])
        answer = CliRunner().invoke(main, ["compare", "incomes:1", training.run_id, "--project", str(grown)])
    assert answer.exit_code == 1
    assert "declared otherwise than when incomes:1 was trained" in answer.output
    assert "160 training rows" in answer.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(
            ["outcomes", "incomes", "--from-label", "--as-of", "2026-02-01T00:00:00Z"],
            "Outcomes are computed for labels with a horizon only; label 'income' has none",
            id="outcomes",
        ),
    ],
)
def test_what_is_not_built_is_said_plainly(root: Path, words: list[str], told: str) -> None:
    answer = CliRunner().invoke(main, [*words, "--project", str(root)])
    assert answer.exit_code == 1
    assert "Traceback" not in answer.output
    assert f"Not built yet: {told}" in answer.output
    answer = CliRunner().invoke(main, [*words, "--project", str(root), "--json"])
    assert '"error": "NotImplementedError"' in answer.output
