"""Where personal data meets models: whose log is sealed, and whose entities are people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keelway.app.wire import Workspace
    from keelway.contract import Column
    from keelway.core import ArtifactStore
    from keelway.project import Model

Names = Callable[[Sequence[str]], list[str]]
"""Gives entities the names that they have in versions."""


def log_store(model: Model, *, at: Workspace) -> ArtifactStore:
    """Return where the predictions of a model are kept: sealed where its datasets name persons."""
    return at.personal.artifacts if _naming(model, at) else at.artifacts


def entity_names(model: Model, *, at: Workspace) -> Names | None:
    """Return what gives the people that a model speaks of their tokens; None where its entities are no people.

    What looks like a token is left as it is: it came from a version.
    """
    from keelway.privacy import is_token

    column = next((each for each in _naming(model, at) if each.name == model.entity and each.pii == "subject"), None)
    if column is None:
        return None

    def named(entities: Sequence[str]) -> list[str]:
        people = sorted({entity for entity in entities if not is_token(entity)})
        known = dict(zip(people, at.personal.tokens.tokens(people, column), strict=True)) if people else {}
        return [known.get(entity, entity) for entity in entities]

    return named


def _naming(model: Model, at: Workspace) -> list[Column]:
    from keelway.contract import load_contract

    return [
        column
        for dataset in model.datasets
        for column in load_contract(at.root / dataset.contract, dataset.name).pii_columns
    ]
