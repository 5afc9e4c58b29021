"""What decides a tuning: the digest that names a study, and the one that a finished tuning is stored under."""

from __future__ import annotations

from dataclasses import replace

from keelway.core import CodeState, Digest, digest_of, plain, short
from keelway.features import FeatureTable
from keelway.project import Estimator, Model, Search

BUDGETS = {"trials": 1, "timeout_s": None, "patience": None, "workers": 1}
"""What says how long to search: a longer search carries on with the study of a shorter one."""


def metric_of(model: Model, search: Search) -> str:
    """Return the metric that a search makes good."""
    return search.metric or model.metrics[0]


def study_name(
    model: Model, table: FeatureTable, *, estimator: Estimator, search: Search, seed: int, code: CodeState
) -> str:
    """Return the name of the study: the same data, declaration, seed and environment carry the same one on."""
    digest = digest_of(
        {
            "environment": code.environment_digest,
            "estimator": plain(replace(estimator, calibrate=None)),
            "feature_table": digest_of(table),
            "metric": metric_of(model, search),
            "overlap": model.overlap,
            "preprocessing": plain(model.preprocessing),
            "search": plain(replace(search, metric="", **BUDGETS)),  # type: ignore[arg-type]  # defaults of the fields
            "parallel": search.workers > 1,
            "seed": seed,
            "split": {"kind": type(model.split).__name__, **plain(model.split)},
            "task": model.task,
        }
    )
    return f"{model.name}/{estimator.name}/{short(digest)}"


def tuning_key(study: str, search: Search) -> Digest:
    """Return what a finished tuning is stored under: its study, and how long it was searched."""
    return digest_of({"study": study, **{name: getattr(search, name) for name in sorted(BUDGETS)}})
