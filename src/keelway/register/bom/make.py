"""The bill of materials of a version: the model, the datasets it learned from and what was installed, in CycloneDX.

The layout is that of the CycloneDX specification 1.6 (ECMA-424) for machine learning: a component of type
`machine-learning-model` with a model card, one of type `data` for each dataset, one of type `library` for each package,
and which depends on which. Nothing in it comes from the machine or the moment, so the same records give the same bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from keelway.core import DIGEST_PREFIX, Digest, canonical_json, digest_of, time_text
from keelway.evaluate import Interval, Scorecard
from keelway.features import FeatureTable
from keelway.project import Card
from keelway.register.bom.records import PackageList
from keelway.register.records import ModelVersion
from keelway.snapshot import Snapshot
from keelway.train import TrainedModel

SPEC_VERSION = "1.6"
SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
"""The address is the schema's identifier; nothing is fetched from it."""
DIGITS = 9
TASKS = {"binary": "binary classification", "multiclass": "classification", "regression": "regression"}
PACKAGES = {"sklearn": "scikit-learn"}
"""Where a package is installed under another name than it is imported by."""


def bill_of(
    version: ModelVersion,
    trained: TrainedModel,
    scorecard: Scorecard,
    table: FeatureTable,
    *,
    snapshots: Mapping[str, Snapshot],
    packages: PackageList | None,
    card: Card,
) -> bytes:
    """Return the bill of a version as canonical JSON.

    Args:
        snapshots: The versions of the datasets, by dataset, where their records are there.
        packages: What was installed where it was trained, or None where that is not known.
        card: What people say of the model.
    """
    model = _reference("model", version.name)
    data = [_dataset(name, digest, snapshots.get(name)) for name, digest in sorted(table.snapshots.items())]
    libraries = list(_libraries(packages))
    return canonical_json(
        {
            "$schema": SCHEMA,
            "bomFormat": "CycloneDX",
            "specVersion": SPEC_VERSION,
            "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest_of(version))}",
            "version": 1,
            "metadata": {
                "timestamp": time_text(version.created_at),
                "tools": {"components": [_tool(packages)]},
                "component": _model(version, trained, scorecard, table, data, card),
            },
            "components": [*data, *libraries],
            "dependencies": _dependencies(model, data, libraries, trained),
        }
    )


def _model(
    version: ModelVersion,
    trained: TrainedModel,
    scorecard: Scorecard,
    table: FeatureTable,
    data: list[dict[str, Any]],
    card: Card,
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": _reference("model", version.name),
        "name": version.model,
        "version": version.semver,
        "authors": [{"name": version.author}],
        "hashes": [_hash(version.onnx)],
        "modelCard": _model_card(trained, scorecard, version, data, card),
        "properties": _properties(version, trained, table),
    }
    if card.summary:
        told["description"] = card.summary
    if card.license and card.license != "other":
        told["licenses"] = [{"license": {"name": card.license}}]
    elif card.license_name:
        told["licenses"] = [{"license": {"name": card.license_name, "url": card.license_link}}]
    return told


def _model_card(
    trained: TrainedModel, scorecard: Scorecard, version: ModelVersion, data: list[dict[str, Any]], card: Card
) -> dict[str, Any]:
    """Return what CycloneDX calls a model card: parameters, figures with their intervals, considerations."""
    parameters: dict[str, Any] = {
        "approach": {"type": "supervised"},
        "task": TASKS[trained.task],
        "architectureFamily": trained.factory.rpartition(".")[2],
        "modelArchitecture": trained.factory,
        "datasets": [{"ref": each["bom-ref"]} for each in data],
        "inputs": [{"format": f"{each.name}: {each.kind}"} for each in version.features],
        "outputs": [{"format": "a number" if trained.task == "regression" else "probability"}],
    }
    told: dict[str, Any] = {
        "modelParameters": parameters,
        "quantitativeAnalysis": {"performanceMetrics": list(_figures(scorecard))},
    }
    considerations = _considerations(scorecard, card)
    return {**told, "considerations": considerations} if considerations else told


def _figures(scorecard: Scorecard) -> Iterator[dict[str, Any]]:
    for name, figure in sorted(scorecard.metrics.items()):
        yield _figure(name, figure, f"test rows ({scorecard.rows})")
    for each in scorecard.slices:
        if each.enough and each.figure is not None:
            yield _figure(each.metric, each.figure, f"{each.column}={each.level} ({each.rows} rows)")


def _figure(name: str, figure: Interval, part: str) -> dict[str, Any]:
    bounds = {"lowerBound": _number(figure.low), "upperBound": _number(figure.high)}
    return {"type": name, "value": _number(figure.value), "slice": part, "confidenceInterval": bounds}


def _considerations(scorecard: Scorecard, card: Card) -> dict[str, Any]:
    fairness = [
        {"groupAtRisk": each.column, "harms": f"shares selected: {each.four_fifths} the four-fifths rule"}
        for each in scorecard.fairness
    ]
    told: dict[str, Any] = {
        "useCases": [text for text in (card.intended_use, card.downstream_use) if text],
        "technicalLimitations": [text for text in (card.limitations, card.out_of_scope, *scorecard.warnings) if text],
        "ethicalConsiderations": [{"name": card.recommendations}] if card.recommendations else [],
        "fairnessAssessments": fairness,
    }
    return {name: value for name, value in told.items() if value}


def _properties(version: ModelVersion, trained: TrainedModel, table: FeatureTable) -> list[dict[str, str]]:
    """Return what CycloneDX has no place for: the digests that lead on to the ledger."""
    told = {
        "version": version.name,
        "record": digest_of(version),
        "plan": version.plan or "",
        "pipeline": version.pipeline,
        "statement": version.statement,
        "trained": version.trained,
        "feature_table": version.feature_table,
        "feature_definition": table.definition,
        "environment": trained.code.environment_digest,
        "lock": trained.code.lock_digest,
        "commit": trained.code.commit,
        "seed": str(trained.seed),
        **{f"parameter:{name}": str(value) for name, value in sorted(trained.parameters.items())},
    }
    return [{"name": f"keelway:{name}", "value": value} for name, value in told.items() if value]


def _dataset(name: str, digest: Digest, snapshot: Snapshot | None) -> dict[str, Any]:
    """Return a dataset as a component; its hash is that of the version's record, which names every file."""
    told: dict[str, Any] = {
        "type": "data",
        "bom-ref": _reference("data", name),
        "name": name,
        "hashes": [_hash(digest)],
        "data": [{"type": "dataset", "name": name}],
        "properties": [{"name": "keelway:snapshot", "value": digest}],
    }
    if snapshot is not None:
        told["version"] = str(snapshot.number)
        told["properties"] += [
            {"name": "keelway:rows", "value": str(snapshot.rows)},
            {"name": "keelway:known_until", "value": time_text(snapshot.watermark)},
            {"name": "keelway:contract", "value": snapshot.contract},
        ]
    return told


def _libraries(packages: PackageList | None) -> Iterator[dict[str, Any]]:
    if packages is None:
        return
    yield {
        "type": "platform",
        "bom-ref": _reference("platform", "python"),
        "name": "python",
        "version": packages.python,
    }
    for name, version in sorted(packages.packages.items()):
        yield {
            "type": "library",
            "bom-ref": _reference("library", name),
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{quote(name, safe='.-')}@{quote(version, safe='.-')}",
        }


def _dependencies(
    model: str, data: list[dict[str, Any]], libraries: list[dict[str, Any]], trained: TrainedModel
) -> list[dict[str, Any]]:
    """Say that the model rests on its datasets, on Python and on the package of its estimator."""
    module = trained.factory.partition(".")[0]
    wanted = {_reference("platform", "python"), _reference("library", PACKAGES.get(module, module))}
    used = [each["bom-ref"] for each in data] + [each["bom-ref"] for each in libraries if each["bom-ref"] in wanted]
    return [{"ref": model, "dependsOn": sorted(used)}]


def _tool(packages: PackageList | None) -> dict[str, Any]:
    version = packages.packages.get("keelway", "") if packages else ""
    told = {"type": "application", "name": "keelway"}
    return {**told, "version": version} if version else told


def _hash(digest: Digest) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest.removeprefix(DIGEST_PREFIX)}


def _reference(kind: str, name: str) -> str:
    return f"{kind}/{name}"


def _number(value: float) -> str:
    return f"{value:.{DIGITS}g}"
