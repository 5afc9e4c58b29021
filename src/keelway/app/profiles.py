"""The profile that is stored with a feature table, whole or for some of its cut dates, and how far each cut date moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Digest, digest_of, psi, time_text
from keelway.errors import MissingRecordError

if TYPE_CHECKING:
    from keelway.features import ColumnProfile, FeatureTable, Profile
    from keelway.ledger.ports import StateStore, Transaction


@dataclass(frozen=True, slots=True)
class CutSpread:
    """How one feature is spread at one cut date.

    Attributes:
        missing: Share of the rows without a value, in [0, 1].
        zeros: Share of the rows whose value is 0; None for a category.
        median: Of a text its length, of an array its mean; None for a category, and where all are missing.
        psi: Population stability index against all earlier cut dates together, in nats; None at the first.
    """

    feature: str
    as_of: datetime
    rows: int
    missing: float
    zeros: float | None
    median: float | None
    psi: float | None


@dataclass(frozen=True, slots=True)
class TableProfile:
    """What is known of a feature table without reading it.

    Attributes:
        as_ofs: The cut dates that the profile is about.
        profile: Exact for the whole table and for one cut date; of several cut dates, bins and quantiles are estimated.
        cuts: Feature by feature, every one of these cut dates.
    """

    model: str
    purpose: str
    table: Digest
    as_ofs: tuple[datetime, ...]
    profile: Profile
    cuts: tuple[CutSpread, ...]


def table_profile(model: str, *, purpose: str, as_ofs: Sequence[datetime], state: StateStore) -> TableProfile:
    """Return the profile of a model's newest feature table.

    Args:
        purpose: `training` or `scoring`; empty takes whichever table is newest.
        as_ofs: The cut dates to look at; all where none is named.

    Raises:
        MissingRecordError: There is no such table, or it has no such cut date.
    """
    from keelway.features import Profile, merged_profile

    with state.snapshot() as tx:
        table = _newest(model, purpose, tx)
        wanted = _wanted(table, as_ofs)
        parts = {cut: tx.by_digest(Profile, digest) for cut, digest in wanted.items()}
        whole = tx.by_digest(Profile, table.profile)
    profile = whole if len(parts) in (0, len(table.as_ofs)) else merged_profile(list(parts.values()))
    return TableProfile(
        model, table.purpose, digest_of(table), tuple(parts) or table.as_ofs, profile, _spreads(profile, parts)
    )


def _newest(model: str, purpose: str, tx: Transaction) -> FeatureTable:
    from keelway.features import FeatureTable

    for table in tx.newest(FeatureTable, parent=model):
        if purpose in ("", table.purpose):
            return table
    raise MissingRecordError(
        f"There is no feature table of {model!r}",
        expected=f"one for {purpose}" if purpose else "one for training or scoring",
        fix=f"Run `keelway run train` or `keelway features materialise {model}`.",
    )


def _wanted(table: FeatureTable, as_ofs: Sequence[datetime]) -> dict[datetime, Digest]:
    """Return the digests of the profiles of some cut dates; a table of an earlier version of Keelway has none."""
    known = dict(zip(table.as_ofs, table.cut_profiles, strict=False))
    for as_of in as_ofs:
        if as_of not in known:
            raise MissingRecordError(
                f"The newest feature table of {table.model!r} has no profile of that cut date",
                expected=", ".join(time_text(cut) for cut in known) or "a table of this version of Keelway",
                found=time_text(as_of),
            )
    return {cut: digest for cut, digest in known.items() if not as_ofs or cut in as_ofs}


def _spreads(profile: Profile, parts: dict[datetime, Profile]) -> tuple[CutSpread, ...]:
    from keelway.features import merged_profile

    cuts = list(parts)
    before = {cut: merged_profile([parts[each] for each in cuts[:place]]) for place, cut in enumerate(cuts) if place}
    return tuple(_spread(name, cut, parts[cut], before.get(cut)) for name in profile.columns for cut in cuts)


def _spread(name: str, cut: datetime, profile: Profile, before: Profile | None) -> CutSpread:
    from keelway.features import quantile_of

    column, rows = profile.columns[name], max(profile.rows, 1)
    return CutSpread(
        feature=name,
        as_of=cut,
        rows=profile.rows,
        missing=column.nulls / rows,
        zeros=None if column.kind == "categorical" else column.zeros / rows,
        median=None if column.sketch is None else quantile_of(column.sketch, 0.5),
        psi=None if before is None else _moved(name, before, profile),
    )


def _moved(name: str, before: Profile, after: Profile) -> float | None:
    """Return how far a column moved; None where one side has no rows."""
    from keelway.features import recounted
    from keelway.monitor import histograms

    reference: ColumnProfile = before.columns[name]
    earlier, later = histograms(name, reference, recounted(after, before).columns[name])
    return psi(earlier, later) if sum(earlier) and sum(later) else None
