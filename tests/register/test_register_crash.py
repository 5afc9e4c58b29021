"""Whatever write a registration dies at, the next one leaves exactly one version with its ledger entry."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keelway.ledger import decisions
from keelway.register import ModelVersion, load_onnx
from keelway.testing.crash import EXIT_CODE, CrashingArtifacts, CrashingState, CrashPoint, swept
from keelway.testing.training import TrainingWorld

INSTANTS = 11  # before and after each of four artifacts; before, inside and after one transaction
LIBRARIES = ("skl2onnx", "skops.io", "sklearn.linear_model", "sklearn.feature_selection", "securesystemslib.dsse")


def prepare(root: Path) -> None:
    """Train and evaluate one model, so that only its registration is left."""
    world = TrainingWorld(root, rows=300)
    world.card(world.fit())
    world.state.close()


def enrol(root: Path, crash: CrashPoint) -> None:
    """Register the one trained model of a world."""
    world = TrainingWorld(root, rows=300)
    trained = world.fit()
    card = world.card(trained)
    world.state, world.artifacts = CrashingState(world.state, crash), CrashingArtifacts(world.artifacts, crash)
    version = world.register(trained, card)
    load_onnx(version, artifacts=world.artifacts, public_key=world.key.public)


def outcome(root: Path) -> dict[str, object]:
    world = TrainingWorld(root, rows=300)
    with world.state.snapshot() as tx:
        return {
            "versions": [each.name for each in tx.newest(ModelVersion)],
            "entries": [[each.action.value, each.subject] for _, each in decisions(tx)],
        }


def forked(action: Callable[[], None]) -> int:
    """Do something in a child, and return its exit code."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def register_again(root: Path, result: Path) -> None:
    crash = CrashPoint()
    enrol(root, crash)
    result.write_text(json.dumps({**outcome(root), "instants": crash.count}))


def sweep(folder: Path) -> dict[str, object]:
    """Die at each instant in turn and register again. Runs in its own process, which has no threads."""
    for name in ("alembic.command", "onnxruntime", "pandas", "pyarrow.parquet", *LIBRARIES):
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)  # once, for all children
    assert forked(lambda: prepare(folder / "ready")) == 0
    found, wrong = {}, []
    for at in (0, *swept(INSTANTS)):
        root, result = folder / str(at), folder / f"{at}.json"
        shutil.copytree(folder / "ready", root)
        codes = [forked(lambda: enrol(root, CrashPoint(at))) if at else EXIT_CODE]  # noqa: B023  (called at once)
        codes.append(forked(lambda: register_again(root, result)))  # noqa: B023
        if codes != [EXIT_CODE, 0]:
            wrong.append(f"{at}: {codes}")
        else:
            found[at] = json.loads(result.read_text())
    return {"found": found, "wrong": wrong}


@pytest.mark.crash
def test_a_registration_that_dies_at_any_write_can_be_repeated(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "import json, test_register_crash as t\n"
        "print(json.dumps(t.sweep(Path(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert told["found"]["0"].pop("instants") == INSTANTS
    for at, found in told["found"].items():
        found.pop("instants", None)
        assert found == {"versions": ["churn:1"], "entries": [["register", "churn:1"]]}, at
