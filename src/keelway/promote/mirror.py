"""Mirrors: registries show what the environments' pointers hold, and are compared with them.

An alias that does not show the pointer was either left behind, because the registry was down when the pointer moved,
or edited past the door: the registry holds the receipt that it once showed this admission, and shows another now.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, PrincipalId, canonical_json, digest_of, time_text
from keelway.errors import KeelwayError
from keelway.ledger import record_decision
from keelway.promote.admission import newest_admission, standing_admission
from keelway.promote.lately import newest_first
from keelway.promote.ports import AliasState, Registry, VersionCopy
from keelway.promote.record import Approval, environment_pointer

if TYPE_CHECKING:
    from keelway.core import Digest
    from keelway.ledger.ports import StateStore, Transaction
    from keelway.promote.ports import AliasKeeper
    from keelway.promote.record import Admission
    from keelway.register import ModelVersion

_LOG = logging.getLogger(__name__)
AGAIN_AFTER = timedelta(days=1)
"""An alias that stays edited raises its alert again after so long."""


@dataclass(frozen=True, slots=True)
class AliasDrift:
    """A registry's alias that does not show what the environment's pointer holds.

    Attributes:
        expected: The number of the version that the pointer holds; 0 where it holds none.
        found: The number that the alias shows; 0 for a version Keelway did not put there, None for no alias.
        edited: Whether somebody moved it past the door; otherwise it was left behind, and moving it heals it.
        reason: Why it could not be read, or empty.
        writers: Who could have done it, as the settings name those with access to the registry.
        changed_at: When the registry says that the model was changed last; None where it does not tell.
        changed_by: By whom; empty where it does not tell.
    """

    environment: str
    model: str
    expected: int
    found: int | None
    reason: str = ""
    edited: bool = False
    writers: tuple[str, ...] = ()
    changed_at: datetime | None = None
    changed_by: str = ""


@dataclass(frozen=True, slots=True)
class AliasAlert:
    """Somebody was told that an alias was edited past the door.

    Attributes:
        expected: The number of the version that the pointer held.
        found: The number that the alias showed.
    """

    environment: str
    model: str
    expected: int
    found: int | None
    writers: tuple[str, ...]
    at: datetime


def mirror(version: ModelVersion, admission: Admission, *, registry: AliasKeeper, state: StateStore) -> bool:
    """Let a registry show the pointer, and say whether it does; one that is down stops no promotion."""
    try:
        if isinstance(registry, Registry):
            with state.snapshot() as tx:
                copy = version_copy(version, admission, tx=tx)
            registry.show(copy, alias=admission.environment, admission=digest_of(admission))
        else:
            registry.set_alias(version.model, admission.environment, version.number)
    except KeelwayError as error:
        _LOG.warning("The registry's alias %s of %s was not moved: %s", admission.environment, version.model, error)
        return False
    return True


def show_pointer(model: str, environment: str, *, registry: AliasKeeper, state: StateStore) -> bool:
    """Let a registry show what an environment's pointer holds now, and say whether it does."""
    with state.snapshot() as tx:
        version, admission = _held(environment, model, tx)
    if version is None or admission is None:
        return False
    return mirror(version, admission, registry=registry, state=state)


def version_copy(version: ModelVersion, admission: Admission, *, tx: Transaction) -> VersionCopy:
    """Return a version as another registry shows it: with its lineage, and the decision that let it in."""
    from keelway.features import FeatureTable

    table = tx.by_digest(FeatureTable, version.feature_table)
    wanted = digest_of(admission)
    entries = newest_first(Decision, parent=version.name, tx=tx)
    decision = next((one for one in entries if one.evidence.get("admission") == wanted), None)
    lineage = {
        "keelway.name": version.name,
        "keelway.semver": version.semver,
        "keelway.onnx": version.onnx,
        "keelway.statement": version.statement,
        "keelway.author": version.author,
        "keelway.run": version.run_id,
        "keelway.trained": version.trained,
        "keelway.scorecard": version.scorecard,
        "keelway.feature_table": version.feature_table,
        "keelway.source": version.registry_link,
        **{f"keelway.snapshot.{name}": digest for name, digest in sorted(table.snapshots.items())},
    }
    told = {
        "action": str(decision.action) if decision else None,
        "decision": digest_of(decision) if decision else None,
        "evidence": admission.evidence,
        "policy": admission.verdict.policy_digest,
        "by": admission.principal,
        "at": time_text(admission.at),
        "approved_by": sorted(tx.by_digest(Approval, digest).principal for digest in admission.approvals),
    }
    given = {name: text for name, text in lineage.items() if text}
    return VersionCopy(
        version.model, version.number, digest_of(version), version.onnx, given, canonical_json(told).decode()
    )


def alias_drift(
    tx: Transaction,
    *,
    tracker: AliasKeeper,
    registries: Mapping[str, AliasKeeper] | None = None,
    writers: Mapping[str, tuple[str, ...]] | None = None,
    models: Iterable[str] = (),
) -> tuple[AliasDrift, ...]:
    """Return the aliases that do not show the pointers: left behind, or edited past the door.

    A tracker that keeps no versions at all (`NoTracker` answers None everywhere) shows as drift: ask only a real one.

    Args:
        tracker: The registry of the environments that have none of their own.
        registries: The registries of environments, by name.
        writers: Who has access to the registry of an environment, by its name.
        models: Models to look at besides those that some environment holds, for aliases that should not be there.
    """
    own = registries or {}
    held = [pointer.name.split("/", 2)[1:] for pointer in tx.pointers(prefix="environment/")]
    places = {(environment, model) for environment, model in held}
    places |= {(environment, model) for environment in own for model in models}
    drifted = (
        _drift(environment, model, own.get(environment, tracker), (writers or {}).get(environment, ()), tx)
        for environment, model in sorted(places)
    )
    return tuple(one for one in drifted if one is not None)


def heal_aliases(
    drifted: Iterable[AliasDrift], *, tracker: AliasKeeper, registries: Mapping[str, AliasKeeper], state: StateStore
) -> tuple[AliasDrift, ...]:
    """Let the registries show the pointers again, and return those aliases that could not be moved.

    An alias of an environment that holds no version of the model is taken away.
    """
    left = []
    for one in drifted:
        registry = registries.get(one.environment, tracker)
        healed = show_pointer(one.model, one.environment, registry=registry, state=state)
        if not healed and not (one.expected == 0 and _taken_away(one, registry, state)):
            left.append(one)
    return tuple(left)


def _taken_away(one: AliasDrift, registry: AliasKeeper, state: StateStore) -> bool:
    """Take away an alias that shows what nobody let in, and say whether it is gone; the pointer is asked again before."""
    with state.snapshot() as tx:
        version, _ = _held(one.environment, one.model, tx)
    if version is not None:
        return False
    try:
        registry.remove_alias(one.model, one.environment)
    except KeelwayError as error:
        _LOG.warning("The registry's alias %s of %s was not taken away: %s", one.environment, one.model, error)
        return False
    return True


def alert_drift(
    drifted: Iterable[AliasDrift], *, principal: PrincipalId, state: StateStore, now: datetime
) -> tuple[AliasDrift, ...]:
    """Record an alert for each alias that was edited past the door, once a day while it stands; return the new ones."""
    raised = []
    for one in drifted:
        parent = f"alias/{one.environment}/{one.model}"
        with state.transaction() as tx:
            last = tx.newest(AliasAlert, parent=parent, limit=1)
            same = last and (last[0].expected, last[0].found) == (one.expected, one.found)
            if not one.edited or (same and now - last[0].at < AGAIN_AFTER):
                continue
            alert = AliasAlert(one.environment, one.model, one.expected, one.found, one.writers, now)
            key = f"{parent}/{tx.count(AliasAlert, parent=parent) + 1}"
            record_decision(_told(alert, tx.insert(key, alert, parent=parent, at=now), principal), tx=tx)
        raised.append(one)
    return tuple(raised)


def _drift(
    environment: str, model: str, registry: AliasKeeper, writers: tuple[str, ...], tx: Transaction
) -> AliasDrift | None:
    version, admission = _held(environment, model, tx)
    expected = version.number if version else 0
    try:
        shown = _shown(registry, model, environment)
    except KeelwayError as error:
        return AliasDrift(environment, model, expected, None, str(error), writers=writers)
    if shown.number == (version.number if version else None):
        return None
    edited = _edited(shown, version, admission, environment, model, tx)
    return AliasDrift(
        environment,
        model,
        expected,
        shown.number,
        edited=edited,
        writers=writers,
        changed_at=shown.changed_at,
        changed_by=shown.changed_by,
    )


def _shown(registry: AliasKeeper, model: str, alias: str) -> AliasState:
    if isinstance(registry, Registry):
        return registry.alias_state(model, alias)
    return AliasState(registry.alias_of(model, alias), {})


def _edited(
    shown: AliasState,
    version: ModelVersion | None,
    admission: Admission | None,
    environment: str,
    model: str,
    tx: Transaction,
) -> bool:
    """Say whether an alias was moved past the door: what should be shown was shown, or what is shown never got in."""
    if version is not None and admission is not None and shown.receipts.get(version.number) == digest_of(admission):
        return True
    if shown.number is None:
        return False
    return shown.number == 0 or not _ever_in(environment, model, shown.number, tx)


def _ever_in(environment: str, model: str, number: int, tx: Transaction) -> bool:
    from keelway.register import ModelVersion

    found = tx.find(ModelVersion, f"{model}:{number}")
    return found is not None and newest_admission(found, environment, tx=tx) is not None


def _held(environment: str, model: str, tx: Transaction) -> tuple[ModelVersion | None, Admission | None]:
    from keelway.register import ModelVersion

    pointer = tx.pointer(environment_pointer(environment, model))
    if pointer is None:
        return None, None
    return tx.by_digest(ModelVersion, pointer.target), standing_admission(model, environment, tx=tx)


def _told(alert: AliasAlert, digest: Digest, principal: PrincipalId) -> Decision:
    writers = f"; who has access: {', '.join(alert.writers)}" if alert.writers else ""
    return Decision(
        action=Action.ALERT,
        subject=alert.model,
        allowed=True,
        principal=principal,
        at=alert.at,
        evidence={"alert": digest},
        environment=alert.environment,
        comment=f"the alias {alert.environment} was edited: it shows {alert.found}, not {alert.expected}{writers}",
    )
