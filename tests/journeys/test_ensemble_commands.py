"""An ensemble with a booster among its members: registered, promoted, served and rolled back as one unit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from keelway.app import App
from keelway.ledger import open_statement
from keelway.register import ModelVersion
from keelway.train import EnsemblePipeline, TrainedModel, frame_of, load_pipeline, member_pipelines

PROJECT = "src/churn/project.py"
RELEASE = ("--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token")
TIMID = """        Estimator("logistic", "sklearn.linear_model.LogisticRegression", {"C": 0.0005, "max_iter": 1000}),
        Estimator(
            "boosting", "lightgbm.LGBMClassifier", {"n_estimators": 4, "num_leaves": 7, "n_jobs": 1, "verbose": -1}
        ),
        Ensemble("together", ("logistic", "boosting"), method="stacking"),
    ],
    cuts"""
"""Members that are too timid to win on their own; what stacks them is as sure as the data allows."""


def declare(desk: Any) -> None:
    """Let two estimators and an ensemble of both compete."""
    path = desk.root / PROJECT
    text = path.read_text("utf8")
    start, end = text.index('        Estimator("logistic"'), text.index("    cuts=Cuts(")
    path.write_text(text[:start] + TIMID + text[end + len("    cuts") :], "utf8")
    desk.edit(PROJECT, "    Dataset,\n", "    Dataset,\n    Ensemble,\n")


@pytest.fixture(scope="module")
def both(small_project: Path, tmp_path_factory: pytest.TempPathFactory, desk_of: Callable[[Path], Any]) -> Any:
    """The small project with two ensembles registered, the second one promoted over the first."""
    pytest.importorskip("lightgbm")
    root = tmp_path_factory.mktemp("ensembles") / "churn"
    shutil.copytree(small_project, root, ignore=shutil.ignore_patterns("state.db*"))
    desk = desk_of(root)
    declare(desk)
    desk("ingest")
    desk.first = desk("run", "churn")
    desk.through_the_door()
    desk("deploy", "churn:1", *RELEASE)
    desk.edit(PROJECT, '"C": 0.0005', '"C": 0.0006')
    desk.second = desk("run", "churn")
    desk.through_the_door("churn:2")
    yield desk
    for server in desk.started:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()


@pytest.fixture
def app(both: Any) -> Iterator[App]:
    with closing(App.open(both.root)) as opened:
        yield opened


def trained_of(app: App, name: str) -> tuple[ModelVersion, TrainedModel]:
    with app.workspace.state.snapshot() as tx:
        version = tx.find(ModelVersion, name)
        assert version is not None
        return version, tx.by_digest(TrainedModel, version.trained)


def answers_of(app: App, name: str, rows: list[dict[str, Any]]) -> list[float]:
    """Return what the trained pipeline of a version says to request bodies, in Python."""
    _, trained = trained_of(app, name)
    pipeline = load_pipeline(trained.pipeline, artifacts=app.workspace.artifacts)
    columns = {each.name: [row["features"][each.name] for row in rows] for each in trained.features}
    found: list[float] = pipeline.predict_proba(frame_of(columns, trained.features))[:, 1].tolist()
    return found


def scored(both: Any) -> dict[str, int]:
    """Return how many of 25 customers each version answers for."""
    found: dict[str, int] = both("score", "churn", "--as-of", "1998-01-01", "--limit", "25")["by_version"]
    return found


def served(both: Any, rows: list[dict[str, Any]]) -> tuple[set[str], list[float]]:
    """Return which versions a server answers with, and their answers over HTTP."""
    server = both.serve()
    told = []
    for row in rows:
        status, data = server.ask("/predict", json.dumps(row))
        assert status == 200, data
        told.append(json.loads(data))
    assert server.stop() == 0
    return {each["version"] for each in told}, [each["probability"] for each in told]


@pytest.mark.journey
class TestEnsemble:
    def test_the_ensemble_wins_and_is_one_version(self, both: Any, app: App) -> None:
        assert [line["name"] for line in both("models")] == ["churn:2", "churn:1"]
        assert {line["estimator"] for line in both("models")} == {"together"}
        version, trained = trained_of(app, "churn:1")
        assert version.parity.max_difference <= version.parity.tolerance
        pipeline = load_pipeline(version.pipeline, artifacts=app.workspace.artifacts)
        assert isinstance(pipeline, EnsemblePipeline)
        assert [type(each[-1]).__name__ for each in pipeline.members] == ["LogisticRegression", "BoosterClassifier"]
        assert trained.warnings == ()

    def test_the_proof_of_a_version_names_every_member(self, both: Any, app: App, tmp_path: Path) -> None:
        version, _ = trained_of(app, "churn:1")
        members = member_pipelines(version.pipeline, artifacts=app.workspace.artifacts)
        statement = open_statement(app.workspace.artifacts.get(version.statement), key=app.workspace.signing.key.public)
        used = {
            each["name"]: f"sha256:{each['digest']['sha256']}"
            for each in statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        }
        assert set(members) == {"logistic", "boosting"}
        assert {f"pipeline/{name}": digest for name, digest in members.items()}.items() <= used.items()
        bundle = str(tmp_path / "bundle.json")
        both("prove", "churn:1", "--out", bundle)
        assert both("verify", bundle, "--key", str(both.root / ".keelway/keys/signing.pub"))

    def test_it_is_served_promoted_over_and_rolled_back_as_one(self, both: Any, app: App) -> None:
        rows = both.rows(25)
        first, second = (answers_of(app, name, rows) for name in ("churn:1", "churn:2"))
        assert first != pytest.approx(second, abs=1e-4), "the two can be told apart"
        assert scored(both) == {"churn:1": 25}
        assert both("deploy", "churn:2", *RELEASE)["traffic"] == {"churn:2": 100}
        assert scored(both) == {"churn:2": 25}
        assert both("rollback", "churn", *RELEASE)["traffic"] == {"churn:1": 100}
        assert served(both, rows) == ({"churn:1"}, pytest.approx(first, abs=1e-5))
        assert both("audit")["report"]["problems"] == []

    def test_the_member_that_both_share_is_one_artifact(self, both: Any, app: App) -> None:
        found = [
            member_pipelines(trained_of(app, name)[0].pipeline, artifacts=app.workspace.artifacts)
            for name in ("churn:1", "churn:2")
        ]
        assert found[0]["boosting"] == found[1]["boosting"]
        assert found[0]["logistic"] != found[1]["logistic"]

    def test_the_run_is_rebuilt_with_its_members(self, both: Any) -> None:
        assert both("reproduce", both.second["run"]["run_id"])["alike"] == "bit-equal"
