"""Observation: an event about the world, with the time it happened and the time it became known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from keelway.core.digest import Digest
from keelway.core.ids import Environment, VersionName


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer that a deployment gave.

    Attributes:
        prediction_id: Sortable by time (UUID version 7, hexadecimal).
        entity: The entity's key as text.
        as_of: The moment the features speak of.
        features: The inputs, as they were given; an array as its numbers.
        value: What was answered. Binary: the probability of the positive class, in [0, 1]. Multiclass: a probability
            for each class, in the version's order. Regression: the number.
        version: The model version that answered.
        version_digest: Digest of that version's record: a proof walks on from here.
        deployment: Digest of the deployment that sent the request to that version.
        arm: The name of the share of traffic, such as `stable` or `canary`.
        event_time: When the answer was given; also when it became known.
        policy: Digest of the policy by which the version was let into the environment; empty where none was asked.
        request_id: Of the request that asked for it, with others or alone; empty where nobody's request did.
        latency_us: Microseconds from the request's first byte to this record; None where nobody waited, as in a batch.
    """

    prediction_id: str
    model: str
    version: VersionName
    version_digest: Digest
    deployment: Digest
    environment: Environment
    arm: str
    entity: str
    as_of: datetime
    features: dict[str, float | str | tuple[float, ...] | None]
    value: float | tuple[float, ...]
    event_time: datetime
    policy: str = ""
    request_id: str = ""
    latency_us: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What really happened to an entity after `as_of`: a label that arrived later.

    Attributes:
        value: 0 or 1; of a multiclass label the name of the class; of a regression label the number.
        event_time: The end of the label's horizon (`as_of` + horizon).
        known_at: When we learned it.
    """

    label: str
    entity: str
    as_of: datetime
    value: int | float | str
    event_time: datetime
    known_at: datetime


@dataclass(frozen=True, slots=True)
class BusinessEvent:
    """Something that an entity did, with an amount: a purchase, a visit, a refund.

    Attributes:
        stream: What it is an event of, such as `purchases`.
        amount: Any finite number, in the unit of the stream; 1 where only the event counts.
        event_time: When it happened.
        known_at: When we learned it.
        event_id: Tells events of an entity at the same time apart; empty where there is one at a time.
    """

    stream: str
    entity: str
    amount: float
    event_time: datetime
    known_at: datetime
    event_id: str = ""
