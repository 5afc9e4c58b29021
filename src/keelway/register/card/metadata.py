"""The front matter of a card, in Hugging Face's layout of model card metadata, `model-index` included.

Keys come in the order of that specification; what nobody stated is left out, and stands among the gaps.
"""

from __future__ import annotations

from typing import Any

from keelway.evaluate import Interval
from keelway.project import Task
from keelway.register.card.evidence import CardEvidence

PIPELINE: dict[Task, str] = {
    "binary": "tabular-classification",
    "multiclass": "tabular-classification",
    "regression": "tabular-regression",
}
METRIC_IDS = {"brier": "brier_score", "mcc": "matthews_correlation", "r2": "r_squared", "f1_macro": "f1"}
"""Where Hugging Face calls a metric otherwise."""
LIBRARIES = {"sklearn": "sklearn", "lightgbm": "lightgbm", "xgboost": "xgboost", "torch": "pytorch"}
DIGITS = 6


def metadata_of(found: CardEvidence) -> dict[str, Any]:
    """Return the metadata of a card as plain values."""
    words, trained = found.words, found.trained
    kind = PIPELINE[trained.task]
    told: dict[str, Any] = {
        "language": list(words.language),
        "license": words.license,
        "license_name": words.license_name,
        "license_link": words.license_link,
        "library_name": library_of(trained.factory),
        "pipeline_tag": kind,
        "tags": list(dict.fromkeys((kind, "tabular", "onnx", "keelway", *words.tags))),
        "datasets": sorted(found.table.snapshots),
        "metrics": list(dict.fromkeys(METRIC_IDS.get(name, name) for name in found.scorecard.metrics)),
        "co2_eq_emissions": _emissions(found),
        "model-index": [_index(found, kind)],
    }
    return {name: _flat(value) for name, value in told.items() if value not in ("", [], {})}


def _flat(value: Any) -> Any:
    """Return a value whose texts are one line each, so that none can look like the end of the front matter."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list):
        return [_flat(each) for each in value]
    return {name: _flat(each) for name, each in value.items()} if isinstance(value, dict) else value


def library_of(factory: str) -> str:
    """Return the library whose name a factory starts with, as Hugging Face calls it; an ensemble is this package's.

    >>> library_of("sklearn.linear_model.Ridge"), library_of("voting")
    ('sklearn', 'keelway')
    """
    return LIBRARIES.get(factory.partition(".")[0], "keelway")


def _emissions(found: CardEvidence) -> dict[str, Any]:
    words = found.words
    if words.emissions_g is None:
        return {}
    told = {"emissions": words.emissions_g, "source": words.emissions_source, "hardware_used": words.hardware}
    return {name: value for name, value in told.items() if value != ""}


def _index(found: CardEvidence, kind: str) -> dict[str, Any]:
    """Return the results that leaderboards read: one task on the test rows, every metric with its interval."""
    source = found.declared.label.source.name
    task_name = {"binary": "Binary classification", "multiclass": "Classification", "regression": "Regression"}
    dataset: dict[str, Any] = {
        "type": source,
        "name": f"{source}, {found.scorecard.rows} test rows",
        "split": "test",
        "revision": found.table.data,
    }
    return {
        "name": found.version.name,
        "results": [
            {
                "task": {"type": kind, "name": task_name[found.trained.task]},
                "dataset": dataset,
                "metrics": [_metric(name, each) for name, each in found.scorecard.metrics.items()],
            }
        ],
    }


def _metric(name: str, figure: Interval) -> dict[str, Any]:
    low, high = round(figure.low, DIGITS), round(figure.high, DIGITS)
    return {
        "type": METRIC_IDS.get(name, name),
        "name": f"{name} ({figure.level:.0%} interval {low:g} to {high:g}, {figure.method})",
        "value": round(figure.value, DIGITS),
    }
