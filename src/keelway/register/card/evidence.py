"""What a model card is made from: the records behind one version, and what the project declares of its model."""

from __future__ import annotations

from dataclasses import dataclass

from keelway.core import Digest, digest_of
from keelway.evaluate import Scorecard
from keelway.features import FeatureTable
from keelway.project import Card, Model
from keelway.register.card.records import CardData, CardEntry
from keelway.register.records import ModelVersion
from keelway.train import TrainedModel, model_definition


@dataclass(frozen=True)
class CardEvidence:
    """Everything that a card can be told from.

    Attributes:
        declared: What the project declares of the model now.
        data: The datasets of the training rows.
        entries: The ledger's decisions about the version, oldest first.
        members: The pipelines of an ensemble's members, by name; empty for a single estimator.
        trained_seconds: How long the fit took; None where no step was recorded.
        model_bytes: The size of the exported model; None where it is gone.
    """

    version: ModelVersion
    trained: TrainedModel
    scorecard: Scorecard
    table: FeatureTable
    declared: Model
    data: tuple[CardData, ...] = ()
    entries: tuple[CardEntry, ...] = ()
    members: dict[str, Digest] | None = None
    trained_seconds: float | None = None
    model_bytes: int | None = None

    @property
    def words(self) -> Card:
        """What people say."""
        return self.declared.card

    @property
    def reads_texts(self) -> bool:
        """Whether a feature is a text in a natural language."""
        return any(each.kind == "text" for each in self.trained.features)

    @property
    def as_declared(self) -> bool:
        """Whether the project still declares the model as it was trained."""
        name = self.trained.estimator
        known = next((each for each in self.declared.estimators if each.name == name), None)
        if known is None or self.trained.studies:
            return False
        return model_definition(self.declared, known, self.table) == self.trained.definition

    def digests(self) -> dict[str, Digest]:
        """Return the records and bytes behind the card, by what they are."""
        version = self.version
        found = {
            "model version": digest_of(version),
            "exported model (ONNX)": version.onnx,
            "trained pipeline": version.pipeline,
            "training": version.trained,
            "scorecard": version.scorecard,
            "feature table": version.feature_table,
            "profile of the training rows": version.profile,
            "signed statement": version.statement,
            "project": self.trained.code.project_digest,
            "environment": self.trained.code.environment_digest,
        }
        if version.plan is not None:
            found["compiled plan"] = version.plan
        return found | {f"member {name}": digest for name, digest in (self.members or {}).items()}
