"""From a feature table to a signed version, with the real stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from keelway.core import Action, digest_of
from keelway.engines.local.tracker import NoTracker
from keelway.errors import ConflictError, IntegrityError, MissingRecordError, ServingError, TrainingError, UsageError
from keelway.ledger import SigningKey, decisions, open_statement
from keelway.project import Estimator, Preprocessing
from keelway.register import ModelVersion, OnnxModel, champion_scorer, load_onnx, newest_version, version_named
from keelway.testing.training import BOOSTED, FEATURES, LOGISTIC, PLAN, RECENCY, SPEND, TrainingWorld
from keelway.train import TrainedModel, frame_of, load_pipeline


@pytest.mark.parametrize("estimator", [LOGISTIC, BOOSTED], ids=lambda each: each.name)
def test_a_version_answers_as_its_pipeline_does(world: TrainingWorld, estimator: Estimator) -> None:
    trained = world.fit(estimator)
    version = world.register(trained)
    assert version == world.register(trained)
    assert (version.name, version.semver) == ("churn:1", "1.0.0")
    assert version.parity.max_difference <= 1e-5
    data = load_onnx(version, artifacts=world.artifacts, public_key=world.key.public)
    columns = {"recency_d": [None, 3.0], "plan": ["never", ""], "spend": [1e6, -1.0]}
    pipeline = load_pipeline(trained.pipeline, artifacts=world.artifacts)
    expected = pipeline.predict_proba(frame_of(columns, FEATURES))[:, 1]
    assert OnnxModel(data, FEATURES).probabilities(columns) == pytest.approx(expected, abs=1e-5)
    with world.state.snapshot() as tx:
        assert [(each.action, each.subject) for _, each in decisions(tx)] == [(Action.REGISTER, "churn:1")]


def test_the_statement_tells_what_the_version_was_built_from(world: TrainingWorld) -> None:
    trained = world.fit()
    version = world.register(trained)
    told = open_statement(world.artifacts.get(version.statement), key=world.key.public)
    build = told["predicate"]["buildDefinition"]
    used = {each["name"]: "sha256:" + each["digest"]["sha256"] for each in build["resolvedDependencies"]}
    assert used == {
        "trained": digest_of(trained),
        "pipeline": trained.pipeline,
        "scorecard": version.scorecard,
        "feature_table": digest_of(world.table),
        "snapshot/orders": world.table.snapshots["orders"],
        "project": trained.code.project_digest,
        "environment": trained.code.environment_digest,
    }
    assert build["externalParameters"]["estimator"] == LOGISTIC.factory
    assert told["predicate"]["runDetails"]["builder"]["id"].endswith("/user:ana")


def test_the_semantic_version_tells_what_changed(world: TrainingWorld) -> None:
    assert world.register(world.fit()).semver == "1.0.0"
    world.build(seed=1)
    assert world.register(world.fit()).semver == "1.0.1"  # other data
    world.declare(preprocessing=Preprocessing(impute="mean"))
    assert world.register(world.fit()).semver == "1.1.0"  # another definition
    world.features = (RECENCY, SPEND)
    world.build()
    last = world.register(world.fit())  # other features
    assert (last.name, last.semver) == ("churn:4", "2.0.0")
    world.build(seed=2)
    assert world.register(world.fit()).semver == "2.0.1"
    with world.state.snapshot() as tx:
        assert newest_version("churn", tx) == version_named("churn:5", tx=tx)
        assert newest_version("other", tx) is None


@pytest.mark.parametrize("features", [(RECENCY, SPEND), (PLAN,)], ids=["numbers", "categories"])
@pytest.mark.parametrize("estimator", [LOGISTIC, BOOSTED], ids=lambda each: each.name)
def test_a_model_of_one_kind_of_features_becomes_a_version(
    world: TrainingWorld, features: Any, estimator: Estimator
) -> None:
    world.features = features
    world.declare(trivial_rule="")
    world.build()
    version = world.register(world.fit(estimator))
    assert version.parity.max_difference <= 1e-5
    assert version.parity.nulls_tested
    assert version.parity.unseen_tested, "where there is no category, there is none left untried"


@pytest.mark.parametrize("estimator", [LOGISTIC, BOOSTED], ids=lambda each: each.name)
@pytest.mark.parametrize("select", ["l1", "variance"])
def test_a_model_that_selects_columns_becomes_a_version(
    world: TrainingWorld, select: Any, estimator: Estimator
) -> None:
    world.declare(preprocessing=Preprocessing(select=select))
    version = world.register(world.fit(estimator))
    pipeline = load_pipeline(version.pipeline, artifacts=world.artifacts)
    assert "select" in pipeline.named_steps
    assert version.parity.max_difference <= 1e-5


@pytest.mark.parametrize(
    ("factory", "parameters"),
    [
        ("sklearn.tree.DecisionTreeClassifier", {"max_depth": 4}),
        ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 10, "min_samples_leaf": 2}),
        ("sklearn.ensemble.GradientBoostingClassifier", {"n_estimators": 10}),
        ("sklearn.linear_model.SGDClassifier", {"loss": "log_loss"}),
        ("sklearn.naive_bayes.GaussianNB", {}),
    ],
    ids=["tree", "forest", "gradient-boosting", "sgd", "bayes"],
)
def test_other_estimators_of_scikit_learn_become_versions_too(
    world: TrainingWorld, factory: str, parameters: Any
) -> None:
    assert world.register(world.fit(Estimator("other", factory, parameters))).parity.max_difference <= 1e-5


def test_the_champion_is_compared_on_the_same_rows(world: TrainingWorld) -> None:
    first = world.register(world.fit())
    champion = champion_scorer(first, artifacts=world.artifacts, public_key=world.key.public)
    world.build(seed=1)
    card = world.card(world.fit(), champion)
    assert card.champion == "churn:1"
    assert card.versus_champion is not None
    assert card.versus_trivial is not None
    assert card.versus_trivial.verdict == "better"


def test_an_estimator_that_cannot_be_exported_is_refused(world: TrainingWorld) -> None:
    trained = world.fit(Estimator("dummy", "sklearn.dummy.DummyClassifier", {"strategy": "prior"}))
    with pytest.raises(TrainingError, match="DummyClassifier cannot be exported to ONNX"):
        world.register(trained)
    with world.state.snapshot() as tx:
        assert tx.count(ModelVersion) == 0


def test_a_version_whose_statement_is_about_other_bytes_is_not_loaded(world: TrainingWorld) -> None:
    version = world.register(world.fit())
    for wrong in (replace(version, onnx=version.pipeline), replace(version, name="churn:2")):  # type: ignore[arg-type]
        with pytest.raises(IntegrityError, match="about something else"):
            load_onnx(wrong, artifacts=world.artifacts, public_key=world.key.public)
    with pytest.raises(IntegrityError):
        load_onnx(version, artifacts=world.artifacts, public_key=SigningKey.generate("other").public)


def test_altered_bytes_are_not_loaded(world: TrainingWorld) -> None:
    version = world.register(world.fit())
    path = world.artifacts.path_of(version.onnx)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError):
        load_onnx(version, artifacts=world.artifacts, public_key=world.key.public)


def test_a_scorecard_of_another_model_is_refused(world: TrainingWorld) -> None:
    card = world.card(world.fit())
    with pytest.raises(UsageError, match="scorecard is of another model"):
        world.register(world.fit(seed=8), card)


def test_an_unknown_version_is_told_with_those_that_exist(world: TrainingWorld) -> None:
    world.register(world.fit())
    with world.state.snapshot() as tx:
        with pytest.raises(MissingRecordError, match="no version churn:2: found churn:1"):
            version_named("churn:2", tx=tx)
        with pytest.raises(MissingRecordError, match="found no version of other"):
            version_named("other:1", tx=tx)
        with pytest.raises(UsageError):
            version_named("churn", tx=tx)


class Overtaking(NoTracker):
    """A tracker in whose world somebody else registers a version while ours is being shown."""

    def __init__(self, world: TrainingWorld, other: TrainedModel) -> None:
        self.world, self.other = world, other

    def register_version(self, model: str, number: int, run: str, tags: Mapping[str, str]) -> str:
        self.world.tracker = NoTracker()
        self.world.register(self.other)
        return ""


def test_another_version_registered_meanwhile_is_a_conflict_and_a_second_try_succeeds(world: TrainingWorld) -> None:
    ours, theirs = world.fit(), world.fit(BOOSTED)
    world.tracker = Overtaking(world, theirs)
    with pytest.raises(ConflictError, match="expected churn:1 to be free"):
        world.register(ours)
    assert world.register(ours).name == "churn:2"


def test_the_same_model_registered_meanwhile_is_the_same_version(world: TrainingWorld) -> None:
    ours = world.fit()
    world.tracker = Overtaking(world, ours)
    assert world.register(ours).name == "churn:1"
    with world.state.snapshot() as tx:
        assert (tx.count(ModelVersion), tx.log.size()) == (1, 1)


def test_a_scorer_says_what_is_wrong_with_its_columns(world: TrainingWorld) -> None:
    version = world.register(world.fit())
    scorer = OnnxModel(load_onnx(version, artifacts=world.artifacts, public_key=world.key.public), FEATURES)
    good: dict[str, list[Any]] = {"recency_d": [1.0], "plan": ["a"], "spend": [2.0]}
    assert len(scorer.probabilities(good)) == 1
    for change, message in (
        ({"spend": [1.0, 2.0]}, "columns of one length"),
        ({"spend": ["much"]}, "cannot be read"),
        ({"plan": []}, "differ in length"),
        ({"plan": ["a", "b"]}, "differ in length"),
        ({"plan": [["a"]]}, "differ in length"),
    ):
        with pytest.raises(ServingError, match=message):
            scorer.probabilities({**good, **change})
    with pytest.raises(ServingError, match="'spend' is missing"):
        scorer.probabilities({"recency_d": [1.0], "plan": ["a"]})
    with pytest.raises(IntegrityError, match="no ONNX model"):
        OnnxModel(b"nothing", FEATURES)
