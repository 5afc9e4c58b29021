"""Model versions on their way out: as signed folders and bills of materials; deprecated, and retired."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.card import CardRoom
from keelway.app.collect import CollectRoom
from keelway.app.contenders import version_meant
from keelway.app.registries import Registries
from keelway.app.wire import Workspace
from keelway.core import Action
from keelway.errors import MissingRecordError

if TYPE_CHECKING:
    from keelway.app.lab import Lab
    from keelway.ledger import Transaction
    from keelway.register import LifecycleChange, ModelFolder, ModelPublicKey, ModelVersion


def verify_model_folder(folder: Path, *, key: Path, signature: Path | None = None) -> ModelFolder:
    """Check a folder of a model with a public key alone.

    Args:
        key: The project's public key, or the public key (EC) that a tool of OpenSSF model-signing signed with.
        signature: The signature's file; `model.sig` in the folder when None.

    Raises:
        IntegrityError: Something does not hold; the message names it.
        SettingsError: The key's file holds no such key.
    """
    from keelway.register import read_public_key, verify_folder

    return verify_folder(folder, key=read_public_key(key), signature=signature)


class VersionRoom:
    """Use cases of those who hand models on, and of those who end their lives.

    Attributes:
        cards: Model cards.
        collection: Garbage collection.
        registries: Compare the registries' aliases with the pointers, and heal them.
    """

    def __init__(self, workspace: Workspace, lab: Lab) -> None:
        self._at = workspace
        self.cards = CardRoom(workspace, lab)
        self.collection = CollectRoom(workspace)
        self.registries = Registries(workspace)

    def export(self, name: str, folder: Path) -> ModelFolder:
        """Write a version as a signed folder, once all its bytes are checked; its signature is kept as a check of it.

        Args:
            name: `MODEL:NUMBER`, `MODEL` (its newest version) or `MODEL@ENVIRONMENT`.

        Raises:
            IntegrityError: A byte of the version is not as it was signed; nothing is written.
            UsageError: There is something at that place already.
        """
        from keelway.register import card_markdown, check_version, export_folder, load_onnx, load_plan
        from keelway.train import TrainedModel

        at = self._at
        version = self.version(name)
        check_version(version, artifacts=at.artifacts, public_key=at.signing.public_key)
        with at.state.snapshot() as tx:
            trained = tx.by_digest(TrainedModel, version.trained)
        folder_made = export_folder(
            version,
            folder,
            onnx=load_onnx(version, artifacts=at.artifacts, public_key=at.signing.public_key),
            plan=load_plan(version, artifacts=at.artifacts, public_key=at.signing.public_key),
            statement=at.artifacts.get(version.statement),
            card=card_markdown(self.cards.card(version.name)),
            bom=self.bill(version.name),
            task=trained.task,
            classes=trained.classes,
            key=at.signing.key,
        )
        self._keep(version, folder_made)
        return folder_made

    def _keep(self, version: ModelVersion, folder: ModelFolder) -> None:
        """Keep the signature of an exported version as a check of it, so that policies can ask for it; once for each."""
        from keelway.promote import newest_check, record_check
        from keelway.register import keep_signature

        at = self._at
        figures = keep_signature(folder, artifacts=at.artifacts)
        with at.state.snapshot() as tx:
            known = newest_check(version, "model_signing", tx=tx)
        if known is None or known.figures != figures:
            record_check(version, "model_signing", figures, principal=at.principal, state=at.state, now=at.now())

    def bill(self, name: str) -> bytes:
        """Return the bill of materials of a version: as it was registered, or made now where it was not."""
        from keelway.register import BillOfMaterials, bill_now

        at = self._at
        version = self.version(name)
        with at.state.snapshot() as tx:
            stored = tx.find(BillOfMaterials, version.name)
            if stored is None:
                return bill_now(version, card=at.project.model(version.model).card, tx=tx)
        return at.artifacts.get(stored.data)

    def public_key(self) -> ModelPublicKey:
        """Return the key that exported models are checked with."""
        from keelway.register import ModelKey

        return ModelKey.of(self._at.signing.key).public

    def deprecate(self, name: str, *, reason: str, successor: str = "") -> LifecycleChange:
        """Say that a version should not be used any more; raises as `change_life` does."""
        return self._change(Action.DEPRECATE, name, reason, successor)

    def retire(self, name: str, *, reason: str, successor: str = "") -> LifecycleChange:
        """End the life of a version for good; raises as `change_life` does."""
        return self._change(Action.RETIRE, name, reason, successor)

    def _change(self, action: Action, name: str, reason: str, successor: str) -> LifecycleChange:
        from keelway.register import change_life

        at = self._at
        return change_life(
            self.version(name),
            action,
            reason=reason,
            successor=successor,
            principal=at.principal,
            state=at.state,
            now=at.now(),
        )

    def version(self, name: str, tx: Transaction | None = None) -> ModelVersion:
        """Return the version that is called so.

        Raises:
            MissingRecordError: There is none.
        """
        if tx is None:
            with self._at.state.snapshot() as opened:
                return self.version(name, opened)
        found = version_meant(name, at=self._at, tx=tx)
        if found is None:
            raise MissingRecordError(
                f"There is no version of {name}",
                expected="MODEL:NUMBER, MODEL or MODEL@ENVIRONMENT",
                found=repr(name),
                fix="List them: keelway models",
            )
        return found
