"""Rollouts on live traffic: `keelway serve --workers 2` answers several models while their versions are rolled out, judged, moved
and rolled back by the commands that users have.

    canary      5, 25, 50 % and everything; who saw the new version sees it from there on
    shadow      copies of all requests; answers come from the version in use alone; another one is rolled back while it scores
    green       blue/green: judged by copies, then everything at once
    arms        three arms, judged by what their entities buy
    bandit      three arms, whose shares follow what their entities buy
    layer       canaries of two models in one layer: nobody is in both
    kept, challenger    begun only to be rolled back
    faults      canaries of a Python model that go wrong once they answer
    away        versions on trial in each way, rolled back while the state is away, which was so before the servers started

Canaries, arms and bandit are begun a second time, the other way around, and rolled back once the versions on trial answer. Times of a
rollback are of the last request that the left version answered: after the command was entered, and after its ledger entry.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import _faulty
from _entity_load import EntityLoad, Purchases, in_both, last_asked, turned_away
from _figures import Figure, report
from _house import House, keelway, served, take_away, told, write_settings
from _rollout_project import ROLLOUTS, STEPS, model
from _scoring import ENVIRONMENT, ScoringProject, add_version, make_project, move_traffic

from keelway.deploy import Deployment, history

EVERY, PATIENCE_S, SETTLE_S = "1s", 150.0, 2.5
CHANCES = {1: 0.1, 2: 0.1, 3: 0.4}
"""How likely an entity is to buy, by the number of the version that answered it."""
QUICK = ("canary", "arms", "faults")


@dataclass(frozen=True, slots=True)
class World:
    """The project and its running server."""

    folder: Path
    house: House

    def steps(self, name: str) -> list[Deployment]:
        """Return the deployments of a model, the oldest first."""
        project = ScoringProject(self.folder)
        with project.state.snapshot() as tx:
            found = history(name, ENVIRONMENT, tx)
        project.state.close()
        return found[::-1]

    @contextlib.contextmanager
    def asking(self, name: str, *, entities: int = 3000, per_s: float = 300) -> Iterator[EntityLoad]:
        """Ask a model without end."""
        records = json.loads((self.folder / "records.json").read_text())
        load = EntityLoad(self.house.port, name, records, entities=entities, per_s=per_s)
        load.start()
        try:
            eventually(lambda: len(load.seen) > 0)
            yield load
        finally:
            load.stop()

    def run(self, *words: str) -> None:
        """Run a command about the environment."""
        keelway(self.folder, *words, "--env", ENVIRONMENT)

    def apply(self, name: str, *tried: int) -> None:
        """Begin the declared rollout of versions."""
        self.run("deploy", "apply", name, *(word for number in tried for word in ("--try", f"{name}:{number}")))

    def watch(self, name: str) -> Mapping[str, Any]:
        """Look at the rollout of a model until it is decided, or patience ends."""
        words = ("rollout", name, "--env", ENVIRONMENT, "--watch", "--every", EVERY)
        try:
            return told(self.folder, *words, within_s=PATIENCE_S)
        except subprocess.TimeoutExpired:
            return {"state": "running", "reasons": (f"undecided after {PATIENCE_S:g} s",)}

    def predictions(self, version: str, arm: str) -> float:
        """Return how many rows all processes say that a version answered in an arm."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.house.port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        wanted = ("keelway_predictions_total", f'version="{version}"', f'arm="{arm}"')
        return sum(float(line.split()[-1]) for line in lines if all(word in line for word in wanted))


def eventually(holds: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit("It did not come to that in time")
        time.sleep(0.05)


def canary(world: World) -> Iterator[Figure]:
    """Take a canary by its steps to the end."""
    with world.asking("steps", entities=4000, per_s=500) as load:
        begun = time.time()
        world.apply("steps", 2)
        answer = world.watch("steps")
        taken = time.time() - begun
        time.sleep(SETTLE_S)
        yield from _ended("canary", answer, "finished", taken, load)
        wrong = turned_away(load.seen, "steps:2", until=time.time())
        yield Figure("canary.turned_away", wrong, f"answers by the old version, in {len(STEPS)} steps", aim="0")
        over = world.steps("steps")[-1].at.timestamp()
        late = last_asked(load.seen, ["steps:1"], after=over)
        yield Figure("canary.effective_everywhere", late, "s after the ledger entry of the last step", aim="<= 5")
        yield from way_back(world, load, "canary", "steps", 1)


def shadow(world: World) -> Iterator[Figure]:
    """Let a version score copies to the end."""
    with world.asking("shadow") as load:
        begun = time.time()
        world.apply("shadow", 2)
        answer = world.watch("shadow")
        taken = time.time() - begun
        first, last = (each.at.timestamp() for each in world.steps("shadow")[-2:])
        asked = sum(first <= one.asked < last for one in load.seen)
        copies = world.predictions("shadow:2", "shadow")
        yield from _ended("shadow", answer, "finished", taken, load)
        yield Figure("shadow.copies", copies, "rows", "answers while it was deployed", copies / max(1, asked))
        yield Figure("shadow.strangers", len(load.of("shadow:2")), "answers by the shadow", aim="0")
        yield from _shadow_back(world, load)


def _shadow_back(world: World, load: EntityLoad) -> Iterator[Figure]:
    """Begin a rollout of another shadow, and roll it back once it scores copies."""
    world.apply("shadow", 3)
    eventually(lambda: world.predictions("shadow:3", "shadow") > 0)
    before, entered, ended = load.errors_so_far, time.time(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(_last_rise, lambda: world.predictions("shadow:3", "shadow"), ended)
        world.run("rollback", "shadow")
        time.sleep(SETTLE_S)
        ended.set()
        last = counting.result()
    entry = world.steps("shadow")[-1].at.timestamp()
    yield Figure(
        "shadow.rollback",
        last - entered,
        "s after the command was entered, to the last copy that was counted",
        aim="<= 5",
    )
    yield Figure("shadow.rollback_effective", max(0.0, last - entry), "s after the ledger entry", aim="<= 5")
    yield Figure("shadow.rollback_errors", load.errors_so_far - before, "requests", aim="0")


def _last_rise(count: Callable[[], float], ended: threading.Event) -> float:
    """Return when a count was last seen to have risen, in seconds since 1970."""
    known, last = count(), time.time()
    while not ended.wait(0.1):
        if (now := count()) > known:
            known, last = now, time.time()
    return last


def green(world: World) -> Iterator[Figure]:
    """Take green to the end."""
    with world.asking("green") as load:
        begun = time.time()
        world.apply("green", 2)
        answer = world.watch("green")
        yield from _ended("green", answer, "finished", time.time() - begun, load)


def arms(world: World) -> Iterator[Figure]:
    """Compare three arms by what their entities buy."""
    with world.asking("arms") as load:
        begun = time.time()
        world.apply("arms", 2, 3)
        answer = _watched_buying(world, load, "arms")
        yield from _ended("arms", answer, "finished", time.time() - begun, load)
        winner = world.steps("arms")[-1].stable
        yield Figure("arms.best_one_won", float(winner == "arms:3"), f"1 is yes: {winner}", aim="1")
        yield from way_back(world, load, "arms", "arms", 1, 2)


def bandit(world: World) -> Iterator[Figure]:
    """Let shares follow what entities buy."""
    with world.asking("bandit") as load:
        begun = time.time()
        world.apply("bandit", 2, 3)
        answer = _watched_buying(world, load, "bandit")
        yield from _ended("bandit", answer, answer["state"], time.time() - begun, load)  # it may well go on shifting
        shares = [each.traffic.get("bandit:3", 0) for each in world.steps("bandit") if len(each.traffic) > 1]
        told_by = " -> ".join(f"{share} %" for share in shares)
        yield Figure("bandit.best_arm", max(shares), f"% of the entities at most: {told_by}", aim="> 33")
        if answer["state"] == "finished":
            yield from way_back(world, load, "bandit", "bandit", 1, 2)
        else:
            yield from _rolled_back(world, load, "bandit", "bandit", ["bandit:2", "bandit:3"])


def layer(world: World) -> Iterator[Figure]:
    """Take canaries of two models to the end in one layer."""
    with world.asking("left", per_s=250) as left, world.asking("right", per_s=250) as right:
        begun = time.time()
        for name in ("left", "right"):
            world.apply(name, 2)
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(world.watch, ("left", "right")))
        for answer, load in zip(answers, (left, right), strict=True):
            yield from _ended(f"layer.{load.model}", answer, "finished", time.time() - begun, load)
        tried = [len({one.entity for one in load.seen if one.arm != "stable"}) for load in (left, right)]
        wrong = len(in_both(left.seen, right.seen))
        yield Figure("layer.in_both", wrong, f"entities, of {tried[0]} and {tried[1]} in a trial", aim="0")
        yield from way_back(world, left, "layer", "left", 1)


def kept(world: World) -> Iterator[Figure]:
    """Go back from green, while blue is kept."""
    with world.asking("kept") as load:
        yield from way_back(world, load, "kept", "kept", 2)


def challenger(world: World) -> Iterator[Figure]:
    """Take a challenger back."""
    with world.asking("challenger") as load:
        yield from way_back(world, load, "challenger", "challenger", 2)


def way_back(world: World, load: EntityLoad, walk: str, name: str, *tried: int) -> Iterator[Figure]:
    """Begin a rollout, and roll it back once every version on trial answers."""
    _on_trial(world, load, name, tried)
    yield from _rolled_back(world, load, walk, name, [f"{name}:{number}" for number in tried])


def _rolled_back(world: World, load: EntityLoad, walk: str, name: str, left: Sequence[str]) -> Iterator[Figure]:
    before, entered = load.errors_so_far, time.time()
    world.run("rollback", name)
    time.sleep(SETTLE_S)
    entry = world.steps(name)[-1].at.timestamp()
    late = last_asked(load.seen, left, after=entered)
    yield Figure(f"{walk}.rollback", late, "s after the command was entered", aim="<= 5")
    late = last_asked(load.seen, left, after=entry)
    yield Figure(f"{walk}.rollback_effective", late, "s after the ledger entry", aim="<= 5")
    yield Figure(f"{walk}.rollback_errors", load.errors_so_far - before, "requests", aim="0")


def _on_trial(world: World, load: EntityLoad, name: str, tried: Sequence[int]) -> None:
    """Begin a rollout, and look on until every version on trial answers."""
    begun = time.time()
    world.apply(name, *tried)
    if name == "kept":
        world.run("rollout", name)
    for number in tried:
        eventually(lambda wanted=f"{name}:{number}": any(one.asked > begun for one in load.of(wanted)))


def _ended(walk: str, answer: Mapping[str, Any], state: str, taken: float, load: EntityLoad) -> Iterator[Figure]:
    why = "; ".join(answer["reasons"])[:200]
    yield Figure(f"{walk}.{state}", float(answer["state"] == state), f"1 is yes: {answer['state']}, {why}", aim="1")
    yield Figure(f"{walk}.seconds", taken, "s from `deploy apply` to the end")
    yield Figure(f"{walk}.errors", load.errors_so_far, f"requests, beside {len(load.seen)} answers", aim="0")


def _watched_buying(world: World, load: EntityLoad, name: str) -> Mapping[str, Any]:
    """Look until it is decided, while what entities buy is recorded."""
    purchases = Purchases(load, CHANCES)
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(world.watch, name)
        while not watching.done():
            until, file = time.time() - 0.5, world.folder / f"{name}.csv"
            file.write_text(purchases.csv(until))
            moment = datetime.fromtimestamp(until, UTC).isoformat()
            keelway(world.folder, "outcomes", name, str(file), "--stream", name, "--until", moment)
            time.sleep(1.0)
        return watching.result()


def faults(world: World) -> Iterator[Figure]:
    """Let canaries go wrong once they answer, one after the other."""
    switch = world.folder / "switch"
    with world.asking(_faulty.MODEL, per_s=200) as load:
        for number, fault in enumerate(_faulty.FAULTS, start=2):
            switch.unlink(missing_ok=True)
            name = f"{_faulty.MODEL}:{number}"
            world.run("deploy", name, "--canary", "25")
            eventually(lambda wanted=name: len(load.of(wanted)) > 0)
            slow_s = 2 * load.median_s(f"{_faulty.MODEL}:1")
            switch.write_text(str(slow_s))
            first, before = time.time(), load.errors_so_far
            answer = world.watch(_faulty.MODEL)
            time.sleep(SETTLE_S)
            yield from _caught(fault, name, answer, world, load, first, before)


def _caught(
    fault: str, name: str, answer: Mapping[str, Any], world: World, load: EntityLoad, first: float, before: int
) -> Iterator[Figure]:
    wrong = [one for one in load.of(name) if one.asked > first]
    failed, back = load.errors_so_far - before, world.steps(_faulty.MODEL)[-1].at.timestamp() - first
    why = "; ".join(answer["reasons"])[:200]
    yield Figure(f"faults.{fault}_back", float(answer["state"] == "back"), f"1 is yes: {why}", aim="1")
    yield Figure(f"faults.{fault}_requests", len(wrong) + failed, f"by the canary, {failed} of them failed")
    yield Figure(f"faults.{fault}_seconds", back, "s from the first wrong answer to the move back")
    yield Figure(f"faults.{fault}_last", last_asked(wrong, [name], after=first), "s to the last answer of the canary")


def away(folder: Path) -> Iterator[Figure]:
    """Bring versions of several models on trial, and roll them back on this machine, while state and store are away."""
    with served(folder, *AWAY, workers=2) as house:
        world = World(folder, house)
        for name in AWAY:
            stands = world.steps(name)[-1].stable
            free = [number for number in CHANCES if f"{name}:{number}" != stands]
            with world.asking(name, per_s=100) as load:
                _on_trial(world, load, name, free if ROLLOUTS[name].several else free[:1])
    deployed = {name: world.steps(name)[-1] for name in AWAY}
    take_away(folder)
    with served(folder, *AWAY, workers=2) as house:
        world = World(folder, house)
        for name, deployment in deployed.items():
            with world.asking(name, per_s=100) as load:
                yield from _pinned(world, load, name, deployment)


def _pinned(world: World, load: EntityLoad, name: str, before: Deployment) -> Iterator[Figure]:
    entered = time.time()
    world.run("rollback", name, "--offline")
    returned = time.time()
    time.sleep(SETTLE_S)
    stands = load.seen[-1].version
    left = [str(version) for version in before.traffic if version != stands]
    late = last_asked(load.seen, left, after=entered)
    yield Figure(f"away.{name}_rollback", late, f"s after the command was entered, to {stands}", aim="<= 5")
    late = last_asked(load.seen, left, after=returned)
    yield Figure(f"away.{name}_rollback_effective", late, "s after the command returned", aim="<= 5")
    yield Figure(f"away.{name}_errors", load.errors_so_far, f"requests, beside {len(load.seen)} answers", aim="0")


AWAY = ("steps", "arms", "bandit", "left", "kept", "challenger")
WALKS: dict[str, tuple[tuple[str, ...], Callable[[World], Iterator[Figure]]]] = {
    "canary": (("steps",), canary),
    "shadow": (("shadow",), shadow),
    "green": (("green",), green),
    "arms": (("arms",), arms),
    "bandit": (("bandit",), bandit),
    "layer": (("left", "right"), layer),
    "kept": (("kept",), kept),
    "challenger": (("challenger",), challenger),
}
"""Each walk with the models that it needs."""
TOGETHER = 3
"""So many walks go on at once, each on models of its own."""


def measure(folder: Path, chosen: Sequence[str]) -> Iterator[Figure]:
    """Yield what callers saw."""
    walked = [name for walk in chosen if walk in WALKS for name in WALKS[walk][0]]
    models = [*walked, *(name for name in AWAY if "away" in chosen and name not in walked)]
    make_project(folder)
    for name in models:
        move_traffic(folder, add_version(folder, model(name)))
        for strength in (0.5, 0.7):
            add_version(folder, model(name, strength))
    write_settings(folder, module="_rollout_project")
    if walked:
        with served(folder, *walked, workers=2) as house, ThreadPoolExecutor(TOGETHER) as pool:
            world = World(folder, house)
            walks = [WALKS[walk][1] for walk in chosen if walk in WALKS]
            for found in pool.map(lambda walk: list(walk(world)), walks):
                yield from found
    if "faults" in chosen:
        yield from wrong(folder)
        write_settings(folder, module="_rollout_project")
    if "away" in chosen:
        yield from away(folder)


def wrong(folder: Path) -> Iterator[Figure]:
    """Serve the model that goes wrong."""
    move_traffic(folder, add_version(folder, _faulty.model()))
    for fault in _faulty.FAULTS:
        add_version(folder, _faulty.model(fault, str(folder / "switch")))
    write_settings(folder, module="_faulty")
    with served(folder, _faulty.MODEL, workers=2) as house:
        yield from faults(World(folder, house))


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    every = [*WALKS, "faults", "away"]
    parser.add_argument("--only", choices=every, action="append", help="walk this one; repeat it for several")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        report(measure(Path(name), chosen.only or (QUICK if chosen.quick else every)), chosen.json)


if __name__ == "__main__":
    main()
