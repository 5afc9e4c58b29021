"""The models that the benchmarks of serving use, and the floor that they are compared with.

    python _scoring.py    an ASGI endpoint that does nothing, under the same uvicorn as the scoring app: the floor

It prints `{"ready": "http://127.0.0.1:PORT"}` when it answers. `make_project` leaves in a folder what servers need: a model
of 12 numbers and 8 categories that was trained, registered, admitted and deployed by the real code.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.contract import CheckedBatch
from keelway.core import (
    Action,
    ArtifactKind,
    CodeState,
    Environment,
    PrincipalId,
    RunId,
    Verdict,
    VersionName,
    digest_bytes,
    digest_of,
    split_version,
)
from keelway.deploy import SmokeResult
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.tracker import NoTracker
from keelway.engines.sql import SqlState
from keelway.features import FeatureColumn, FeatureTable, columns_for_scoring, profile_of, rows_of
from keelway.ledger import SigningKey
from keelway.project import Cuts, Dataset, Estimator, FeatureSet, Label, Model
from keelway.snapshot import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.register import ModelVersion

MODEL, ENVIRONMENT = "bench", Environment("prod")
ROWS, NUMBERS, CATEGORIES, LEVELS = 5_000, 12, 8, 8
BODIES, MANY = 1_000, 1_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CUTS = tuple(datetime(2025, month, 1, tzinfo=UTC) for month in (1, 3, 5))
PRINCIPAL = PrincipalId("sp:bench")
ANY = digest_bytes(b"benchmark")
FEATURES = (
    *(FeatureColumn(f"number_{place}", "numeric") for place in range(NUMBERS)),
    *(FeatureColumn(f"category_{place}", "categorical") for place in range(CATEGORIES)),
)
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "logistic": ("sklearn.linear_model.LogisticRegression", {"max_iter": 1000}),
    "lightgbm": ("lightgbm.LGBMClassifier", {"n_estimators": 200, "verbose": -1, "n_jobs": 1}),
}
"""Each kind's estimator; `python` in front of one has its pipeline answer in a process of its own, as any model can."""


class ScoringProject:
    """State, artifacts and keys in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = SqlState(f"sqlite:///{folder / 'state.db'}")
        self.artifacts = LocalArtifacts(folder / "artifacts")


def make_project(folder: Path, kind: str = "logistic") -> None:
    """Train, register, admit and deploy the model; write the rows, the bodies that ask for them, and the pipeline."""
    import joblib

    from keelway.train import frame_of, load_pipeline

    project = ScoringProject(folder)
    version, table = _registered(project, declared(kind))
    _admitted(project, version)
    move_traffic(folder, version.name)
    rows = rows_of(table, project.artifacts).slice(0, BODIES)
    columns = columns_for_scoring(rows, FEATURES)
    records = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    instances = [{"entity": f"c{place:05}", "features": record} for place, record in enumerate(records)]
    (folder / "bodies.json").write_text(json.dumps([compact(each) for each in instances]))
    (folder / "many.json").write_text(json.dumps([compact({"instances": instances[:MANY]})]))
    (folder / "records.json").write_text(json.dumps(records))
    pipeline = _for_peers(load_pipeline(version.pipeline, artifacts=project.artifacts))
    joblib.dump((pipeline, frame_of(columns, FEATURES)), folder / "pipeline.joblib")
    project.state.close()


def _for_peers(pipeline: Any) -> Any:
    """Return the pipeline without a class of ours in it."""
    name, last = pipeline.steps[-1]
    if hasattr(last, "text"):
        from _booster import FittedBooster

        pipeline.steps[-1] = (name, FittedBooster(last.text))
    return pipeline


def compact(body: Any) -> str:
    """Return JSON without blanks."""
    return json.dumps(body, separators=(",", ":"))


def second_version(folder: Path) -> None:
    """Register and admit another version of the model in the folder, with other answers; it gets no traffic."""
    add_version(folder, declared(strength=0.01))


def add_version(folder: Path, model: Model) -> VersionName:
    """Register and admit the next version of a model in the folder; it gets no traffic."""
    project = ScoringProject(folder)
    version, _ = _registered(project, model)
    _admitted(project, version)
    project.state.close()
    return version.name


def move_traffic(folder: Path, version: str) -> None:
    """Give all traffic to a version."""
    from keelway.deploy import deploy

    project = ScoringProject(folder)
    deploy(
        split_version(VersionName(version))[0],
        environment=ENVIRONMENT,
        stable=VersionName(version),
        smoke=lambda tried: SmokeResult(tried.name, digest_of(tried), passed=True, answers=0),
        state=project.state,
        principal=PRINCIPAL,
        now=datetime.now(UTC),
    )
    project.state.close()


def _registered(project: ScoringProject, model: Model) -> tuple[ModelVersion, FeatureTable]:
    from keelway.evaluate import evaluate
    from keelway.register import register
    from keelway.train import fit

    key = _key(project.folder)
    table = _feature_table(project, model.name)
    ports: dict[str, Any] = {"artifacts": project.artifacts, "state": project.state}
    trained = fit(
        model,
        table,
        estimator=model.estimators[0],
        tracker=NoTracker(),
        seed=1,
        now=NOW,
        code=CodeState(ANY, ANY),
        **ports,
    )
    card = evaluate(trained, table, model=model, champion=None, now=NOW, **ports)
    version = register(
        card,
        trained,
        model=model,
        run_id=RunId("bench"),
        tracker=NoTracker(),
        key=key,
        actor=PRINCIPAL,
        now=NOW,
        **ports,
    )
    return version, table


def _key(folder: Path) -> SigningKey:
    """Return the key that all versions of a folder are signed with."""
    private = folder / "key.pem"
    if not private.exists():
        key = SigningKey.generate("bench")
        key.save(private)
        (folder / "key.pub").write_text(key.public.pem())
    return SigningKey.load(private)


def declared(kind: str = "logistic", strength: float | None = None) -> Model:
    """Return the model of a kind; a strength of regularisation gives another version of the logistic one."""
    source = Dataset("rows", contract="c.yaml", source="*.csv", event_time="at")
    path, options = KINDS[kind.removeprefix("python-")]
    estimator = Estimator("chosen", path, options if strength is None else {**options, "C": strength})
    return Model(
        MODEL,
        features=(FeatureSet("all", entity="entity", sources=(source,), function=_nothing),),
        label=Label("label", entity="entity", source=source, horizon=timedelta(days=30), function=_nothing, absent=0),
        estimators=(estimator,),
        cuts=Cuts(CUTS[0]),
        trivial_rule="number_0",
        serve="python" if kind.startswith("python-") else "compiled",
    )


def _nothing(rows: Any, _as_of: Any) -> Any:
    return rows


def _feature_table(project: ScoringProject, model: str) -> FeatureTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = _rows()
    sink = pa.BufferOutputStream()
    pq.write_table(data, sink)
    stored = project.artifacts.put(sink.getvalue().to_pybytes(), kind=ArtifactKind.FEATURE_TABLE)
    checked = CheckedBatch("rows", ANY, ANY, "1", ROWS, ROWS, 0, 0, {}, {}, (), None, ANY, {}, NOW, NOW)
    snapshot = Snapshot("rows", 1, ANY, 1, ROWS, ROWS, ANY, digest_of(checked), None, NOW, NOW, {})
    table = FeatureTable(
        model=model,
        purpose="training",
        data=stored.digest,
        profile=digest_of(profile_of(data, FEATURES)),
        entity="entity",
        as_ofs=CUTS,
        features=FEATURES,
        label="label",
        horizon_s=30 * 86_400,
        rows=ROWS,
        snapshots={"rows": digest_of(snapshot)},
        definition=ANY,
    )
    with project.state.transaction() as tx:
        for record in (checked, snapshot, table):
            tx.insert(digest_of(record), record, at=NOW)
    return table


def _rows() -> pa.Table:
    """Return rows whose label follows numbers and a category; one number in twenty is null."""
    import numpy as np
    import pyarrow as pa

    draw = np.random.default_rng(1)
    numbers = draw.normal(size=(NUMBERS, ROWS)).round(4)
    levels = draw.integers(0, LEVELS, size=(CATEGORIES, ROWS))
    label = numbers[0] - numbers[1] * numbers[2] + (levels[0] == 2) + draw.normal(size=ROWS) > 0.3
    moments = [CUTS[place * len(CUTS) // ROWS] for place in range(ROWS)]
    utc = pa.timestamp("us", "UTC")
    return pa.table(
        {
            "entity": [f"c{place:05}" for place in range(ROWS)],
            "as_of": pa.array(moments, utc),
            **{f"number_{n}": pa.array(numbers[n], mask=draw.random(ROWS) < 0.05) for n in range(NUMBERS)},
            **{f"category_{n}": [f"level {level}" for level in levels[n]] for n in range(CATEGORIES)},
            "label": label.astype(np.int8),
            "label_known_at": pa.array([moment + timedelta(days=30) for moment in moments], utc),
        }
    )


def _admitted(project: ScoringProject, version: ModelVersion) -> None:
    from keelway.promote import Admission
    from keelway.promote.admission import let_in

    verdict = Verdict(True, (), ("all",), ANY, ANY)
    admission = Admission(version.name, digest_of(version), ENVIRONMENT, ANY, verdict, None, (), PRINCIPAL, NOW)
    with project.state.transaction() as tx:
        let_in(version, admission, action=Action.PROMOTE, tx=tx, evidence={}, comment="")


def serve_empty() -> None:
    """Serve an endpoint that reads the request and says yes."""
    import uvicorn

    from keelway.surfaces.scoring.server import bind

    async def empty(_scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    bound = bind("127.0.0.1", 0)
    print(json.dumps({"ready": f"http://127.0.0.1:{bound.getsockname()[1]}"}), flush=True)
    config = uvicorn.Config(
        empty, lifespan="off", ws="none", access_log=False, log_level="warning", server_header=False, date_header=False
    )
    uvicorn.Server(config).run(sockets=[bound])


if __name__ == "__main__":
    serve_empty()
