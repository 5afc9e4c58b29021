"""A project at its door, made once and copied for each test: making one takes longer than most of what is tried."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keelway.core import PolicySet
from keelway.testing.door import OPEN, DoorWorld

Copied = Callable[[DoorWorld], DoorWorld]


@pytest.fixture(scope="session")
def door_home(tmp_path_factory: pytest.TempPathFactory) -> DoorWorld:
    """A project with one registered version and a gate that lets everything in."""
    home = DoorWorld(tmp_path_factory.mktemp("door")).ruled(policy=PolicySet("open", {"gate.rego": OPEN}))
    home.state.close()
    return home


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Copied]:
    """Copy a closed project, to be used as one likes."""
    made: list[DoorWorld] = []

    def copy(home: DoorWorld) -> DoorWorld:
        folder = tmp_path / f"door-{len(made)}"
        shutil.copytree(home.folder, folder)
        made.append(home.at(folder))
        return made[-1]

    yield copy
    for world in made:
        world.state.close()


@pytest.fixture
def open_door(door_home: DoorWorld, copied: Copied) -> DoorWorld:
    """A copy of a project whose gate lets everything in that is approved."""
    return copied(door_home)
