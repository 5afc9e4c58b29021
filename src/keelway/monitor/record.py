"""The records of monitoring: drift and quality reports, alerts, and batches of outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keelway.core import Digest, PrincipalId, VersionName
from keelway.evaluate import Interval
from keelway.project import Task

DriftVerdict = Literal["drifted", "stable", "not enough"]
QualityVerdict = Literal["lost", "kept", "not enough"]
AlertKind = Literal["drift", "quality"]


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """How far one feature moved from its reference.

    Attributes:
        psi: Population stability index in nats, missing values as a bin of their own; None where nothing compares.
        js_distance: Jensen-Shannon distance, base 2, from 0 to 1.
        chance: What PSI stays under by chance alone, given both numbers of rows and the bins.
        bins: How many bins hold anything.
        reason: Why it counts as drifted, or empty.
    """

    feature: str
    psi: float | None
    js_distance: float | None
    chance: float | None
    bins: int
    nulls_reference: float
    nulls_current: float
    drifted: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The inputs of a model now, against those it was trained on.

    Attributes:
        reference: Digest of the training rows' `Profile`.
        current: Digest of the profile of what came in.
        effect: The PSI above which a feature counts as drifted, where chance does not reach that far.
        level: The probability that no feature crosses by chance, over all features together.
        verdict: `not enough` when there are fewer rows than the monitor asks for; never `stable` by silence.
    """

    model: str
    version: VersionName
    environment: str
    reference: Digest
    current: Digest
    rows_reference: int
    rows_current: int
    effect: float
    level: float
    columns: tuple[ColumnDrift, ...]
    verdict: DriftVerdict
    reasons: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class QualitySlice:
    """How the answers of one version, in one arm or in all, turned out.

    A figure is None where nothing matured, where an answer or an outcome does not fit the task, and of other tasks.

    Attributes:
        arm: The share of traffic, or `all`.
        matured: Predictions whose outcome is known.
        pending: Predictions whose outcome is not known yet.
        positives: Matured predictions whose outcome is 1; 0 of other tasks than binary.
        roc_auc: By DeLong; None with fewer than two outcomes of one class.
        log_loss: In nats, by the normal approximation.
        accuracy: Of several classes, the share of answers whose likeliest class came true, by Wilson.
        brier: Of several classes, the squared error summed over them, 0 to 2, by the normal approximation.
        mae: Of numbers, the mean absolute error in units of the label, the same.
        rmse: Of numbers, the root of the mean squared error, with the roots of the ends of its interval.
    """

    version: VersionName
    arm: str
    matured: int
    pending: int
    positives: int
    roc_auc: Interval | None
    log_loss: Interval | None
    verdict: QualityVerdict
    reason: str = ""
    accuracy: Interval | None = None
    brier: Interval | None = None
    mae: Interval | None = None
    rmse: Interval | None = None


@dataclass(frozen=True, slots=True)
class QualityReport:
    """The answers of a model against what really happened.

    Attributes:
        label: The label whose outcomes were joined, by entity and cut date.
        auc_floor: What a binary model is judged by.
        verdict: The worst of its slices over all arms; `not enough` when none could be judged.
        task: What the model predicts.
        accuracy_floor: What a multiclass model is judged by; None where its monitor declares none.
        mae_ceiling: What a regression model is judged by, in units of the label; None the same.
    """

    model: str
    environment: str
    label: str
    auc_floor: float
    min_outcomes: int
    slices: tuple[QualitySlice, ...]
    verdict: QualityVerdict
    reasons: tuple[str, ...]
    at: datetime
    task: Task = "binary"
    accuracy_floor: float | None = None
    mae_ceiling: float | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """Something left its bounds and somebody has to know.

    Attributes:
        report: Digest of the DriftReport or QualityReport that says so.
    """

    model: str
    environment: str
    version: VersionName
    kind: AlertKind
    reasons: tuple[str, ...]
    report: Digest
    at: datetime


@dataclass(frozen=True, slots=True)
class OutcomeBatch:
    """Outcomes that were learned together.

    Attributes:
        number: Counts a label's batches from 1.
        data: The artifact, one outcome a line in canonical JSON.
    """

    label: str
    number: int
    count: int
    data: Digest
    recorded_at: datetime
    recorded_by: PrincipalId


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Business events that were learned together.

    Attributes:
        number: Counts a stream's batches from 1.
        complete_until: Everything that happened before this is known.
        data: The artifact, one event a line in canonical JSON.
    """

    stream: str
    number: int
    count: int
    complete_until: datetime
    data: Digest
    recorded_at: datetime
    recorded_by: PrincipalId
