"""A version is asked for answers before it gets traffic, with the project's own classes at hand where it holds them."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.app.candidate import smoke_test
from keelway.deploy import SmokeResult
from keelway.errors import ProjectError
from keelway.testing.training import TrainingWorld


class OneWorkspace:
    """What a smoke test needs of a workspace; its project counts how often it was imported, and may be broken."""

    def __init__(self, world: TrainingWorld, *, broken: bool = False) -> None:
        self.artifacts, self.state, self.signing = world.artifacts, world.state, self
        self.public_key = world.key.public
        self.broken, self.imported = broken, 0

    @property
    def project(self) -> str:
        self.imported += 1
        if self.broken:
            raise ProjectError("The project cannot be imported")
        return "churn"


def smoked(world: TrainingWorld, *, serve: str, broken: bool = False) -> tuple[SmokeResult, int]:
    world.declare(serve=serve)
    version = world.register(world.fit())
    at: Any = OneWorkspace(world, broken=broken)
    return smoke_test(at)(version), at.imported


@pytest.mark.parametrize(("serve", "imported"), [("python", 1), ("compiled", 0)])
def test_a_version_served_as_python_has_the_project_imported_first(
    world: TrainingWorld, serve: str, imported: int
) -> None:
    result, times = smoked(world, serve=serve)
    assert (result.passed, result.reasons, times) == (True, (), imported)
    assert result.answers > 1


def test_a_project_that_cannot_be_imported_is_a_reason(world: TrainingWorld) -> None:
    result, _ = smoked(world, serve="python", broken=True)
    assert not result.passed
    assert "cannot be imported" in result.reasons[0]
