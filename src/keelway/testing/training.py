"""A small world for tests of training: a feature table of made-up customers, in real stores.

>>> world = TrainingWorld(folder)                                   # doctest: +SKIP
>>> version = world.register(world.fit(world.model.estimators[0]))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.core import ArtifactKind, ArtifactStore, CodeState, PrincipalId, RunId, digest_bytes, digest_of
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.tracker import NoTracker
from keelway.engines.sql.state import SqlState
from keelway.evaluate import Rival, Scorecard, evaluate
from keelway.features import FeatureColumn, FeatureTable, profile_of
from keelway.ledger import SigningKey, StateStore
from keelway.project import Cuts, Dataset, Estimator, FeatureSet, Label, Model
from keelway.register import ModelVersion, register
from keelway.train import Tracker, TrainedModel, fit
from keelway.train.tracking import show_training

if TYPE_CHECKING:
    import pyarrow as pa

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CUTS = tuple(datetime(2025, month, 1, tzinfo=UTC) for month in (1, 3, 5))
HORIZON = timedelta(days=30)
RECENCY = FeatureColumn("recency_d", "numeric")
PLAN = FeatureColumn("plan", "categorical")
SPEND = FeatureColumn("spend", "numeric")
FEATURES = (RECENCY, PLAN, SPEND)
CODE = CodeState(digest_bytes(b"project"), digest_bytes(b"environment"))
LOGISTIC = Estimator("logistic", "sklearn.linear_model.LogisticRegression", {"max_iter": 1000})
BOOSTED = Estimator("boosted", "sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 20})


def churned(orders: Any, as_of: Any) -> Any:
    """Stand for a feature's and a label's function; it is never called."""
    return orders


def churn_model() -> Model:
    """Return a model of customers who leave, that two estimators compete for."""
    orders = Dataset("orders", contract="c.yaml", source="*.csv", event_time="at")
    return Model(
        "churn",
        features=(FeatureSet("activity", entity="customer", sources=(orders,), function=churned),),
        label=Label("churned", entity="customer", source=orders, horizon=HORIZON, function=churned, absent=1),
        estimators=(LOGISTIC, BOOSTED),
        cuts=Cuts(CUTS[0]),
        trivial_rule="-spend",
    )


def customers(rows: int, seed: int = 0) -> pa.Table:
    """Return rows of customers over three cuts, with null numbers, empty categories and a rare one."""
    import numpy as np
    import pyarrow as pa

    draw = np.random.default_rng(seed)
    recency, spend = draw.integers(0, 400, rows).astype(float), draw.exponential(100, rows).round(2)
    label = (recency / 100 - spend / 100 + draw.normal(size=rows) > 1).astype(np.int8)
    as_of = [CUTS[i * len(CUTS) // rows] for i in range(rows)]
    lost = draw.random(rows) < 0.1
    return pa.table(
        {
            "entity": [f"c{i:05}" for i in range(rows)],
            "as_of": pa.array(as_of, pa.timestamp("us", "UTC")),
            "recency_d": pa.array(recency, mask=lost),
            "plan": draw.choice(["", "a", "b", "rare" * 3], rows, p=[0.1, 0.5, 0.395, 0.005]).tolist(),
            "spend": spend,
            "label": label,
            "label_known_at": pa.array([cut + HORIZON for cut in as_of], pa.timestamp("us", "UTC")),
        }
    )


@dataclass
class TrainingWorld:
    """Stores in a folder, a model, and the feature table it learns from; a second one on the same folder sees the same."""

    folder: Path
    rows: int = 900
    model: Model = field(default_factory=churn_model)
    features: Sequence[FeatureColumn] = FEATURES
    tracker: Tracker = field(default_factory=NoTracker)
    key: SigningKey = field(init=False)
    artifacts: ArtifactStore = field(init=False)
    state: StateStore = field(init=False)
    table: FeatureTable = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.artifacts = LocalArtifacts(self.folder / "artifacts")
        self.state = SqlState(f"sqlite:///{self.folder / 'state.db'}")
        path = self.folder / "test.key"
        if not path.exists():
            SigningKey.generate("test").save(path)
        self.key = SigningKey.load(path)
        self.build()

    def build(self, *, seed: int = 0, change: Callable[[pa.Table], pa.Table] = lambda rows: rows) -> FeatureTable:
        """Put another feature table in the place of the present one, and return it."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        data = change(customers(self.rows, seed))
        sink = pa.BufferOutputStream()
        pq.write_table(data, sink)
        stored = self.artifacts.put(sink.getvalue().to_pybytes(), kind=ArtifactKind.FEATURE_TABLE)
        self.table = FeatureTable(
            model=self.model.name,
            purpose="training",
            data=stored.digest,
            profile=digest_of(profile_of(customers(self.rows, seed), FEATURES)),
            entity="customer",
            as_ofs=CUTS,
            features=tuple(self.features),
            label="churned",
            horizon_s=int(HORIZON.total_seconds()),
            rows=data.num_rows,
            snapshots={"orders": digest_bytes(b"snapshot %d" % seed)},
            definition=digest_of(list(self.features)),
        )
        with self.state.transaction() as tx:
            tx.insert(digest_of(self.table), self.table, at=NOW)
        return self.table

    def declare(self, **changes: Any) -> None:
        """Change what the model declares."""
        self.model = replace(self.model, **changes)

    def fit(self, estimator: Estimator = LOGISTIC, *, seed: int = 7, code: CodeState = CODE) -> TrainedModel:
        """Fit an estimator on the present feature table."""
        return fit(
            self.model,
            self.table,
            estimator=estimator,
            artifacts=self.artifacts,
            state=self.state,
            tracker=self.tracker,
            seed=seed,
            now=NOW,
            code=code,
        )

    def shown(self, trained: TrainedModel) -> str:
        """Show a training in the tracker, and return its id there."""
        return show_training(digest_of(trained), state=self.state, artifacts=self.artifacts, tracker=self.tracker)

    def card(self, trained: TrainedModel, champion: Rival | None = None) -> Scorecard:
        """Evaluate a trained model on the present feature table."""
        return evaluate(
            trained,
            self.table,
            artifacts=self.artifacts,
            state=self.state,
            model=self.model,
            champion=champion,
            now=NOW,
            tracker=self.tracker,
        )

    def register(self, trained: TrainedModel, card: Scorecard | None = None) -> ModelVersion:
        """Register a trained model, evaluated if need be."""
        return register(
            card or self.card(trained),
            trained,
            model=self.model,
            run_id=RunId("r"),
            artifacts=self.artifacts,
            state=self.state,
            tracker=self.tracker,
            key=self.key,
            actor=PrincipalId("user:ana"),
            now=NOW,
        )


def with_column(name: str, value_of: Callable[[int], Any]) -> Callable[[pa.Table], pa.Table]:
    """Return a change of rows that gives a column the value of each row's number."""

    def change(rows: pa.Table) -> pa.Table:
        import pyarrow as pa

        place = rows.column_names.index(name)
        values = [value_of(number) for number in range(rows.num_rows)]
        return rows.set_column(place, name, pa.array(values, rows.schema.field(name).type))

    return change
