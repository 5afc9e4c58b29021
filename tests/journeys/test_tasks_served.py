"""Models of every task and every kind of feature are trained, served by every protocol, logged, proven and scored."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from keelway.app import App, read_settings
from keelway.core import Prediction, SimulatedClock, parse_time
from keelway.errors import DataError
from keelway.ledger import SigningKey, verify_bundle, write_atomically
from keelway.serve import find_prediction, prediction_table
from keelway.surfaces.cli.main import main
from keelway.surfaces.scoring import ModelRoute, ScoringApp
from keelway.surfaces.scoring.metrics import ScoringMetrics
from keelway.testing.asgi import AsgiClient

LATER = parse_time("2026-02-01")
TOML = """\
[project]
name = "letters"
module = "letters_declared"
source = "src"
actor = "user:dep"
[engines]
tracking = ""
[signing]
name = "letters.keelway"
[environments.local]
policy = "policies/local"
[principals."user:dep"]
roles = ["admin", "deployer"]
"""
CODE = """\
import ibis
from keelway import Dataset, Estimator, Label, Model, Monitor, Preprocessing, Project, RandomSplit, feature_set

letters = Dataset("letters", contract="letters.yaml", source="raw/*.csv", event_time="")


@feature_set(entity="letter", sources=[letters])
def facts(letters, as_of):
    return letters.select("letter", "pages", "kind")


@feature_set(entity="letter", sources=[letters], arrays={"ink": 2})
def look(letters, as_of):
    return letters.select("letter", ink=ibis.array([letters.dark, letters.pale]))


@feature_set(entity="letter", sources=[letters], texts=["body"])
def words(letters, as_of):
    return letters.select("letter", "body")


@Label.define(entity="letter", source=letters)
def desk(letters, as_of):
    return letters.select("letter", "desk")


@Label.define(entity="letter", source=letters)
def weight(letters, as_of):
    return letters.select("letter", "weight")


@Label.define(entity="letter", source=letters)
def urgent(letters, as_of):
    return letters.select("letter", "urgent")


def model(name, features, label, task, estimator, parameters=None):
    return Model(
        name, features=features, label=label, task=task, estimators=[Estimator("one", estimator, parameters or {})],
        cuts=None, split=RandomSplit(),
    )


LOGISTIC = "sklearn.linear_model.LogisticRegression"
project = Project("letters", models=[
    model("desks", [facts], desk, "multiclass", LOGISTIC, {"max_iter": 500}),
    model("weights", [facts, look], weight, "regression", "sklearn.linear_model.Ridge"),
    model("urgency", [words], urgent, "binary", LOGISTIC, {"max_iter": 500}),
], monitors=[
    Monitor("desks", accuracy_floor=0.6, min_outcomes=50, min_rows=50),
    Monitor("weights", mae_ceiling=8.0, min_outcomes=50, min_rows=50),
    Monitor("urgency", min_outcomes=50, min_rows=50),
])
"""
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: letters
version: 1.0.0
status: active
team: {name: mail, members: [{username: ana, role: owner}]}
schema:
  - name: letters
    properties:
      - {name: letter, logicalType: string, required: true}
      - {name: pages, logicalType: integer}
      - {name: kind, logicalType: string}
      - {name: body, logicalType: string}
      - {name: dark, logicalType: number}
      - {name: pale, logicalType: number}
      - {name: desk, logicalType: string, required: true}
      - {name: weight, logicalType: number, required: true}
      - {name: urgent, logicalType: integer, required: true}
"""
GATE = """\
package keelway.gate

import data.keelway.lib

rules contains "parity"

deny contains reason if some reason in lib.parity
"""
BODIES = {0: ("thanks again", "all is well", 'he said ""hello""'), 1: ("please pay now", "final reminder now")}
FEATURES = {
    "desks": {"pages": 3, "kind": "bill"},
    "weights": {"pages": 3, "kind": "bill", "ink": [0.25, 0.5]},
    "urgency": {"body": 'pay "now"\n\u00e9\u2028 please'},
}
OUTPUTS = {"desks": "probabilities", "weights": "prediction", "urgency": "probability"}


def letters() -> str:
    """Return 240 letters as CSV; always the same."""
    draw = random.Random(0)
    rows = ["letter,pages,kind,body,dark,pale,desk,weight,urgent"]
    for number in range(240):
        pages, kind, urgent = draw.randint(1, 9), draw.choice(["bill", "note"]), draw.randint(0, 1)
        dark, pale = draw.random(), draw.random()
        desk = "big" if pages > 6 else "money" if kind == "bill" else "post"
        body = draw.choice(BODIES[urgent])
        weight = 5 * pages + 20 * dark + draw.gauss(0, 1)
        rows.append(f'l{number:03},{pages},{kind},"{body}",{dark:.3f},{pale:.3f},{desk},{weight:.3f},{urgent}')
    return "\n".join(rows) + "\n"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Open a project whose three models were trained, let in and deployed."""
    root = tmp_path_factory.mktemp("letters")
    texts = {
        "keelway.toml": TOML, "src/letters_declared.py": CODE, "letters.yaml": CONTRACT, "raw/a.csv": letters(),
        "policies/local/gate.rego": GATE,
    }  # fmt: skip
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
    with closing(App.open(root, clock=SimulatedClock(LATER))) as opened:
        opened.data.ingest()
        for name in FEATURES:
            opened.lab.run(name)
            opened.gate.promote(f"{name}:1", "local")
            opened.traffic.deploy(f"{name}:1", "local")
        yield opened


def what_became(column: str) -> dict[str, str]:
    """Return what became of each letter, by its name."""
    header, *rows = letters().splitlines()
    place = header.split(",").index(column) - len(header.split(","))
    return {row.split(",")[0]: row.split(",")[place] for row in rows}


@contextmanager
def client_of(app: App, name: str) -> Iterator[AsgiClient]:
    router, log = app.traffic.router_and_log(name, "local")
    route = ModelRoute(router, log=log, metrics=ScoringMetrics(name, "local"))
    route.start()
    try:
        yield AsgiClient(ScoringApp({name: route}, clock=SimulatedClock(LATER)))
    finally:
        route.close()


def found(app: App, prediction_id: str) -> Prediction:
    with app.workspace.state.snapshot() as tx:
        return find_prediction(prediction_id, tx=tx, artifacts=app.workspace.artifacts)[0]


@pytest.mark.parametrize("name", FEATURES)
def test_a_prediction_is_given_by_every_protocol_logged_and_proven(app: App, name: str, tmp_path: Path) -> None:
    features, output = FEATURES[name], OUTPUTS[name]
    with client_of(app, name) as client:
        named = client.post("/predict", {"entity": "l7", "features": features}).json
        tensors = [
            {"name": key, "shape": [1, 2], "datatype": "FP64", "data": value}
            if isinstance(value, list)
            else {"name": key, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}
            for key, value in features.items()
        ]
        inferred = client.post(f"/v2/models/{name}/infer", {"inputs": tensors}).json
        invoked = client.post("/invocations", {"dataframe_records": [features]}).json
    assert named["logged"]
    told = named[output]
    numbers = list(told.values()) if isinstance(told, dict) else [told]
    assert inferred["outputs"][0] == {
        "name": output, "datatype": "FP64", "shape": [1, 3] if name == "desks" else [1], "data": numbers,
    }  # fmt: skip
    assert invoked["predictions"] == [numbers if name == "desks" else told]
    kept = found(app, named["prediction_id"])
    assert kept.value == (tuple(numbers) if name == "desks" else told)
    assert kept.features == {key: tuple(each) if isinstance(each, list) else each for key, each in features.items()}
    app.evidence.prove(f"prediction:{named['prediction_id']}", out=tmp_path / "proof.json")
    key = app.workspace.signing.public_key
    assert verify_bundle((tmp_path / "proof.json").read_bytes(), key=key).subject.endswith(named["prediction_id"])


@pytest.mark.parametrize("name", FEATURES)
def test_every_entity_is_scored_as_a_request_would_be(app: App, name: str) -> None:
    scored = app.traffic.score(name, "local", as_of=LATER, limit=70)
    assert (scored.rows, scored.by_version) == (70, {f"{name}:1": 70})
    at = app.workspace
    columns = ["entity", "as_of", "value", "prediction_id", *(f"features.{each}" for each in FEATURES[name])]
    with at.state.snapshot() as tx:
        table = prediction_table(name, "local", columns=columns, tx=tx, artifacts=at.artifacts)
    rows = [row for row in table.to_pylist() if row["as_of"] == LATER and row["entity"] != "l7"]
    assert len({row["entity"] for row in rows}) >= 69
    row = rows[-1]
    body = {"entity": row["entity"], "features": {each: row[f"features.{each}"] for each in FEATURES[name]}}
    with client_of(app, name) as client:
        again: Any = client.post("/predict", body).json
    asked = again[OUTPUTS[name]]
    assert (list(asked.values()) if isinstance(asked, dict) else asked) == row["value"]
    if name == "desks":
        assert [round(sum(each), 4) for each in table["value"].to_pylist()] == [1] * table.num_rows


@pytest.mark.parametrize(
    ("name", "column", "wrong", "expected"),
    [
        ("desks", "desk", "attic", "one of the classes big, money, post"),
        ("weights", "weight", "nan", "a finite number"),
        ("urgency", "urgent", "2", "0 or 1"),
    ],
)
def test_outcomes_of_every_task_are_recorded_and_judged(
    app: App, name: str, column: str, wrong: str, expected: str, tmp_path: Path
) -> None:
    app.traffic.score(name, "local", as_of=LATER, limit=200)
    rows = [f"{letter},2026-02-01,{value}" for letter, value in what_became(column).items()]
    file = tmp_path / "outcomes.csv"
    file.write_text("\n".join(["entity,as_of,value", *rows, f"l999,2026-02-01,{wrong}"]))
    with pytest.raises(DataError, match="line 242: the value is no outcome") as caught:
        app.watch.outcomes(name, file=file)
    assert (caught.value.expected, caught.value.found) == (expected, repr(wrong))
    file.write_text("\n".join(["entity,as_of,value", *rows]))
    told = app.watch.outcomes(name, file=file)
    assert (told.recorded, told.known) == (240, 0)  # nothing of the wrong file was kept
    assert app.watch.outcomes(name, file=file).recorded == 0
    quality = app.watch.monitor(name, "local").quality
    assert (quality.verdict, quality.task) == ("kept", app.workspace.project.model(name).task)
    whole = next(each for each in quality.slices if each.arm == "all")
    assert whole.matured >= 200
    assert [whole.accuracy is not None, whole.mae is not None, whole.roc_auc is not None] == [
        name == each for each in FEATURES
    ]
    shown = CliRunner().invoke(main, ["monitor", name, "--env", "local", "--project", str(app.workspace.root)])
    assert shown.exit_code == 0, shown.output
    assert "quality: kept" in shown.output
    assert {"desks": "accuracy", "weights": "RMSE", "urgency": "ROC AUC"}[name] in shown.output


def test_a_canary_of_every_task_is_judged_by_its_answers_and_outcomes(app: App, tmp_path: Path) -> None:
    for name, column in (("desks", "desk"), ("weights", "weight")):
        app.lab.run(name, seed=1)
        app.gate.promote(f"{name}:2", "local")
        app.rollouts.canary(f"{name}:2", "local", 40)
        with client_of(app, name) as client:
            for letter in what_became(column):
                assert client.post("/predict", {"entity": letter, "features": FEATURES[name]}).json["logged"]
        answer = app.rollouts.look(name, "local", dry=True)
        figures = {each.name: each for each in answer.arms[0].verdict.figures}
        assert answer.move == "hold", answer.reasons
        assert figures["predictions"].status != "unknown", figures["predictions"].sentence
        app.rollouts.turn(name, "local", "stop")
