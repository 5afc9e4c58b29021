"""What was made from the rows of a person: feature tables, runs, model versions, deployments, predictions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from keelway.core import Digest, digest_of
from keelway.errors import ErasedError, MissingRecordError
from keelway.privacy import UsedVersion, Uses

if TYPE_CHECKING:
    from keelway.app.traces import Traces
    from keelway.app.wire import Workspace
    from keelway.deploy import Deployment
    from keelway.features import FeatureTable
    from keelway.ledger import Transaction


def uses_of(traces: Traces, value: str, *, at: Workspace) -> Uses:
    """Return everything that was made from the versions in which a person was found."""
    from keelway.core import Run
    from keelway.deploy import Deployment
    from keelway.features import FeatureTable
    from keelway.register import ModelVersion
    from keelway.train import TrainedModel

    names = {*traces.tokens, value}
    with at.state.snapshot() as tx:
        tables = {digest_of(each): each for each in tx.newest(FeatureTable)}
        tables = {d: each for d, each in tables.items() if _reads(each, traces, names, at)}
        trained = {digest_of(each) for each in tx.newest(TrainedModel) if each.feature_table in tables}
        versions = {digest_of(each): each for each in tx.newest(ModelVersion) if each.feature_table in tables}
        deployments = [each for each in tx.newest(Deployment) if versions.keys() & set(each.versions.values())]
        made = {*traces.snapshots, *tables, *trained, *versions}
        runs = {each.run_id for each in tx.newest(Run) if made & set(each.outputs.values())}
        return Uses(
            snapshots=tuple(sorted(traces.snapshots.values(), key=_by_name)),
            feature_tables=_sorted(UsedVersion(f"{t.model} for {t.purpose}", d) for d, t in tables.items()),
            runs=tuple(sorted({*runs, *(each.run_id for each in versions.values())})),
            versions=_sorted(UsedVersion(each.name, d) for d, each in versions.items()),
            deployments=_sorted(UsedVersion(_deployment_name(each), digest_of(each)) for each in deployments),
            predictions=tuple(sorted(_predictions(names, tx, at))),
            retrain_due=tuple(sorted(_due(deployments, versions.keys(), tx))),
        )


def _reads(table: FeatureTable, traces: Traces, names: set[str], at: Workspace) -> bool:
    """Say whether a feature table was made from the rows of a person.

    Where its entities are persons, it has a row of theirs; where they are not, or it is gone, its versions tell.
    """
    if not traces.snapshots.keys() & set(table.snapshots.values()):
        return False
    if table.entity not in traces.columns:
        return True
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(at.artifacts.path_of(table.data), columns=["entity"])
    except MissingRecordError:
        return True
    return bool(names & {str(entity) for entity in rows["entity"].to_pylist()})


def _predictions(names: set[str], tx: Transaction, at: Workspace) -> Iterator[str]:
    """Yield the ids of the sealed predictions about a person."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from keelway.serve import all_live_segments, columns_in

    wanted = pa.array(sorted(names), pa.string())
    for segment in all_live_segments(tx):
        try:
            found = columns_in(segment, ["prediction_id", "entity"], artifacts=at.artifacts)
        except ErasedError:
            continue
        yield from found.filter(pc.is_in(found["entity"], wanted))["prediction_id"].to_pylist()


def _due(deployments: list[Deployment], versions: Collection[Digest], tx: Transaction) -> Iterator[str]:
    """Yield where a version that learned from the person answers now."""
    from keelway.deploy import current

    for model, environment in {(each.model, each.environment) for each in deployments}:
        live = current(model, environment, tx)
        for name, digest in (live.versions if live else {}).items():
            if digest in versions:
                yield f"{name} answers in {environment}: decide with `keelway retrain {model} --env {environment} --anyway`"


def _deployment_name(deployment: Deployment) -> str:
    return f"{deployment.model} in {deployment.environment} {deployment.number}"


def _sorted(found: Iterable[UsedVersion]) -> tuple[UsedVersion, ...]:
    return tuple(sorted(found, key=_by_name))


def _by_name(used: UsedVersion) -> tuple[str, str]:
    return used.name, used.digest
