"""Lay a run out as MLflow's users expect it: figures with steps, parameters, tags, its data, its model and its files.

Everything goes in batches of what MLflow takes at once. A run carries its key from the start and the tag
`keelway.mirror` only says `whole` at the end; what MLflow holds already it does not take twice, so a mirror that was cut
short is simply done again.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from keelway.core import DIRTY, Digest, Scalar, canonical_json, time_text

if TYPE_CHECKING:
    from keelway.train.tracking import MetricPoint, TrackedRun

KEY_TAG = "keelway.key"
PARENT_TAG = "keelway.parent"
STATE_TAG = "keelway.mirror"
WHOLE = "whole"
MAX_TEXT = 5000  # MLflow takes tags of 8000 characters and parameters of 6000
METRICS_AT_ONCE = 800  # of 1000 things in all
MOST_POINTS = 2000
"""Values of one figure that are mirrored; MLflow takes five thousand a second, and draws some hundreds. The journal has
all of them."""
TEXTS_AT_ONCE = 100
MOST_CHILDREN = 1000
_REFUSED = re.compile(r"[^/\w.\- :]")
_SOURCE = {"plan": "keelway run", "trial": "keelway tune"}
"""What stands for the file that was executed where the project was."""
_STATUS = {"succeeded": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
T = TypeVar("T")


def mirror_run(
    client: Any,
    experiment: str,
    run: TrackedRun,
    points: Sequence[MetricPoint],
    files: Mapping[str, Path],
    *,
    metrics: Mapping[str, float],
) -> str:
    """Show a whole run, or complete one that was shown in part; returns its id in MLflow."""
    known = find_run(client, experiment, run.run_id)
    if known is not None and known.data.tags.get(STATE_TAG) == WHOLE:
        return str(known.info.run_id)
    made = str(known.info.run_id) if known is not None else _created(client, experiment, run)
    log_all(
        client, made, metrics=[*_history(points), *metrics_now(metrics)], parameters=run.parameters, tags=_tags(run)
    )
    if run.dataset:
        log_dataset(client, made, name="training", digest=Digest(run.dataset), signature_json=run.signature_json)
    log_files(
        client,
        made,
        files,
        signature_json=run.signature_json,
        example_json=run.input_example_json,
        requirements=run.requirements,
    )
    _link_family(client, experiment, run, made)
    client.set_terminated(made, _STATUS[run.status], int(run.ended_at.timestamp() * 1000))
    client.set_tag(made, STATE_TAG, WHOLE)
    return made


def find_run(client: Any, experiment: str, key: str) -> Any:
    """Return the run that has a key, or None."""
    found = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    return found[0] if found else None


def log_all(
    client: Any, run: str, *, metrics: Sequence[Any], parameters: Mapping[str, Scalar], tags: Mapping[str, str]
) -> None:
    """Log figures, parameters and tags, however many there are."""
    from mlflow.entities import Param, RunTag

    texts = [Param(plain_name(name), str(value)[:MAX_TEXT]) for name, value in parameters.items()]
    shown = [RunTag(name, value[:MAX_TEXT]) for name, value in tags.items()]
    rounds = zip_longest(
        chunks(metrics, METRICS_AT_ONCE), chunks(texts, TEXTS_AT_ONCE), chunks(shown, TEXTS_AT_ONCE), fillvalue=()
    )
    for values, some, told in rounds:
        client.log_batch(run, metrics=values, params=some, tags=told)


def log_dataset(client: Any, run: str, *, name: str, digest: Digest, signature_json: str) -> None:
    """Say what a run learned from, with the columns."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = json.loads(signature_json or "{}").get("inputs", [])
    schema = json.dumps({"mlflow_colspec": inputs}) if inputs else None
    short = digest[7:43]  # MLflow takes 36 characters; the source holds all of it
    dataset = Dataset(name, short, "keelway", json.dumps({"digest": digest}), schema)
    client.log_inputs(run, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def log_files(
    client: Any,
    run: str,
    files: Mapping[str, Path],
    *,
    signature_json: str,
    example_json: str,
    requirements: Sequence[str],
) -> None:
    """Log files by name, and what MLflow knows of a model: signature, input example and requirements, none inferred."""
    own = {plain_name(name): path for name, path in files.items()}  # in the store each is called by its digest
    texts = _model_texts(run, signature_json, example_json, requirements)
    with tempfile.TemporaryDirectory(prefix="keelway-mirror-") as scratch:
        for name, path in own.items():
            _placed(scratch, name).symlink_to(path.absolute())
        for name, text in texts.items():
            if f"model/{name}" not in own:
                _placed(scratch, f"model/{name}").write_text(text, "utf8")
        if own or texts:
            client.log_artifacts(run, scratch)


def _placed(folder: str, name: str) -> Path:
    path = Path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _model_texts(run: str, signature_json: str, example_json: str, requirements: Sequence[str]) -> dict[str, str]:
    """Return the small files of a model by name."""
    texts = {"requirements.txt": "\n".join(requirements) + "\n"} if requirements else {}
    signature = json.loads(signature_json or "{}")
    if not signature:
        return texts
    told: dict[str, Any] = {
        "artifact_path": "model",
        "flavors": {},
        "run_id": run,
        "signature": {side: json.dumps(columns) for side, columns in signature.items()},
    }
    if example_json:
        texts["input_example.json"] = example_json
        told["saved_input_example_info"] = {
            "artifact_path": "input_example.json",
            "pandas_orient": "split",
            "type": "dataframe",
        }
    return {**texts, "MLmodel": json.dumps(told, indent=2)}  # YAML holds JSON


def metrics_now(metrics: Mapping[str, float]) -> list[Any]:
    """Return figures at the present moment, at step 0."""
    from mlflow.entities import Metric

    stamp = int(time.time() * 1000)
    return [Metric(plain_name(name), float(value), stamp, 0) for name, value in metrics.items()]


def plain_name(name: str) -> str:
    """Return a name that MLflow takes: other characters than it allows become `_`, and no path leads anywhere.

    >>> plain_name("precision@5"), plain_name("../auc")
    ('precision_5', '__/auc')
    """
    parts = _REFUSED.sub("_", name).split("/")
    return "/".join("_" * max(len(part), 1) if not part.strip(".") else part for part in parts)[:250]


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield a sequence in pieces."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _created(client: Any, experiment: str, run: TrackedRun) -> str:
    tags = {KEY_TAG: run.run_id, STATE_TAG: "part", "mlflow.user": run.principal}
    started = int(run.started_at.timestamp() * 1000)
    return str(client.create_run(experiment, start_time=started, tags=tags, run_name=run.name).info.run_id)


def _history(points: Sequence[MetricPoint]) -> list[Any]:
    from mlflow.entities import Metric

    return [
        Metric(plain_name(each.name), each.value, int(each.at.timestamp() * 1000), each.step)
        for course in _courses(points).values()
        for each in thinned(course)
    ]


def _courses(points: Sequence[MetricPoint]) -> dict[str, list[MetricPoint]]:
    found: dict[str, list[MetricPoint]] = {}
    for point in points:
        found.setdefault(point.name, []).append(point)
    return found


def thinned(course: Sequence[T]) -> Sequence[T]:
    """Return at most `MOST_POINTS` of a course, evenly spaced, the first and the last among them.

    >>> len(thinned(range(100_000))), thinned(range(100_000))[-1]
    (2000, 99999)
    """
    if len(course) <= MOST_POINTS:
        return course
    return [course[round(place * (len(course) - 1) / (MOST_POINTS - 1))] for place in range(MOST_POINTS)]


def _tags(run: TrackedRun) -> dict[str, str]:
    machine = {"system": run.machine.system, "processor": run.machine.processor, "python": run.machine.python}
    commit = run.code.commit.removesuffix(DIRTY)
    told = {
        "keelway.kind": run.kind,
        "keelway.seed": str(run.seed),
        "keelway.model": run.model,
        "keelway.commit": run.code.commit,
        "keelway.diff": run.code.diff_digest,
        "keelway.project": run.code.project_digest,
        "keelway.environment": run.code.environment_digest,
        "keelway.lock": run.code.lock_digest,
        "keelway.machine": canonical_json({**machine, "cpus": run.machine.cpus}).decode() if run.machine.cpus else "",
        "keelway.libraries": canonical_json(run.machine.libraries).decode() if run.machine.cpus else "",
        "keelway.dataset": run.dataset,
        "keelway.journal": run.journal,
        "keelway.points": str(run.points),
        "keelway.error": run.error,
        "keelway.warnings": "\n".join(run.warnings),
        "keelway.not_finite": ", ".join(f"{name}={value}" for name, value in run.not_finite.items()),
        PARENT_TAG: run.parent,
        "estimator_class": run.estimator,
        "mlflow.source.name": " ".join(run.script) or _SOURCE.get(run.kind, "notebook"),
        "mlflow.source.type": "LOCAL" if run.kind in _SOURCE or (run.script and run.kind != "notebook") else "NOTEBOOK",
        "mlflow.source.git.commit": commit,
        "keelway.ended": time_text(run.ended_at),
    }
    own = {plain_name(name): value for name, value in run.tags.items()}
    return {**own, **{name: value for name, value in told.items() if value}}


def _link_family(client: Any, experiment: str, run: TrackedRun, made: str) -> None:
    """Show a run under the one it belongs to, whichever of the two is mirrored first."""
    if run.parent and (parent := find_run(client, experiment, run.parent)) is not None:
        client.set_tag(made, "mlflow.parentRunId", parent.info.run_id)
    children = client.search_runs([experiment], f"tags.`{PARENT_TAG}` = '{run.run_id}'", max_results=MOST_CHILDREN)
    for child in children:
        client.set_tag(child.info.run_id, "mlflow.parentRunId", made)
