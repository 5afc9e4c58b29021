"""Models by the names that people give them: a version, what an environment points at, a run, an estimator of a run.

A version answers with what it serves (its exported form, digest and signature checked), a training with its pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keelway.app.wire import Workspace
from keelway.core import Digest, Run, RunEntry, VersionName, digest_of
from keelway.errors import MissingRecordError, UsageError

if TYPE_CHECKING:
    from keelway.features import FeatureColumn, FeatureTable
    from keelway.ledger import Transaction
    from keelway.register import ModelVersion
    from keelway.train import TrainedModel

CHAMPION = "champion"
SHORT_ID = 16
EXPECTED = "MODEL:NUMBER, MODEL, MODEL@ENVIRONMENT, champion, a run, or RUN/ESTIMATOR"
Answers = Callable[[Mapping[str, Sequence[Any]]], Any]


@dataclass(frozen=True)
class Contender:
    """One model that can be asked.

    Attributes:
        name: What it is called in answers.
        trained: What was trained.
        table: The feature table it learned from.
        version: Its version, where it was named as one.
        answer: Gives a prediction for each row of columns of features.
    """

    name: str
    trained: TrainedModel
    table: FeatureTable
    version: ModelVersion | None
    answer: Answers

    @property
    def record(self) -> Digest:
        """The record that the name stands for."""
        return digest_of(self.trained if self.version is None else self.version)

    @property
    def features(self) -> tuple[FeatureColumn, ...]:
        """The columns it reads."""
        return self.trained.features


def contenders(
    names: Sequence[str], *, at: Workspace, champion: Callable[[str], VersionName | None]
) -> list[Contender]:
    """Return the models that are called so, in that order.

    Args:
        names: What people call them.
        at: The project.
        champion: Returns the version of a model that serves in the last environment.

    Raises:
        MissingRecordError: Nothing is called that.
        UsageError: A name can mean several things, or the same model is named twice.
    """
    known = {name: _named(name, at) for name in names if name != CHAMPION}
    found = [known[name] if name != CHAMPION else _champion(known, at, champion) for name in names]
    seen: dict[Digest, str] = {}
    for name, each in zip(names, found, strict=True):
        if each.record in seen:
            raise UsageError(
                "The same model is named twice",
                expected="different models",
                found=f"{seen[each.record]} and {name} are both {each.name}",
            )
        seen[each.record] = name
    return found


def _champion(
    known: Mapping[str, Contender], at: Workspace, champion: Callable[[str], VersionName | None]
) -> Contender:
    models = sorted({each.trained.model for each in known.values()}) or [each.name for each in at.project.models]
    if len(models) != 1:
        raise UsageError("The champion of which model?", expected="models of one name", found=", ".join(models))
    version = champion(models[0])
    if version is None:
        raise MissingRecordError(
            f"{models[0]} has no champion yet",
            expected="a version that an environment points at",
            found="none",
            fix=f"Let one in: keelway promote {models[0]}:1 --to ENVIRONMENT",
        )
    return _named(version, at)


def _named(name: str, at: Workspace) -> Contender:
    with at.state.snapshot() as tx:
        version = version_meant(name, at=at, tx=tx)
        if version is not None:
            return _of_version(version, at, tx)
        return _of_run(name, at, tx)


def version_meant(name: str, *, at: Workspace, tx: Transaction) -> ModelVersion | None:
    """Return the version that is called `MODEL:NUMBER`, `MODEL` or `MODEL@ENVIRONMENT`; None for a name of no model.

    Raises:
        MissingRecordError: There is no such version, or nothing is live in that environment.
    """
    from keelway.register import ModelVersion, newest_version, version_named

    if "@" in name:
        model, _, environment = name.partition("@")
        at.environment(environment)
        pointer = tx.pointer(f"environment/{environment}/{model}")
        if pointer is None:
            raise MissingRecordError("Nothing is live there", expected="a version that was admitted", found=name)
        return tx.by_digest(ModelVersion, pointer.target)
    if ":" in name:
        return version_named(VersionName(name), tx=tx)
    return newest_version(name, tx)


def _of_version(version: ModelVersion, at: Workspace, tx: Transaction) -> Contender:
    from keelway.features import FeatureTable
    from keelway.register import champion_scorer
    from keelway.train import TrainedModel

    trained, table = tx.by_digest(TrainedModel, version.trained), tx.by_digest(FeatureTable, version.feature_table)
    scorer = champion_scorer(version, artifacts=at.artifacts, public_key=at.signing.public_key)
    return Contender(version.name, trained, table, version, scorer)


def _of_run(name: str, at: Workspace, tx: Transaction) -> Contender:
    run, _, estimator = name.partition("/")
    found = tx.runs.named(run)
    if not found:
        raise MissingRecordError(
            "No model is called that",
            expected=EXPECTED,
            found=repr(name),
            fix="List them: keelway models, keelway runs",
        )
    if len(found) > 1:
        told = ", ".join(each.run_id[:SHORT_ID] for each in found[:3])
        raise UsageError("Several runs are called that", expected="one", found=told)
    trainings = _trainings(found[0], tx)
    if not estimator and len(trainings) > 1:
        version = _registered(found[0], tx)
        if version is not None:
            return _of_version(version, at, tx)
    chosen = [each for each in trainings if not estimator or each.estimator == estimator]
    if len(chosen) != 1:
        told = ", ".join(f"{run}/{each.estimator}" for each in trainings)
        raise UsageError(f"Run {run} is no single model", expected=told or "a run that trained", found=name)
    return _of_training(found[0], chosen[0], at, tx)


def _of_training(entry: RunEntry, trained: TrainedModel, at: Workspace, tx: Transaction) -> Contender:
    from keelway.features import FeatureTable
    from keelway.register import check_if_registered
    from keelway.train import predictions

    def answer(columns: Mapping[str, Sequence[Any]]) -> Any:
        return predictions(trained, columns, artifacts=at.artifacts)

    check_if_registered(trained, tx=tx, artifacts=at.artifacts, public_key=at.signing.public_key)
    table = tx.by_digest(FeatureTable, trained.feature_table)
    return Contender(f"{entry.run_id[:SHORT_ID]}/{trained.estimator}", trained, table, None, answer)


def _trainings(entry: RunEntry, tx: Transaction) -> list[TrainedModel]:
    """Return what a run trained, in the order of its steps."""
    from keelway.train import TrainedModel

    if entry.kind == "training":
        return [tx.by_digest(TrainedModel, entry.record)]
    outputs = _outputs(entry, tx)
    return [tx.by_digest(TrainedModel, digest) for name, digest in outputs.items() if name.startswith("train:")]


def _registered(entry: RunEntry, tx: Transaction) -> ModelVersion | None:
    from keelway.register import ModelVersion

    digest = _outputs(entry, tx).get("register")
    return tx.by_digest(ModelVersion, digest) if digest else None


def _outputs(entry: RunEntry, tx: Transaction) -> dict[str, Digest]:
    text = tx.text_of(entry.record) if entry.kind == "plan" else None
    return tx.by_digest(Run, entry.record).outputs if text is not None and text[0] == Run.__name__ else {}
