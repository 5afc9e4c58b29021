"""Compares the inputs of today with those of training, column by column."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import VersionName, digest_of, filled_bins, js_distance, psi, psi_null_quantile
from keelway.errors import UsageError
from keelway.monitor.record import ColumnDrift, DriftReport

if TYPE_CHECKING:
    from keelway.features import ColumnProfile, Profile
    from keelway.project import Monitor

LEVEL = 0.99
"""Without drift, no feature of a report crosses the reach of chance in so many of the reports."""


def drift_report(
    current: Profile,
    reference: Profile,
    *,
    model: str,
    version: VersionName,
    environment: str,
    monitor: Monitor,
    now: datetime,
) -> DriftReport:
    """Return how far each feature moved; `current` has to be profiled with the bins of `reference`."""
    level = 1 - (1 - LEVEL) / max(len(reference.columns), 1)  # Bonferroni: many features are many chances
    enough = min(current.rows, reference.rows) >= monitor.min_rows
    columns = tuple(
        _column(name, expected, current.columns.get(name), monitor.psi_threshold, level)
        for name, expected in sorted(reference.columns.items())
    )
    drifted = tuple(f"{column.feature}: {column.reason}" for column in columns if column.drifted)
    few = f"{current.rows} rows now and {reference.rows} in training; a verdict needs {monitor.min_rows} of each"
    if not columns:
        few, enough = "the training profile has no columns", False
    return DriftReport(
        model=model,
        version=version,
        environment=environment,
        reference=digest_of(reference),
        current=digest_of(current),
        rows_reference=reference.rows,
        rows_current=current.rows,
        effect=monitor.psi_threshold,
        level=LEVEL,
        columns=columns,
        verdict=("drifted" if drifted else "stable") if enough else "not enough",
        reasons=drifted if enough else (few,),
        at=now,
    )


def _column(
    name: str, reference: ColumnProfile, current: ColumnProfile | None, effect: float, level: float
) -> ColumnDrift:
    """Return how far one feature moved; a feature that is gone or of another kind has drifted."""
    if current is None or current.kind != reference.kind:
        found = "gone" if current is None else f"{current.kind}, it was {reference.kind}"
        return ColumnDrift(name, None, None, None, 0, null_share(reference), 1.0, True, f"the feature is {found}")
    before, after = histograms(name, reference, current)
    shares = (null_share(reference), null_share(current))
    if not sum(before) or not sum(after):
        return ColumnDrift(name, None, None, None, 0, *shares, bool(sum(before)), "nothing came in" * bool(sum(before)))
    value, bins = psi(before, after), filled_bins(before, after)
    chance = psi_null_quantile(sum(before), sum(after), bins, level=level)
    drifted = not value <= max(effect, chance)
    reason = f"PSI is {value:.3f}; {effect:g} is allowed and chance reaches {chance:.3f}" if drifted else ""
    return ColumnDrift(name, value, js_distance(before, after), chance, bins, *shares, drifted, reason)


def histograms(name: str, reference: ColumnProfile, current: ColumnProfile) -> tuple[list[int], list[int]]:
    """Return the two histograms over the same bins; for a number, missing values are one bin more.

    Raises:
        UsageError: The current profile was made with other bins.
    """
    if reference.kind == "categorical":
        levels = sorted(reference.levels.keys() | current.levels.keys())
        return [reference.levels.get(level, 0) for level in levels], [current.levels.get(level, 0) for level in levels]
    if not reference.edges:  # all missing in training: the only question is whether values came in
        return [_present(reference), reference.nulls], [_present(current), current.nulls]
    if reference.edges != current.edges:
        raise UsageError(
            f"The profiles of {name} have different bins",
            expected=f"the {len(reference.edges)} edges of the reference",
            found=f"{len(current.edges)} edges",
            fix="Profile the current rows with `profile_of(table, features, reference)`.",
        )
    return [*reference.counts, reference.nulls], [*current.counts, current.nulls]


def null_share(profile: ColumnProfile) -> float:
    """Return the share of missing values; 0 for a column without rows."""
    rows = profile.count if profile.kind == "categorical" else _present(profile) + profile.nulls
    return profile.nulls / rows if rows else 0.0


def _present(profile: ColumnProfile) -> int:
    return sum(profile.counts) if profile.counts else profile.count
