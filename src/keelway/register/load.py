"""Find model versions and load them: nothing is returned before digest and signature are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keelway.core import DIGEST_PREFIX, ArtifactStore, VersionName, digest_of, split_version
from keelway.errors import IntegrityError, MissingRecordError
from keelway.ledger import PublicKey, Transaction, open_statement
from keelway.register.onnx_model import OnnxModel
from keelway.register.records import ModelVersion
from keelway.train import TrainedModel, member_pipelines


def version_named(name: str, *, tx: Transaction) -> ModelVersion:
    """Return the version called `MODEL:NUMBER`.

    Raises:
        MissingRecordError: There is none.
    """
    split_version(name)
    found = tx.find(ModelVersion, name)
    if found is None:
        model = name.partition(":")[0]
        known = ", ".join(each.name for each in tx.newest(ModelVersion, parent=model, limit=5))
        raise MissingRecordError(
            f"There is no version {name}", found=known or f"no version of {model}", fix="See `keelway models`."
        )
    return found


def newest_version(model: str, tx: Transaction) -> ModelVersion | None:
    """Return the version of a model with the highest number, or None before the first."""
    return max(tx.newest(ModelVersion, parent=model), key=lambda each: each.number, default=None)


def load_onnx(version: ModelVersion, *, artifacts: ArtifactStore, public_key: PublicKey) -> bytes:
    """Return the exported model of a version.

    Raises:
        IntegrityError: The bytes are altered, or no statement that the key signed is about this version and them.
        MissingRecordError: Bytes or statement are gone.
    """
    statement_about(version, artifacts.get(version.statement), key=public_key)
    return artifacts.get(version.onnx)


def check_version(version: ModelVersion, *, artifacts: ArtifactStore, public_key: PublicKey) -> None:
    """Refuse a version unless every byte it consists of is what was signed: statement, exported model, pipelines.

    Raises:
        IntegrityError: Something is altered, or is not what the signed statement names.
        MissingRecordError: Something is gone.
    """
    told = statement_about(version, artifacts.get(version.statement), key=public_key)
    artifacts.path_of(version.onnx)
    members = member_pipelines(version.pipeline, artifacts=artifacts)
    named = {f"pipeline/{name}": digest for name, digest in members.items()}
    signed = _signed_digests(told)
    for what, digest in {"trained": version.trained, "pipeline": version.pipeline, **named}.items():
        if signed.get(what) != digest:
            raise IntegrityError(
                f"The signed statement of {version.name} names another {what}",
                expected=digest,
                found=signed.get(what, "none"),
                fix="Do not use this version; run `keelway audit`.",
            )
    for digest in members.values():
        artifacts.path_of(digest)


def check_if_registered(
    trained: TrainedModel, *, tx: Transaction, artifacts: ArtifactStore, public_key: PublicKey
) -> None:
    """Check the versions that a training was registered as; one that never was has no signature to check.

    Raises:
        IntegrityError: As `check_version`.
        MissingRecordError: As `check_version`.
    """
    mine = digest_of(trained)
    for version in tx.newest(ModelVersion, parent=trained.model):
        if version.trained == mine:
            check_version(version, artifacts=artifacts, public_key=public_key)


def statement_about(version: ModelVersion, envelope: bytes, *, key: PublicKey) -> dict[str, Any]:
    """Return the statement in an envelope, signed by the key and about a version and its exported model.

    Raises:
        IntegrityError: It is not.
    """
    told = open_statement(envelope, key=key)
    expected = [{"name": version.name, "digest": {"sha256": version.onnx.removeprefix(DIGEST_PREFIX)}}]
    if told.get("subject") != expected:
        raise IntegrityError(
            f"The signed statement of {version.name} is about something else",
            expected=str(expected),
            found=str(told.get("subject")),
            fix="Do not use this version; run `keelway audit`.",
        )
    return told


def _signed_digests(told: Mapping[str, Any]) -> dict[str, str]:
    """Return what a statement says the version was built from, by name."""
    try:
        used = told["predicate"]["buildDefinition"]["resolvedDependencies"]
        return {each["name"]: DIGEST_PREFIX + each["digest"]["sha256"] for each in used}
    except (KeyError, TypeError) as error:
        raise IntegrityError(
            "A signed statement is malformed", expected="SLSA provenance", found=repr(error)
        ) from error


@dataclass(frozen=True, slots=True)
class ChampionScorer:
    """A checked version that scores columns of features, under its name."""

    name: VersionName
    model: OnnxModel

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> list[Any]:
        """Return a prediction for each row: a probability, a number, or a probability for each class."""
        found: list[Any] = self.model.predictions(columns).tolist()
        return found


def champion_scorer(version: ModelVersion, *, artifacts: ArtifactStore, public_key: PublicKey) -> ChampionScorer:
    """Return a version as a rival to compare with, its bytes and signature checked."""
    data = load_onnx(version, artifacts=artifacts, public_key=public_key)
    return ChampionScorer(version.name, OnnxModel(data, version.features))
