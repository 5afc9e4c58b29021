"""A model registry on MLflow: takes copies of versions from another one, with their lineage and decisions as tags.

MLflow has no copy between registries, so a version is made anew under the same model's name. MLflow's own number
may differ from ours, which the tag `keelway.version` holds. The receipt (`keelway.ENVIRONMENT.admission`) is written
last. Who moves an alias, and when, open-source MLflow does not record: its time of the last change is that of the
newest version.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.core import Digest
from keelway.engines.mlflow.tracker import NUMBER_TAG, MlflowTracker
from keelway.promote import AliasState, VersionCopy

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelway.promote import Registry

DIGEST_TAG = "keelway.digest"
ONNX_TAG = "keelway.onnx"


class MlflowRegistry(MlflowTracker):
    """A registry on an MLflow store or server.

    Args:
        uri: MLflow's registry URI, such as `sqlite:////path/mlflow.db` or `https://host`.
        artifact_root: Where MLflow believes artifacts to be; beside a SQLite file by default.
    """

    def __init__(self, uri: str, *, artifact_root: Path | None = None) -> None:
        super().__init__(uri, artifact_root=artifact_root)

    def show(self, copy: VersionCopy, *, alias: str, admission: Digest) -> str:
        """Copy a version where it is not there yet, let the alias show it, write the receipt, and return its link."""
        with self._client() as client:
            self._make_model(client, copy.model)
            number = _number_of(client, copy) or self._made(client, copy)
            client.set_registered_model_alias(copy.model, alias, number)
            client.set_model_version_tag(copy.model, number, f"keelway.{alias}.decision", copy.decision)
            client.set_model_version_tag(copy.model, number, _receipt(alias), admission)
            return f"models:/{copy.model}/{number}"

    def alias_state(self, model: str, alias: str) -> AliasState:
        """Return what an alias shows, and what MLflow knows of the last change."""
        with self._client() as client:
            registered = next(iter(client.search_registered_models(f"name = '{model}'", max_results=1)), None)
            if registered is None:
                return AliasState(None, {})
            versions = {str(one.version): one for one in client.search_model_versions(f"name = '{model}'")}
            shown = registered.aliases.get(alias)
            found = versions.get(str(shown)) if shown is not None else None
            receipts = {
                int(one.tags.get(NUMBER_TAG, 0)): Digest(one.tags[_receipt(alias)])
                for one in versions.values()
                if _receipt(alias) in one.tags
            }
            changed = registered.last_updated_timestamp
            return AliasState(
                number=None if shown is None else int(found.tags.get(NUMBER_TAG, 0)) if found else 0,
                receipts=receipts,
                changed_at=datetime.fromtimestamp(changed / 1000, UTC) if changed else None,
                changed_by=str(found.user_id or "") if found else "",
            )

    def _made(self, client: Any, copy: VersionCopy) -> str:
        made = client.create_model_version(
            copy.model,
            source=f"keelway:/{copy.onnx}",
            tags={**copy.lineage, DIGEST_TAG: copy.version_digest, NUMBER_TAG: str(copy.number), ONNX_TAG: copy.onnx},
        )
        return str(made.version)


def _number_of(client: Any, copy: VersionCopy) -> str:
    """Return MLflow's number of a version: of its copy, or of what registration itself had put there."""
    for known in client.search_model_versions(f"name = '{copy.model}'"):
        same = known.tags.get(NUMBER_TAG) == str(copy.number) and known.tags.get(ONNX_TAG) == copy.onnx
        if known.tags.get(DIGEST_TAG, copy.version_digest if same else "") == copy.version_digest:
            return str(known.version)
    return ""


def _receipt(alias: str) -> str:
    return f"keelway.{alias}.admission"


if TYPE_CHECKING:
    _: Callable[[str], Registry] = MlflowRegistry
