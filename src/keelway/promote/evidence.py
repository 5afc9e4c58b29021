"""Gathers the document that a gate's policy reads: plain JSON, from records that are followed by their digests.

docs/policies.md lists every field. What is unknown is left out or null, never made up: the policy engine refuses a
policy that asks for it. The document names the digests it came from, so a proof can walk from a decision to its data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keelway.core import DIRTY, Evidence, RunStarted, digest_of, plain, time_text
from keelway.errors import IntegrityError, MissingRecordError
from keelway.promote.lately import last_first
from keelway.promote.record import Admission, MoreEvidence, door, environment_pointer

if TYPE_CHECKING:
    from keelway.contract import Contract
    from keelway.core import ArtifactStore, CodeState, Digest
    from keelway.evaluate import Comparison, Fairness, Scorecard
    from keelway.features import FeatureTable
    from keelway.ledger import PublicKey
    from keelway.ledger.ports import Transaction
    from keelway.register import ModelVersion
    from keelway.snapshot import Snapshot
    from keelway.train import TrainedModel

RECENT_BATCHES = 30
"""The share of quarantined rows is that of so many newest batches of a dataset."""
UNKNOWN = ("card", "drift", "error_budget", "quality", "rollouts", "size")
"""Parts that are null until somebody records them; a rule that asks for one refuses."""
_DAY_S = 86_400
_STATUS = re.compile(r"^status:[ \t]*[\"']?([\w-]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """Whether a version's bytes and signed statement verify, and why not."""

    verified: bool
    reason: str = ""


def check_signature(version: ModelVersion, *, artifacts: ArtifactStore, public_key: PublicKey) -> SignatureCheck:
    """Return whether a version's signed statement and all its bytes verify; a missing one does not."""
    from keelway.register import check_version

    try:
        check_version(version, artifacts=artifacts, public_key=public_key)
    except (IntegrityError, MissingRecordError) as error:
        return SignatureCheck(False, str(error))
    return SignatureCheck(True)


def gather_evidence(
    version: ModelVersion,
    *,
    environment: str,
    tx: Transaction,
    signature: SignatureCheck,
    now: datetime,
    declared_risk: Digest | None = None,
    more: MoreEvidence | None = None,
) -> Evidence:
    """Return what is known about a version that somebody wants in an environment; null where nobody recorded it.

    Args:
        more: Tells what later steps of the lifecycle recorded, which this slice does not know: drift, quality.

    Raises:
        MissingRecordError: A record that the version rests on is not there.
    """
    from keelway.evaluate import Scorecard
    from keelway.features import FeatureTable
    from keelway.promote.checks import checks_evidence
    from keelway.promote.incidents import drills_evidence, incidents_evidence
    from keelway.promote.risk import risk_evidence
    from keelway.train import TrainedModel

    scorecard = tx.by_digest(Scorecard, version.scorecard)
    trained = tx.by_digest(TrainedModel, version.trained)
    table = tx.by_digest(FeatureTable, version.feature_table)
    later = dict(more(version, environment, tx, now)) if more else {}
    return {
        **dict.fromkeys(UNKNOWN),
        "environment": environment,
        "now": time_text(now),
        "version": _version_part(version, now),
        "author": version.author,
        "trainer": trainer_of(version, tx=tx),
        **_score_part(scorecard),
        "champion": {"compared": scorecard.champion, "live": _live(environment, version.model, tx)},
        **_trained_parts(trained),
        "features": {"definition": table.definition, "names": [column.name for column in version.features]},
        "parity": plain(version.parity),
        "snapshots": _snapshots_part(table, tx, now),
        "admissions": _admissions_part(version, tx, now),
        "incidents": incidents_evidence(version.model, tx=tx, now=now),
        "drills": drills_evidence(version.model, environment, tx=tx, now=now),
        "risk": risk_evidence(version.model, tx=tx, now=now, declared=declared_risk),
        **_register_part(version, tx),
        **checks_evidence(version, tx=tx, now=now),
        "signature": _signature_part(signature, later.pop("model_signing", None)),
        **later,
    }


def _signature_part(signature: SignatureCheck, exported: dict[str, Any] | None) -> dict[str, Any]:
    """Return whether bytes and statement verify, and what is known of the signature that left the house with a version."""
    return {
        "verified": signature.verified,
        "reason": signature.reason or "verified",
        "model_signing": exported,
    }


def _register_part(version: ModelVersion, tx: Transaction) -> dict[str, Any]:
    """Return what registration recorded beside a version: its bill of materials, and whether it was retired."""
    from keelway.register import bill_evidence, life_evidence

    return {"bom": bill_evidence(version, tx=tx), "lifecycle": life_evidence(version, tx=tx)}


def trainer_of(version: ModelVersion, *, tx: Transaction) -> str | None:
    """Return who started the run that made a version, or None where no run is recorded."""
    started = tx.find(RunStarted, version.run_id) if version.run_id else None
    return started.principal if started else None


def _version_part(version: ModelVersion, now: datetime) -> dict[str, Any]:
    return {
        "name": version.name,
        "model": version.model,
        "number": version.number,
        "semver": version.semver,
        "digest": digest_of(version),
        "onnx": version.onnx,
        "statement": version.statement,
        "run_id": version.run_id,
        "created_at": time_text(version.created_at),
        "age_days": _days(version.created_at, now),
    }


def _score_part(scorecard: Scorecard) -> dict[str, Any]:
    return {
        "evaluation": {
            "scorecard": digest_of(scorecard),
            "rows": scorecard.rows,
            "positives": scorecard.positives,
            "test_as_of": time_text(scorecard.test_as_of),
        },
        "metrics": plain(scorecard.metrics),
        "trivial": plain(scorecard.trivial),
        "versus_trivial": _comparison_part(scorecard.versus_trivial),
        "versus_champion": _comparison_part(scorecard.versus_champion),
        "fairness": {each.column: _fairness_part(each) for each in scorecard.fairness},
        "calibration": _without(plain(scorecard.calibration), "bins") if scorecard.calibration else None,
        "slices": _slices_part(scorecard),
    }


def _comparison_part(found: Comparison | None) -> dict[str, Any] | None:
    """Return a comparison with what it may lose, by the end of the interval that speaks against it."""
    from keelway.evaluate import greater_is_better

    if found is None:
        return None
    loss = -found.difference.low if greater_is_better(found.metric) else found.difference.high
    return {**plain(found), "worst_loss": loss}


def _slices_part(scorecard: Scorecard) -> dict[str, Any]:
    """Return, by column, on how many slices the version was judged, and on how many it is worse than on the rest."""
    part: dict[str, Any] = {}
    for column in dict.fromkeys(each.column for each in scorecard.slices):
        found = [each for each in scorecard.slices if each.column == column]
        worse = [each for each in found if each.verdict == "worse"]
        worst = min(worse, key=lambda each: each.p_value, default=None)
        part[column] = {
            "judged": sum(each.enough for each in found),
            "too_few_rows": sum(not each.enough for each in found),
            "worse": len(worse),
            "worst": worst.level if worst else None,
        }
    return part


def _without(part: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in names}


def _fairness_part(found: Fairness) -> dict[str, Any]:
    """Return how evenly decisions fell on the groups of one column, without the figures of each group."""
    return _without(plain(found), "column", "groups")


def _trained_parts(trained: TrainedModel) -> dict[str, Any]:
    """Return how a version was trained, and by which code."""
    return {"training": _training_part(trained), "code": _code_part(trained.code)}


def _training_part(trained: TrainedModel) -> dict[str, Any]:
    return {
        "trained": digest_of(trained),
        "estimator": trained.estimator,
        "rows": trained.train_rows,
        "overlap_days": trained.overlap_days,
        "as_ofs": [time_text(moment) for moment in trained.train_as_ofs],
        "seed": trained.seed,
    }


def _code_part(code: CodeState) -> dict[str, Any]:
    """Return what was executed; whether files differed from the commit is null where there is no commit."""
    return {
        "project": code.project_digest,
        "environment": code.environment_digest,
        "lock": code.lock_digest,
        "commit": code.commit.removesuffix(DIRTY),
        "dirty": code.dirty if code.commit else None,
        "difference": code.diff_digest,
    }


def _snapshots_part(table: FeatureTable, tx: Transaction, now: datetime) -> dict[str, Any]:
    from keelway.snapshot import Snapshot

    return {
        dataset: _snapshot_part(tx.by_digest(Snapshot, digest), digest, tx, now)
        for dataset, digest in sorted(table.snapshots.items())
    }


def _snapshot_part(snapshot: Snapshot, digest: Digest, tx: Transaction, now: datetime) -> dict[str, Any]:
    rows_in, quarantined, batches = _recent_batches(snapshot, tx)
    return {
        "digest": digest,
        "number": snapshot.number,
        "rows": snapshot.rows,
        "contract": snapshot.contract,
        "known_until": time_text(snapshot.watermark),
        "age_days": _days(snapshot.watermark, now),
        "batches": batches,
        "rows_in": rows_in,
        "rows_quarantined": quarantined,
        "quarantined_share": quarantined / rows_in if rows_in else None,
        **_contract_part(snapshot, tx),
    }


def _contract_part(snapshot: Snapshot, tx: Transaction) -> dict[str, Any]:
    """Return which contract checked a snapshot, what its file calls it, and whether newer data has the same one."""
    from keelway.contract import CheckedBatch
    from keelway.snapshot import newest

    checked = tx.by_digest(CheckedBatch, snapshot.checked)
    last = newest(snapshot.dataset, tx=tx)
    current = tx.by_digest(CheckedBatch, last.checked).contract if last else checked.contract
    return {
        "contract_version": checked.contract_version,
        "contract_status": _status(_contract(checked.contract, tx)),
        "contract_current": current == checked.contract,
    }


def _contract(digest: Digest, tx: Transaction) -> Contract | None:
    from keelway.contract import Contract

    try:
        return tx.by_digest(Contract, digest)
    except MissingRecordError:
        return None


def _status(contract: Contract | None) -> str | None:
    """Return the `status` of the Open Data Contract Standard, such as `active`; None where the file has none."""
    found = _STATUS.search(contract.text) if contract else None
    return found.group(1) if found else None


def _recent_batches(snapshot: Snapshot, tx: Transaction) -> tuple[int, int, int]:
    """Return rows read, rows quarantined and the number of batches among the newest ones."""
    from keelway.contract import CheckedBatch
    from keelway.snapshot import Snapshot

    rows_in = quarantined = batches = 0
    current: Snapshot | None = snapshot
    while current is not None and batches < RECENT_BATCHES:
        checked = tx.by_digest(CheckedBatch, current.checked)
        rows_in += checked.rows_in
        quarantined += checked.rows_quarantined
        batches += 1
        current = tx.by_digest(Snapshot, current.parent) if current.parent else None
    return rows_in, quarantined, batches


def _admissions_part(version: ModelVersion, tx: Transaction, now: datetime) -> dict[str, Any]:
    """Return where these very bytes were admitted, by environment."""
    places = {pointer.name.split("/")[1] for pointer in tx.pointers(prefix="environment/")}
    found = {place: admitted(version, place, tx) for place in sorted(places)}
    return {
        place: {"admission": digest_of(entry), "at": time_text(entry.at), "age_days": _days(entry.at, now)}
        for place, entry in found.items()
        if entry is not None
    }


def admitted(version: ModelVersion, environment: str, tx: Transaction) -> Admission | None:
    """Return the newest admission of exactly this version to an environment, past no gate, or None."""
    digest = digest_of(version)
    entries = last_first(Admission, parent=door(environment, version.name), tx=tx)
    regular = (entry for entry in entries if entry.version_digest == digest and entry.unsafe is None)
    return next((entry for entry in regular if entry.verdict.allowed), None)


def _live(environment: str, model: str, tx: Transaction) -> str:
    """Return the name of the version that is live in an environment, or empty text."""
    from keelway.register import ModelVersion

    pointer = tx.pointer(environment_pointer(environment, model))
    return tx.by_digest(ModelVersion, pointer.target).name if pointer else ""


def _days(then: datetime, now: datetime) -> float:
    return round((now - then).total_seconds() / _DAY_S, 3)
