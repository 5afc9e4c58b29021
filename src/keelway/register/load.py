"""Find model versions and load them: nothing is returned before digest and signature are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keelway.core import DIGEST_PREFIX, ArtifactStore, Digest, VersionName, digest_of, split_version
from keelway.errors import IntegrityError, MissingRecordError, ServingError
from keelway.ledger import PublicKey, Transaction, open_statement
from keelway.register.records import ModelVersion
from keelway.train import TrainedModel, member_pipelines

if TYPE_CHECKING:
    from keelway.register.onnx_model import OnnxModel
    from keelway.register.onnx_scorer import OnnxScorer
    from keelway.register.pipeline_model import PipelineModel
    from keelway.register.plan import PlanScorer


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
    """Return the exported model of a version, once all its forms are checked.

    Raises:
        IntegrityError: A form is altered, or no statement that the key signed is about this version and its forms.
        MissingRecordError: A form or the statement is gone.
    """
    _check_forms(version, artifacts=artifacts, public_key=public_key)
    return artifacts.get(version.onnx)


def load_plan(version: ModelVersion, *, artifacts: ArtifactStore, public_key: PublicKey) -> bytes | None:
    """Return the compiled plan of a version, or None where it has none; raises as `load_onnx`."""
    _check_forms(version, artifacts=artifacts, public_key=public_key)
    return None if version.plan is None else artifacts.get(version.plan)


def load_served(version: ModelVersion, *, artifacts: ArtifactStore, public_key: PublicKey) -> bytes:
    """Return the bytes that answer requests for a version: its plan, or else the exported model.

    The form that does not answer is checked too; raises as `load_onnx`.
    """
    _check_forms(version, artifacts=artifacts, public_key=public_key)
    return artifacts.get(version.served)


def scorer_of(version: ModelVersion, data: bytes) -> PlanScorer | OnnxScorer:
    """Return the scorer of a version from what `load_served` gave.

    Raises:
        IntegrityError: The bytes are of another kind, or of a model with other features, classes or task.
    """
    from keelway.register.onnx_model import OnnxModel
    from keelway.register.onnx_scorer import OnnxScorer
    from keelway.register.plan import PlanScorer, read_plan

    if version.served_form == "python":
        raise ServingError(
            f"{version.name} answers only in a process of its own",
            expected="a plan or an exported model",
            found="a model that is served as Python",
        )
    if version.plan is None:
        return OnnxScorer(OnnxModel(data, version.features), task=version.task, classes=version.classes)
    plan = read_plan(data)
    told = (plan.head.features, plan.head.task, plan.head.classes)
    if told != (version.features, version.task, version.classes):
        raise IntegrityError(
            f"The plan of {version.name} is of another model",
            expected=f"{version.task}: {', '.join(each.name for each in version.features)}",
            found=f"{plan.head.task}: {', '.join(each.name for each in plan.head.features)}",
        )
    return PlanScorer(plan)


def load_scorer(version: ModelVersion, *, artifacts: ArtifactStore, public_key: PublicKey) -> PlanScorer | OnnxScorer:
    """Return the scorer of a version, its bytes and signature checked; raises as `load_served` and `scorer_of`.

    A version that is served as Python answers in this process, so a server does not load it so.
    """
    from keelway.register.onnx_scorer import OnnxScorer

    if version.served_form == "python":
        _check_forms(version, artifacts=artifacts, public_key=public_key)
        model = _pipeline_model(version, artifacts)
        return OnnxScorer(model, task=version.task, classes=version.classes)
    return scorer_of(version, load_served(version, artifacts=artifacts, public_key=public_key))


def plan_subject(version: ModelVersion) -> dict[str, Digest]:
    """Return the plan of a version by the name it has in the signed statement; empty where there is none."""
    return {} if version.plan is None else {f"{version.name}/plan": version.plan}


def check_version(version: ModelVersion, *, artifacts: ArtifactStore, public_key: PublicKey) -> None:
    """Refuse a version unless every byte it consists of is what was signed: statement, exported model, pipelines.

    Raises:
        IntegrityError: Something is altered, or is not what the signed statement names.
        MissingRecordError: Something is gone.
    """
    told = _check_forms(version, artifacts=artifacts, public_key=public_key)
    members = member_pipelines(version.pipeline, artifacts=artifacts)
    named = {f"pipeline/{name}": digest for name, digest in members.items()}
    signed = _signed_digests(told)
    for what, digest in {"trained": version.trained, "pipeline": version.pipeline, **named}.items():
        if signed.get(what) != digest:
            raise IntegrityError(
                f"The signed statement of {version.name} names another {what}",
                expected=digest,
                found=signed.get(what, "none"),
                fix="Do not use this version; run `keelway audit`.",
            )
    for digest in members.values():
        artifacts.path_of(digest)


def check_if_registered(
    trained: TrainedModel, *, tx: Transaction, artifacts: ArtifactStore, public_key: PublicKey
) -> None:
    """Check the versions that a training was registered as; one that never was has no signature to check.

    Raises:
        IntegrityError: As `check_version`.
        MissingRecordError: As `check_version`.
    """
    mine = digest_of(trained)
    for version in tx.newest(ModelVersion, parent=trained.model):
        if version.trained == mine:
            check_version(version, artifacts=artifacts, public_key=public_key)


def statement_about(version: ModelVersion, envelope: bytes, *, key: PublicKey) -> dict[str, Any]:
    """Return the statement in an envelope, signed by the key and about a version, its exported model and its plan.

    Raises:
        IntegrityError: It is not.
    """
    told = open_statement(envelope, key=key)
    subjects = {version.name: version.onnx, **plan_subject(version)}
    expected = [
        {"name": name, "digest": {"sha256": digest.removeprefix(DIGEST_PREFIX)}} for name, digest in subjects.items()
    ]
    if told.get("subject") != expected:
        raise IntegrityError(
            f"The signed statement of {version.name} is about something else",
            expected=str(expected),
            found=str(told.get("subject")),
            fix="Do not use this version; run `keelway audit`.",
        )
    return told


def _check_forms(version: ModelVersion, *, artifacts: ArtifactStore, public_key: PublicKey) -> dict[str, Any]:
    """Return the signed statement of a version, once every form of it that the statement is about is as it was signed."""
    told = statement_about(version, artifacts.get(version.statement), key=public_key)
    for digest in {version.onnx, version.served}:
        artifacts.path_of(digest)
    return told


def _signed_digests(told: Mapping[str, Any]) -> dict[str, str]:
    """Return what a statement says the version was built from, by name."""
    try:
        used = told["predicate"]["buildDefinition"]["resolvedDependencies"]
        return {each["name"]: DIGEST_PREFIX + each["digest"]["sha256"] for each in used}
    except (KeyError, TypeError) as error:
        raise IntegrityError(
            "A signed statement is malformed", expected="SLSA provenance", found=repr(error)
        ) from error


@dataclass(frozen=True, slots=True)
class ChampionScorer:
    """A checked version that scores columns of features, under its name."""

    name: VersionName
    model: OnnxModel | PipelineModel

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> list[Any]:
        """Return a prediction for each row: a probability, a number, or a probability for each class."""
        found: list[Any] = self.model.predictions(columns).tolist()
        return found


def champion_scorer(version: ModelVersion, *, artifacts: ArtifactStore, public_key: PublicKey) -> ChampionScorer:
    """Return a version as a rival to compare with, its bytes and signature checked."""
    from keelway.register.onnx_model import OnnxModel

    data = load_onnx(version, artifacts=artifacts, public_key=public_key)
    if version.served_form == "python":
        return ChampionScorer(version.name, _pipeline_model(version, artifacts))
    return ChampionScorer(version.name, OnnxModel(data, version.features))


def _pipeline_model(version: ModelVersion, artifacts: ArtifactStore) -> PipelineModel:
    from keelway.register.pipeline_model import PipelineModel
    from keelway.train import load_pipeline

    return PipelineModel(load_pipeline(version.pipeline, artifacts=artifacts), version.features, task=version.task)
