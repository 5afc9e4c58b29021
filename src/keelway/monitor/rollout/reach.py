"""Tells why requests do not reach a version that has its share of them: servers go on by an earlier deployment, or nobody asks.

A server that cannot load a version goes on as it was and says why at `/readyz`. Whatever its target says of it, the log
shows it: its answers name the deployment that gave them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keelway.core import digest_of, time_text
from keelway.deploy import SHADOW
from keelway.monitor.rollout.answers import microseconds
from keelway.monitor.rollout.assignment import SETTLED

if TYPE_CHECKING:
    from keelway.deploy import ArmVerdict, Deployment
    from keelway.monitor.rollout.readings import RolloutReadings

LATELY = timedelta(minutes=5)
"""Answers of an earlier deployment from before are of servers that took the newer one since."""


def unreached(readings: RolloutReadings, deployment: Deployment, verdicts: Sequence[ArmVerdict]) -> tuple[str, ...]:
    """Return in words why requests do not reach the versions on trial; nothing where they do, or may by the next look.

    The words stay the same from look to look while nothing changes.

    Args:
        readings: Of a look.
        deployment: The one that is in charge.
        verdicts: On the versions on trial, as they were judged by these readings.
    """
    if readings.now < deployment.at + SETTLED:
        return ()
    since = time_text(deployment.at)
    silent = ", ".join(each.version for each in verdicts if not each.verdict.requests[1])
    if _answered(readings, max(deployment.at + SETTLED, readings.now - LATELY)) - {str(digest_of(deployment))}:
        what = f"no request reached {silent} since {since}" if silent else "not every request is answered as deployed"
        return (f"{what}: an earlier deployment still answers; a server that cannot load this one says why at /readyz",)
    if silent and not _answered(readings, deployment.at):
        return (f"no answer was logged since {since}: nobody asks, or no server is ready; see their /readyz",)
    if silent and all(each.arm == SHADOW for each in verdicts):
        return (
            f"no copy of a request reached {silent} since {since}: a server that cannot load it says why at /readyz",
        )
    return ()


def _answered(readings: RolloutReadings, since: datetime) -> set[str]:
    """Return the digests of the deployments that gave answers from a moment on."""
    import pyarrow.compute as pc

    later = pc.greater_equal(readings.table["event_time"], microseconds(since))
    return set(readings.table["deployment"].filter(later).unique().to_pylist())
