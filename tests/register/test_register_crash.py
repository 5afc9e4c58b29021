"""Whatever write a registration dies at, the next one leaves exactly one version with its ledger entry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from keelway.core import Action
from keelway.ledger import decisions
from keelway.register import ModelVersion, load_onnx
from keelway.testing.crash import EXIT_CODE, CrashingArtifacts, CrashingState, CrashPoint
from keelway.testing.training import TrainingWorld
from keelway.train import TrainedModel


def enrol(root: Path, crash: CrashPoint) -> None:
    """Register the one trained model of a world."""
    world = TrainingWorld(root, rows=300)
    trained = world.fit()
    card = world.card(trained)
    world.state, world.artifacts = CrashingState(world.state, crash), CrashingArtifacts(world.artifacts, crash)
    version = world.register(trained, card)
    if crash.at == 0 and crash.count:
        load_onnx(version, artifacts=world.artifacts, public_key=world.key.public)


def outcome(root: Path) -> dict[str, object]:
    world = TrainingWorld(root, rows=300)
    with world.state.snapshot() as tx:
        versions = list(tx.newest(ModelVersion))
        entries = [(each.action, each.subject) for _, each in decisions(tx)]
        return {
            "versions": [each.name for each in versions],
            "trained": tx.count(TrainedModel),
            "entries": [[str(action), subject] for action, subject in entries],
            "moved": [each.onnx for each in versions],
        }


def forked(root: Path, at: int, result: Path | None = None) -> int:
    """Run `enrol` in a child that dies at an instant, and return its exit code."""
    child = os.fork()
    if child == 0:
        try:
            crash = CrashPoint(at)
            enrol(root, crash)
            if result is not None:
                result.write_text(json.dumps({"count": crash.count, **outcome(root)}))
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def sweep(folder: Path) -> dict[str, object]:
    """Die at each instant in turn and register again. Runs in its own process, which has no threads."""
    codes = [forked(folder / "whole", 0, folder / "whole.json")]
    expected = json.loads((folder / "whole.json").read_text())
    wrong = [] if codes == [0] else [f"undisturbed: {codes}"]
    instants = expected.pop("count")
    for at in range(1, instants + 1):
        result = folder / f"{at}.json"
        codes = [forked(folder / str(at), at), forked(folder / str(at), 0, result)]
        if codes != [EXIT_CODE, 0]:
            wrong.append(f"{at}: {codes}")
            continue
        found = json.loads(result.read_text())
        found.pop("count")
        if found != expected:
            wrong.append(f"{at}: {found}")
        shutil.rmtree(folder / str(at))
    return {"instants": instants, "expected": expected, "wrong": wrong}


def test_a_registration_that_dies_at_any_write_can_be_repeated(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "import json, test_register_crash as t\n"
        "print(json.dumps(t.sweep(Path(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["instants"] == 7  # before and after two artifacts; before, inside and after one transaction
    assert found["expected"]["versions"] == ["churn:1"]
    assert found["expected"]["entries"] == [[str(Action.REGISTER), "churn:1"]]
    assert found["expected"]["trained"] == 1
