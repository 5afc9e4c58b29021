"""Whatever write the training of an ensemble dies at, the next one leaves what an undisturbed one leaves."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keelway.errors import IntegrityError
from keelway.project import ColumnPreprocessing, Ensemble, Estimator, Preprocessing
from keelway.testing.crash import EXIT_CODE, CrashingArtifacts, CrashingState, CrashPoint, swept
from keelway.testing.forks import forked
from keelway.testing.training import LOGISTIC, TrainingWorld
from keelway.train import TrainedModel, load_pipeline

TREE = Estimator("tree", "sklearn.tree.DecisionTreeClassifier", {"max_depth": 3})
BOTH = Ensemble("both", ("logistic", "tree"), "stacking")
INSTANTS = 15  # each of three trainings: around one artifact, and before, inside and after one transaction
LIBRARIES = (
    "alembic.command", "cryptography.hazmat.primitives.asymmetric.ed25519", "pandas", "pyarrow.dataset", "pyarrow.parquet", "skops.io", "sklearn.compose", "sklearn.feature_selection", "sklearn.impute",
    "sklearn.linear_model", "sklearn.preprocessing", "sklearn.tree",
)  # fmt: skip
CHOSEN = Preprocessing(
    select="mutual_information", keep=4, rare_level=2, columns={"plan": ColumnPreprocessing(encode="target")}
)


def world_at(root: Path) -> TrainingWorld:
    """Return the world in a folder, where an ensemble with target encoding and a search for columns is declared."""
    world = TrainingWorld(root, rows=300)
    world.declare(estimators=(LOGISTIC, TREE, BOTH), overlap="when_unavoidable", preprocessing=CHOSEN)
    return world


def prepare(root: Path) -> None:
    """Make a world whose tables are there, so that only its trainings are left."""
    world_at(root).state.close()


def train(root: Path, crash: CrashPoint) -> None:
    """Train the ensemble of a world, and perhaps die meanwhile."""
    world = world_at(root)
    world.state, world.artifacts = CrashingState(world.state, crash), CrashingArtifacts(world.artifacts, crash)
    world.fit(BOTH)  # type: ignore[arg-type]


def outcome(root: Path) -> dict[str, Any]:
    """Return what a world holds of its trainings: each once, with the digest of its pipeline."""
    world = world_at(root)
    with world.state.snapshot() as tx:
        found = sorted((each.estimator, each.pipeline) for each in tx.newest(TrainedModel))
    for _, pipeline in found:
        load_pipeline(pipeline, artifacts=world.artifacts)
    return {"trained": found}


def told(root: Path, at: int, result: Path) -> None:
    """Train again after a death, and write down what there is then."""
    crash = CrashPoint()
    train(root, crash)
    result.write_text(json.dumps({**outcome(root), "instants": crash.count if not at else 0}))


def sweep(folder: Path) -> dict[str, Any]:
    """Die at each instant in turn and train again. Runs in its own process, which has no threads."""
    for name in LIBRARIES:
        importlib.import_module(name)  # once, for all children
    assert forked(lambda: prepare(folder / "ready")) == 0
    found, wrong = {}, []
    for at in (0, *swept(INSTANTS)[1:-1]):  # at the first instant nothing is written, at the last one everything
        root, result = folder / str(at), folder / f"{at}.json"
        shutil.copytree(folder / "ready", root)
        codes = [forked(lambda: train(root, CrashPoint(at))) if at else EXIT_CODE]  # noqa: B023  (called at once)
        codes.append(forked(lambda: told(root, at, result)))  # noqa: B023
        if codes != [EXIT_CODE, 0]:
            wrong.append(f"{at}: {codes}")
        else:
            found[at] = json.loads(result.read_text())
    return {"found": found, "wrong": wrong}


@pytest.mark.crash
def test_a_training_that_dies_at_any_write_can_be_repeated(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "import json, test_fit_crash as t\n"
        "print(json.dumps(t.sweep(Path(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    swept_over = json.loads(done.stdout)
    assert swept_over["wrong"] == []
    assert swept_over["found"]["0"]["instants"] == INSTANTS
    undisturbed = swept_over["found"]["0"]["trained"]
    assert [name for name, _ in undisturbed] == ["both", "logistic", "tree"]
    for at, found in swept_over["found"].items():
        assert found["trained"] == undisturbed, at


def test_members_that_were_trained_before_a_death_are_not_trained_again(tmp_path: Path) -> None:
    """The ensemble is refused here because its member's bytes are gone, which shows that nobody made them anew."""
    world = world_at(tmp_path)
    first = world.fit(LOGISTIC)
    path = world.artifacts.path_of(first.pipeline)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    trained = world.fit(BOTH)  # type: ignore[arg-type]
    assert world.fit(LOGISTIC) == first
    with pytest.raises(IntegrityError, match="altered"):
        load_pipeline(trained.pipeline, artifacts=world.artifacts)


def test_a_search_for_columns_chooses_the_same_ones_each_time(tmp_path: Path) -> None:
    kept: Callable[[str], list[int]] = lambda name: (
        load_pipeline(
            (made := world_at(tmp_path / name)).fit(LOGISTIC).pipeline, artifacts=made.artifacts
        ).named_steps["select"].kept_
    )  # fmt: skip
    assert kept("here") == kept("there")
