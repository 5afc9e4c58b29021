"""From a feature table to a signed version, with the real stores."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from keelway.core import Action, ArtifactKind, CodeState, PrincipalId, RunId, digest_bytes, digest_of
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.tracker import NoTracker
from keelway.engines.sql.state import SqlState
from keelway.errors import IntegrityError, TrainingError
from keelway.evaluate import compare, evaluate
from keelway.features import FeatureColumn, FeatureTable, profile_of
from keelway.ledger import SigningKey, decisions
from keelway.project import Cuts, Dataset, Estimator, FeatureSet, Label, Model
from keelway.register import ModelVersion, OnnxModel, champion_scorer, load_onnx, register, version_named
from keelway.train import fit, frame_of, load_pipeline

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CUTS = tuple(datetime(2025, month, 1, tzinfo=UTC) for month in (1, 3, 5))
FEATURES = (
    FeatureColumn("recency_d", "numeric"),
    FeatureColumn("plan", "categorical"),
    FeatureColumn("spend", "numeric"),
)
CODE = CodeState(digest_bytes(b"project"), digest_bytes(b"environment"))
LOGISTIC = Estimator("logistic", "sklearn.linear_model.LogisticRegression", {"max_iter": 1000})
BOOSTED = Estimator("boosted", "sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 20})


def churned(orders: Any, as_of: Any) -> Any:
    return orders


def churn_model() -> Model:
    orders = Dataset("orders", contract="c.yaml", source="*.csv", event_time="at")
    return Model(
        "churn",
        features=(FeatureSet("activity", entity="customer", sources=(orders,), function=churned),),
        label=Label(
            "churned", entity="customer", source=orders, horizon=timedelta(days=30), function=churned, absent=1
        ),
        estimators=(LOGISTIC, BOOSTED),
        cuts=Cuts(CUTS[0]),
        trivial_rule="-spend",
    )


class World:
    def __init__(self, root: Path, *, rows: int = 900) -> None:
        self.artifacts = LocalArtifacts(root / "artifacts")
        self.state = SqlState(f"sqlite:///{root / 'state.db'}")
        self.model, self.key, self.rows = churn_model(), SigningKey.generate("test"), rows
        self.table = self.build()

    def build(self, seed: int = 0) -> FeatureTable:
        draw = np.random.default_rng(seed)
        recency, spend = draw.integers(0, 400, self.rows).astype(float), draw.exponential(100, self.rows).round(2)
        label = (recency / 100 - spend / 100 + draw.normal(size=self.rows) > 1).astype(np.int8)
        as_of = [CUTS[i * 3 // self.rows] for i in range(self.rows)]
        data = pa.table(
            {
                "entity": [f"c{i:05}" for i in range(self.rows)],
                "as_of": pa.array(as_of, pa.timestamp("us", "UTC")),
                "recency_d": pa.array(
                    [None if d < 0.1 else r for d, r in zip(draw.random(self.rows), recency, strict=True)], pa.float64()
                ),
                "plan": draw.choice(["", "a", "b", "rare" * 3], self.rows, p=[0.1, 0.5, 0.395, 0.005]).tolist(),
                "spend": spend,
                "label": label,
                "label_known_at": pa.array([cut + timedelta(days=30) for cut in as_of], pa.timestamp("us", "UTC")),
            }
        )
        sink = pa.BufferOutputStream()
        pq.write_table(data, sink)
        stored = self.artifacts.put(sink.getvalue().to_pybytes(), kind=ArtifactKind.FEATURE_TABLE)
        table = FeatureTable(
            "churn", "training", stored.digest, digest_of(profile_of(data, FEATURES)), "customer", CUTS, FEATURES, "churned",
            30 * 86400, self.rows, {"orders": digest_bytes(b"s%d" % seed)}, digest_bytes(b"definition"),
        )  # fmt: skip
        with self.state.transaction() as tx:
            tx.insert(digest_of(table), table, at=NOW)
        return table

    def fit(self, estimator: Estimator) -> Any:
        return fit(
            self.model, self.table, estimator=estimator, artifacts=self.artifacts, state=self.state, tracker=NoTracker(),
            seed=7, now=NOW, code=CODE,
        )  # fmt: skip

    def card(self, trained: Any, champion: Any = None) -> Any:
        return evaluate(
            trained,
            self.table,
            artifacts=self.artifacts,
            state=self.state,
            model=self.model,
            champion=champion,
            now=NOW,
        )

    def register(self, card: Any, trained: Any, state: Any = None) -> Any:
        return register(
            card, trained, model=self.model, run_id=RunId("r"), artifacts=self.artifacts, state=state or self.state,
            tracker=NoTracker(), key=self.key, actor=PrincipalId("user:ana"), now=NOW,
        )  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("estimator", [LOGISTIC, BOOSTED], ids=lambda each: each.name)
def test_a_version_answers_as_its_pipeline_does(world: World, estimator: Estimator) -> None:
    trained = world.fit(estimator)
    assert trained == world.fit(estimator)
    version = world.register(world.card(trained), trained)
    assert version == world.register(world.card(trained), trained)
    assert (version.name, version.semver) == ("churn:1", "1.0.0")
    assert version.parity.max_difference <= 1e-5
    data = load_onnx(version, artifacts=world.artifacts, public_key=world.key.public)
    columns = {"recency_d": [None, 3.0], "plan": ["never", ""], "spend": [1e6, -1.0]}
    expected = load_pipeline(trained.pipeline, artifacts=world.artifacts).predict_proba(frame_of(columns, FEATURES))[
        :, 1
    ]
    assert OnnxModel(data, FEATURES).probabilities(columns) == pytest.approx(expected, abs=1e-5)
    with world.state.snapshot() as tx:
        assert [(each.action, each.subject) for _, each in decisions(tx)] == [(Action.REGISTER, "churn:1")]


def test_new_data_is_a_patch_and_the_champion_is_compared_on_the_same_rows(world: World) -> None:
    trained = world.fit(LOGISTIC)
    first = world.register(world.card(trained), trained)
    champion = champion_scorer(first, artifacts=world.artifacts, public_key=world.key.public)
    world.table = world.build(seed=1)
    again = world.fit(LOGISTIC)
    card = world.card(again, champion)
    assert card.champion == "churn:1"
    assert card.versus_champion is not None
    assert card.versus_trivial is not None
    assert card.versus_trivial.verdict == "better"
    assert world.register(card, again).semver == "1.0.1"


def test_the_baseline_wins_without_a_significant_difference(world: World) -> None:
    cards = [world.card(world.fit(each)) for each in (LOGISTIC, BOOSTED)]
    ranking = compare(cards, artifacts=world.artifacts)
    assert ranking.winner_scorecard == digest_of(cards[0])


def test_a_version_whose_statement_is_about_other_bytes_is_not_loaded(world: World) -> None:
    trained = world.fit(LOGISTIC)
    version = world.register(world.card(trained), trained)
    with pytest.raises(IntegrityError):
        load_onnx(replace(version, onnx=version.pipeline), artifacts=world.artifacts, public_key=world.key.public)
    with pytest.raises(IntegrityError):
        load_onnx(version, artifacts=world.artifacts, public_key=SigningKey.generate("other").public)


def test_an_estimator_that_is_none_is_refused(world: World) -> None:
    for factory in ("sklearn.nothing.Here", "sklearn.metrics.roc_auc_score", "sklearn.linear_model.LinearRegression"):
        with pytest.raises(TrainingError):
            world.fit(Estimator("wrong", factory))


class Killed(BaseException):
    """Stands for the end of the process."""


class DyingArtifacts:
    """An artifact store whose process dies just before or just after its n-th write."""

    def __init__(self, inner: Any, at: int, *, after: bool) -> None:
        self._inner, self._left, self._after = inner, at, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def put(self, *arguments: Any, **settings: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        made = self._inner.put(*arguments, **settings)
        if self._left == 0:
            raise Killed
        return made


class DyingState:
    """A state store whose process dies before it commits."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Any]:
        with self._inner.transaction() as tx:
            yield tx
            raise Killed


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_registration_that_is_cut_short_can_be_repeated(world: World, at: int) -> None:
    trained = world.fit(LOGISTIC)
    card, whole = world.card(trained), world.artifacts
    with pytest.raises(Killed):  # noqa: PT012
        if at == 5:
            world.register(card, trained, state=DyingState(world.state))
        else:
            world.artifacts = DyingArtifacts(whole, (at + 1) // 2, after=at % 2 == 0)  # type: ignore[assignment]
            world.register(card, trained)
    with world.state.snapshot() as tx:
        assert (tx.count(ModelVersion), tx.log.size()) == (0, 0)
    world.artifacts = whole
    assert world.register(card, trained).name == "churn:1"
    with world.state.snapshot() as tx:
        assert (tx.count(ModelVersion), tx.log.size()) == (1, 1)
        assert version_named("churn:1", tx=tx).number == 1
