"""Evidence of rollouts: what the log, the servers, outcomes and business events say of two arms at one look."""

from keelway.monitor.rollout.answers import microseconds
from keelway.monitor.rollout.baseline import baseline_sums
from keelway.monitor.rollout.business import EntitySums, event_columns
from keelway.monitor.rollout.gather import evidence_of
from keelway.monitor.rollout.log import SegmentCache, rollout_columns
from keelway.monitor.rollout.reach import unreached
from keelway.monitor.rollout.readings import RolloutReadings, rollout_readings

__all__ = [
    "EntitySums",
    "RolloutReadings",
    "SegmentCache",
    "baseline_sums",
    "event_columns",
    "evidence_of",
    "microseconds",
    "rollout_columns",
    "rollout_readings",
    "unreached",
]
