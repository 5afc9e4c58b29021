"""The places of trials in the layers of an environment, kept so that trials of several models do not collide."""

from __future__ import annotations

from datetime import datetime

from keelway.core import PointerMove
from keelway.deploy.buckets import BUCKETS
from keelway.deploy.layers import NOBODY, Allocation, Layer
from keelway.deploy.record import Deployment
from keelway.ledger.ports import Transaction


def layer_pointer(environment: str, name: str) -> str:
    """Return the name of the pointer to a layer as it is divided now."""
    return f"layer/{environment}/{name}"


def layer_of(environment: str, name: str, tx: Transaction) -> Layer:
    """Return a layer as it is divided now; one that nobody used yet is empty."""
    pointer = tx.pointer(layer_pointer(environment, name))
    return tx.by_digest(Layer, pointer.target) if pointer else Layer.of(name, {})


def experiment_name(model: str, rollout: str) -> str:
    """Return what a trial is called in a layer."""
    return f"{model}/{rollout}"


def take_place(
    environment: str,
    layer: str,
    experiment: str,
    percent: float,
    *,
    tx: Transaction,
    at: datetime,
    instead_of: str = "",
) -> tuple[Allocation, tuple[PointerMove, ...]]:
    """Give a trial its part of a layer; return its buckets, and the pointers that moved.

    Args:
        instead_of: A trial that gives its part back at once.

    Raises:
        UsageError: The layer has no room for it.
    """
    before = layer_of(environment, layer, tx)
    held = {name: part for name, part in _held(before).items() if name != instead_of}
    after = before.changed({**held, experiment: percent})
    return _buckets_of(after, experiment), _store(environment, after, tx=tx, at=at)


def give_back(deployment: Deployment, *, tx: Transaction, at: datetime) -> tuple[PointerMove, ...]:
    """Take a trial out of its layer; return the pointers that moved."""
    before = layer_of(deployment.environment, deployment.layer, tx)
    held = _held(before)
    held.pop(experiment_name(deployment.model, deployment.rollout), None)
    return _store(deployment.environment, before.changed(held), tx=tx, at=at)


def _held(layer: Layer) -> dict[str, float]:
    """Return which percent each trial holds."""
    counts = layer.allocation.counts()
    return {holder: count / BUCKETS * 100 for holder, count in counts.items() if holder != NOBODY}


def _buckets_of(layer: Layer, experiment: str) -> Allocation:
    """Return the buckets of one trial; all others are nobody's."""
    holders = tuple(holder if holder == experiment else NOBODY for holder in layer.allocation.holders)
    return Allocation(layer.allocation.salt, layer.allocation.starts, holders)


def _store(environment: str, layer: Layer, *, tx: Transaction, at: datetime) -> tuple[PointerMove, ...]:
    name = layer_pointer(environment, layer.name)
    pointer = tx.pointer(name)
    old = pointer.target if pointer else None
    place = f"{environment}/{layer.name}"
    new = tx.insert(f"{place}/{(pointer.revision if pointer else 0) + 1:06d}", layer, parent=place, at=at)
    if new == old:
        return ()
    tx.move(name, before=old, after=new, at=at)
    return (PointerMove(name, old, new),)
