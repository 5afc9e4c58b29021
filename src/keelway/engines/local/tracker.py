"""The tracker of a project that uses none: it keeps nothing, and everything works without it."""

# ruff: noqa: ARG002  (the port names its arguments; nothing is done with them)

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from keelway.core import Digest, Scalar

if TYPE_CHECKING:
    from keelway.train import Tracker


class NoTracker:
    """Keeps nothing; every id and link is empty, and no alias is ever set."""

    def record_training(
        self,
        experiment: str,
        *,
        name: str,
        parameters: Mapping[str, Scalar],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        dataset_digest: Digest,
        signature_json: str,
        artifacts: Mapping[str, Digest],
    ) -> str:
        """Keep nothing."""
        return ""

    def log_metrics(self, run: str, metrics: Mapping[str, float]) -> None:
        """Keep nothing."""

    def register_version(self, model: str, number: int, run: str, tags: Mapping[str, str]) -> str:
        """Keep nothing."""
        return ""

    def set_alias(self, model: str, alias: str, number: int) -> None:
        """Keep nothing."""

    def alias_of(self, model: str, alias: str) -> int | None:
        """Return None: there are no aliases here."""
        return None


if TYPE_CHECKING:
    _: Tracker = NoTracker()
