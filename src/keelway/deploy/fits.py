"""Says before a rollout begins what its target cannot do for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keelway.core import VersionName
from keelway.deploy.ports import ServingTarget
from keelway.errors import UsageError
from keelway.project import Rollout


def must_fit(rollout: Rollout, treatments: Sequence[VersionName], *, target: ServingTarget) -> None:
    """Return when a target can carry out a rollout of these versions.

    Raises:
        UsageError: It cannot; everything that is missing is named.
    """
    missing = list(_missing(rollout, len(treatments), target))
    if missing:
        raise UsageError(
            f"The target {target.name} cannot carry out a rollout by {rollout.strategy!r}",
            expected="; ".join(needed for needed, _ in missing),
            found="; ".join(found for _, found in missing),
            fix=f"Declare a rollout that it can, or another environments.{rollout.environment}.target in keelway.toml.",
        )


def _missing(rollout: Rollout, treatments: int, target: ServingTarget) -> Iterator[tuple[str, str]]:
    """Yield what a rollout needs, and what is there instead."""
    can, answers = target.capabilities, [stage for stage in rollout.stages if not stage.mirror]
    if not can.shadows and len(answers) < len(rollout.stages):
        yield "copies of requests for shadows", "no shadows"
    shared = rollout.several or any(0 < stage.percent < 100 for stage in answers)
    if shared and not can.sticky:
        yield "entities that stay in their arm", "arms drawn for each request"
    versions = 1 + treatments if answers else 1
    if can.most_versions is not None and versions > can.most_versions:
        yield f"{versions} versions at once", f"at most {can.most_versions}"
