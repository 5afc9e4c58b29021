"""Make a trained model a numbered, signed version.

The order makes a crash harmless: bytes first (they are named by their digest), then the tracker (idempotent by tag), then one
transaction with the version and its ledger entry. Whatever is cut short is done again by the next call.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from keelway.core import (
    Action,
    ArtifactKind,
    ArtifactStore,
    Decision,
    Digest,
    PrincipalId,
    RunId,
    digest_of,
    version_name,
)
from keelway.errors import ConflictError, UsageError
from keelway.evaluate import Scorecard
from keelway.features import FeatureTable
from keelway.ledger import SigningKey, StateStore, Transaction, provenance, record_decision, sign_statement
from keelway.project import Model
from keelway.register.bom import BillDraft, draft_bill, record_bill
from keelway.register.export import ExportedForms, exported_forms
from keelway.register.load import newest_version, plan_subject
from keelway.register.records import ModelVersion
from keelway.register.semver import Candidate, Proposal, propose
from keelway.train import Tracker, TrainedModel, member_pipelines
from keelway.train.tracking import show_training

BUILD_TYPE = "https://keelway.dev/build/training/v1"
BUILDER = "https://keelway.dev/principal/"
"""Both are identifiers, as SLSA asks for, and no addresses: nothing need be served there, and nothing is fetched."""


def register(
    scorecard: Scorecard,
    trained: TrainedModel,
    *,
    model: Model,
    run_id: RunId,
    artifacts: ArtifactStore,
    state: StateStore,
    tracker: Tracker,
    key: SigningKey,
    actor: PrincipalId,
    now: datetime,
) -> ModelVersion:
    """Register a trained model; registering it again returns the version it has.

    Raises:
        UsageError: The scorecard is of another trained model.
        RefusedError: The exported model differs from the trained one. A plan that does is left out, and the version says why.
        ConflictError: Somebody registered another version meanwhile; call again.
    """
    if scorecard.trained != digest_of(trained):
        raise UsageError("The scorecard is of another model", expected=digest_of(trained), found=scorecard.trained)
    with state.snapshot() as tx:
        known = _version_of(trained, tx)
        table = tx.by_digest(FeatureTable, trained.feature_table)
        place = _next(trained, table, tx)
    if known is not None:
        return known
    exported = exported_forms(trained, table, model=model, artifacts=artifacts)
    draft = _draft(scorecard, trained, table, place=place, exported=exported, run_id=run_id, actor=actor, now=now)
    return _published(draft, trained, table, model, artifacts=artifacts, state=state, tracker=tracker, key=key)


def proposal_of(version: ModelVersion, *, tx: Transaction) -> Proposal:
    """Return why a version has its semantic version, as its records and those of the version before tell it."""
    if version.number == 1:
        return propose(None, None, _candidate(version, tx))
    before = tx.get(ModelVersion, version_name(version.model, version.number - 1))
    return propose(before, _candidate(before, tx), _candidate(version, tx))


def _candidate(version: ModelVersion, tx: Transaction) -> Candidate:
    table = tx.by_digest(FeatureTable, version.feature_table)
    return Candidate(tx.by_digest(TrainedModel, version.trained), version.entity, table.definition)


def _next(trained: TrainedModel, table: FeatureTable, tx: Transaction) -> tuple[int, str]:
    """Return the number and the semantic version that a new version gets."""
    newest = newest_version(trained.model, tx)
    candidate = Candidate(trained, table.entity, table.definition)
    before = _candidate(newest, tx) if newest is not None else None
    return (newest.number if newest else 0) + 1, propose(newest, before, candidate).semver


def _draft(
    scorecard: Scorecard,
    trained: TrainedModel,
    table: FeatureTable,
    *,
    place: tuple[int, str],
    exported: ExportedForms,
    run_id: RunId,
    actor: PrincipalId,
    now: datetime,
) -> ModelVersion:
    """Return the version before it is signed and shown anywhere."""
    number, semver = place
    return ModelVersion(
        name=version_name(trained.model, number),
        model=trained.model,
        number=number,
        semver=semver,
        onnx=exported.onnx,
        pipeline=trained.pipeline,
        features=trained.features,
        entity=table.entity,
        parity=exported.parity,
        trained=digest_of(trained),
        scorecard=digest_of(scorecard),
        feature_table=trained.feature_table,
        profile=trained.profile,
        run_id=run_id,
        author=actor,
        created_at=now,
        statement=exported.onnx,  # until it is signed
        registry_link="",
        task=trained.task,
        classes=trained.classes,
        plan=exported.plan,
        plan_parity=exported.plan_parity,
        no_plan=exported.no_plan,
    )


def _published(
    draft: ModelVersion,
    trained: TrainedModel,
    table: FeatureTable,
    model: Model,
    *,
    artifacts: ArtifactStore,
    state: StateStore,
    tracker: Tracker,
    key: SigningKey,
) -> ModelVersion:
    """Sign a version, show it in the tracker, store its bill of materials and record it, in that order."""
    signed = replace(draft, statement=_signed(draft, trained, table, artifacts=artifacts, key=key))
    tags = {"keelway.key": signed.trained, "keelway.onnx": signed.onnx, "keelway.semver": signed.semver}
    run = show_training(signed.trained, state=state, artifacts=artifacts, tracker=tracker)
    link = tracker.register_version(signed.model, signed.number, run, tags)
    final = replace(signed, registry_link=link)
    with state.snapshot() as tx:
        bill = draft_bill(final, card=model.card, artifacts=artifacts, tx=tx)
    return _record(final, bill, state=state)


def _signed(
    version: ModelVersion, trained: TrainedModel, table: FeatureTable, *, artifacts: ArtifactStore, key: SigningKey
) -> Digest:
    """Return the digest of the signed statement that says what the version was built from."""
    told = provenance(
        version.name,
        version.onnx,
        build_type=BUILD_TYPE,
        parameters={
            "estimator": trained.factory,
            "parameters": trained.parameters,
            "seed": trained.seed,
            "run": version.run_id,
            "semver": version.semver,
            "commit": trained.code.commit,
        },
        dependencies={
            "trained": version.trained,
            "pipeline": version.pipeline,
            **_members(version, artifacts),
            "scorecard": version.scorecard,
            "feature_table": version.feature_table,
            "project": trained.code.project_digest,
            "environment": trained.code.environment_digest,
            **{f"snapshot/{name}": digest for name, digest in table.snapshots.items()},
        },
        builder=f"{BUILDER}{version.author}",
        started=version.created_at,
        finished=version.created_at,
        also=plan_subject(version),
    )
    return artifacts.put(sign_statement(told, key=key), kind=ArtifactKind.RECORD, name=f"{version.name}.dsse").digest


def _members(version: ModelVersion, artifacts: ArtifactStore) -> dict[str, Digest]:
    """Return the pipelines of an ensemble's members, by the name they have in the statement."""
    found = member_pipelines(version.pipeline, artifacts=artifacts)
    return {f"pipeline/{name}": digest for name, digest in found.items()}


def _record(version: ModelVersion, bill: BillDraft, *, state: StateStore) -> ModelVersion:
    """Store the version with its bill of materials and its ledger entry, all or nothing."""
    with state.transaction() as tx:
        newest = newest_version(version.model, tx)
        if newest is not None and newest.trained == version.trained:  # somebody else was faster
            return newest
        if (newest.number if newest else 0) != version.number - 1:
            raise ConflictError(
                "Another version was registered meanwhile",
                expected=f"{version.name} to be free",
                found=newest.name if newest else "no version",
                fix="Register again.",
            )
        digest = tx.insert(version.name, version, parent=version.model, at=version.created_at)
        record_decision(
            Decision(
                action=Action.REGISTER,
                subject=version.name,
                allowed=True,
                principal=version.author,
                at=version.created_at,
                evidence={
                    "version": digest,
                    "trained": version.trained,
                    "scorecard": version.scorecard,
                    "statement": version.statement,
                    "bom": record_bill(bill, tx=tx),
                },
            ),
            tx=tx,
        )
    return version


def _version_of(trained: TrainedModel, tx: Transaction) -> ModelVersion | None:
    """Return the version that a trained model has, or None."""
    wanted = digest_of(trained)
    return next((each for each in tx.newest(ModelVersion, parent=trained.model) if each.trained == wanted), None)
