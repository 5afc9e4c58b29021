"""Find model versions and load them: nothing is returned before digest and signature are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keelway.core import ArtifactStore, VersionName, split_version
from keelway.errors import IntegrityError, MissingRecordError
from keelway.ledger import PublicKey, Transaction, open_statement
from keelway.register.onnx_model import OnnxModel
from keelway.register.records import ModelVersion


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
    told = open_statement(artifacts.get(version.statement), key=public_key)
    expected = [{"name": version.name, "digest": {"sha256": version.onnx.removeprefix("sha256:")}}]
    if told.get("subject") != expected:
        raise IntegrityError(
            f"The signed statement of {version.name} is about something else",
            expected=str(expected),
            found=str(told.get("subject")),
            fix="Do not use this version; run `keelway audit`.",
        )
    return artifacts.get(version.onnx)


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
