"""Reads the quarantine of a dataset: rows and files with every reason, their original text, and what became of them.

A batch's quarantine is a Parquet file that never changes; what became of a row is told by the releases and
discards that name its position. Only batches that were loaded have a quarantine: one that its contract stops waits
as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from keelway.contract.checked import CheckedBatch
from keelway.contract.quarantine.settle import ItemStatus, PickedFile, PickedRows, Settled, Span, settled
from keelway.core import ArtifactStore, Digest, digest_of
from keelway.errors import ErasedError
from keelway.ingest import Batch, SkipReason, loaded_pointer

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from keelway.ledger.ports import Transaction

FILE_PREFIX = "the file: "
"""Stands before a rule's reason where the whole file is quarantined for it."""
_JOIN = "\x1f"
_ROW_ITEM = re.compile(r"(?P<file>.+):(?P<row>[0-9]+)")
_CODES = {ItemStatus.OPEN: 0, ItemStatus.RELEASED: 1, ItemStatus.DISCARDED: 2}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which quarantined rows and files are meant: all for which everything given here holds.

    Attributes:
        items: `FILE` or `FILE:LINE`, any of them; empty for all.
        reason: A reason as it is told, or empty.
        file: A glob that the file's name matches, or empty.
        batch: The batch's number; 0 for any.
        status: What became of them; None for anything.
    """

    items: tuple[str, ...] = ()
    reason: str = ""
    file: str = ""
    batch: int = 0
    status: ItemStatus | None = ItemStatus.OPEN

    def has_file(self, name: str) -> bool:
        """Say whether a file as a whole is meant, as far as its name goes."""
        return fnmatchcase(name, self.file or "*") and (not self.items or name in self.items)

    def has_reason(self, reasons: tuple[str, ...]) -> bool:
        """Say whether one of the reasons is the one asked for."""
        return not self.reason or any(self.reason in (reason, plain_reason(reason)) for reason in reasons)

    def has_status(self, status: ItemStatus) -> bool:
        """Say whether that is what became of the things asked for."""
        return self.status in (None, status)


@dataclass(frozen=True, slots=True)
class HeldRow:
    """One quarantined row, as it stood in its file, and what became of it."""

    batch: int
    file: str
    row: int
    reasons: tuple[str, ...]
    raw: str
    status: ItemStatus


@dataclass(frozen=True, slots=True)
class HeldFile:
    """What of one file of one batch is quarantined.

    Attributes:
        digest: Of its bytes, which are in the artifact store.
        why: Why the whole file is quarantined, or empty where only some of its rows are.
        status: What became of the file as a whole.
        reasons: Reason to number of its rows, among those asked for.
        rows: How many of its rows were asked for, by what became of them.
    """

    batch: int
    name: str
    digest: Digest
    why: tuple[str, ...]
    status: ItemStatus
    reasons: dict[str, int]
    rows: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class HeldBatch:
    """The quarantine of one batch under a selection.

    Attributes:
        digest: Of the checked batch; None for a batch that only left files out.
        rows: Its quarantined rows: `file`, `digest`, `row`, `raw`, `reasons`.
        chosen: For each row whether the selection has it.
        codes: For each row what became of it.
        files: Its whole files that the selection has.
    """

    batch: Batch
    checked: CheckedBatch | None
    digest: Digest | None
    rows: pa.Table | None
    chosen: np.ndarray[Any, np.dtype[np.bool_]]
    codes: np.ndarray[Any, np.dtype[np.int8]]
    files: tuple[tuple[PickedFile, tuple[str, ...], ItemStatus], ...]

    def of_file(self, name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return for each row whether it is of a file."""
        import numpy as np

        return np.zeros(0, np.bool_) if self.rows is None else _among(self.rows["file"], lambda text: text == name)

    def is_touched(self, name: str) -> bool:
        """Say whether some rows of a file are settled, so that its own bytes hold more than what is open."""
        return bool(self.codes[self.of_file(name)].any())

    def picked(self) -> PickedRows | None:
        """Return the chosen rows, or None where there are none."""
        if self.digest is None or not self.chosen.any():
            return None
        return PickedRows(self.batch.number, self.digest, spans_of(self.chosen), int(self.chosen.sum()))


def plain_reason(reason: str) -> str:
    """Return a reason as the rule tells it, also where the whole file is quarantined for it."""
    return reason.removeprefix(FILE_PREFIX)


def held(dataset: str, selection: Selection, *, tx: Transaction, artifacts: ArtifactStore) -> Iterator[HeldBatch]:
    """Yield the batches that have anything of a selection in quarantine, newest first."""
    known = settled(dataset, tx)
    pointer = tx.pointer(loaded_pointer(dataset))
    if pointer is None:
        return
    loaded = tx.by_digest(Batch, pointer.target).number
    outcomes: dict[Digest, CheckedBatch] = {}
    for checked in tx.newest(CheckedBatch, parent=dataset):
        outcomes.setdefault(checked.batch, checked)  # a batch may have been checked by an earlier contract before
    for batch in sorted(tx.newest(Batch, parent=dataset), key=lambda item: -item.number):
        if batch.number <= loaded and selection.batch in (0, batch.number):
            digest = digest_of(batch)
            if digest not in known.batches:
                found = _held(batch, outcomes.get(digest), selection, known, artifacts)
                if found.files or found.chosen.any():
                    yield found


def quarantined_files(
    dataset: str, selection: Selection, *, tx: Transaction, artifacts: ArtifactStore
) -> list[HeldFile]:
    """Return what is quarantined by batch and file, newest batch first, with counts by reason."""
    return [line for found in held(dataset, selection, tx=tx, artifacts=artifacts) for line in _lines(found)]


def quarantined(
    dataset: str, selection: Selection, *, tx: Transaction, artifacts: ArtifactStore, limit: int
) -> list[HeldRow]:
    """Return at most `limit` quarantined rows, newest batch first, then in the order of files and lines."""
    rows: list[HeldRow] = []
    for found in held(dataset, selection, tx=tx, artifacts=artifacts):
        if len(rows) >= limit:
            break
        rows += _rows(found, limit - len(rows))
    return rows


def spans_of(chosen: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[Span, ...]:
    """Return the runs of chosen positions."""
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate(([0], chosen.astype(np.int8), [0]))))
    return tuple((int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True))


def _held(
    batch: Batch, checked: CheckedBatch | None, selection: Selection, known: Settled, artifacts: ArtifactStore
) -> HeldBatch:
    """Return the quarantine of one batch under a selection."""
    import numpy as np

    digest = None
    codes, chosen = np.zeros(0, np.int8), np.zeros(0, np.bool_)
    rows = _kept_rows(checked, artifacts)
    if checked is not None and rows is not None:
        digest = digest_of(checked)
        codes = np.zeros(rows.num_rows, np.int8)
        for (first, last), status in known.spans.get(digest, ()):
            codes[first : last + 1] = _CODES[status]
        chosen = _chosen(rows, selection)
        if selection.status is not None:
            chosen &= codes == _CODES[selection.status]
    files = tuple(
        (file, why, status)
        for file, why in _whole_files(batch, checked)
        if selection.has_file(file.name)
        and selection.has_reason(why)
        and selection.has_status(status := _file_status(file, known, rows, codes))
    )
    return HeldBatch(batch, checked, digest, rows, chosen, codes, files)


def _kept_rows(checked: CheckedBatch | None, artifacts: ArtifactStore) -> pa.Table | None:
    """Return the quarantined rows of a batch, or None where there are none or their key was destroyed."""
    import pyarrow.parquet as pq

    if checked is None or checked.quarantine is None:
        return None
    try:
        return pq.read_table(artifacts.path_of(checked.quarantine))
    except ErasedError:
        return None


def _file_status(
    file: PickedFile, known: Settled, rows: pa.Table | None, codes: np.ndarray[Any, np.dtype[np.int8]]
) -> ItemStatus:
    """Return what became of a whole file: where its rows are listed, it is settled when all of them are."""
    mine = codes[:0] if rows is None else codes[_among(rows["file"], lambda text: text == file.name)]
    if not len(mine):
        return known.files.get((file.batch, file.name), ItemStatus.OPEN)
    if not mine.all():
        return ItemStatus.OPEN
    return ItemStatus.RELEASED if (mine == _CODES[ItemStatus.RELEASED]).any() else ItemStatus.DISCARDED


def _whole_files(batch: Batch, checked: CheckedBatch | None) -> Iterator[tuple[PickedFile, tuple[str, ...]]]:
    """Yield the files of a batch that are quarantined as a whole, with the reasons."""
    for file in checked.files if checked else ():
        if file.reasons:
            yield PickedFile(batch.number, file.name, file.digest), file.reasons
    for skipped in batch.skipped:
        if skipped.reason is SkipReason.CONTENT_CHANGED:
            yield PickedFile(batch.number, skipped.name, skipped.digest), (str(skipped.reason),)


def _chosen(rows: pa.Table, selection: Selection) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return for each row whether a selection has it, whatever became of it."""
    import numpy as np
    import pyarrow.compute as pc

    chosen = np.ones(rows.num_rows, np.bool_)
    names, lines = rows["file"], rows["row"].to_numpy()
    if selection.reason:
        joined = pc.binary_join(rows["reasons"], _JOIN)
        chosen &= _among(joined, lambda text: selection.has_reason(tuple(text.split(_JOIN))))
    if selection.file:
        chosen &= _among(names, lambda name: fnmatchcase(name, selection.file))
    if selection.items:
        named = _among(names, lambda name: name in selection.items)
        for item in selection.items:
            match = _ROW_ITEM.fullmatch(item)
            if match:
                file = match["file"]
                named |= _among(names, lambda name, file=file: name == file) & (lines == int(match["row"]))
        chosen &= named
    return chosen


def _among(values: pa.ChunkedArray, fits: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return for each text whether it fits, asking once for each different one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = [text for text in pc.unique(values).to_pylist() if fits(text)]
    found: np.ndarray[Any, np.dtype[np.bool_]] = pc.is_in(values, pa.array(wanted, values.type)).to_numpy()
    return found


def _rows(found: HeldBatch, limit: int) -> list[HeldRow]:
    import numpy as np

    if found.rows is None:
        return []
    at = np.flatnonzero(found.chosen)[:limit]
    statuses = list(_CODES)
    return [
        HeldRow(found.batch.number, row["file"], row["row"], tuple(row["reasons"]), row["raw"], statuses[code])
        for row, code in zip(found.rows.take(at).to_pylist(), found.codes[at], strict=True)
    ]


def _lines(found: HeldBatch) -> Iterator[HeldFile]:
    """Yield a line for each file of a batch that has anything chosen."""
    whole = {file.name: (file, why, status) for file, why, status in found.files}
    reasons: dict[str, dict[str, int]] = {}
    counts: dict[str, dict[str, int]] = {}
    digests: dict[str, Digest] = {}
    statuses = list(_CODES)
    for name, digest, code, texts, number in _groups(found):
        digests[name] = digest
        mine = counts.setdefault(name, {})
        mine[statuses[code]] = mine.get(statuses[code], 0) + number
        for reason in texts:
            told = reasons.setdefault(name, {})
            told[reason] = told.get(reason, 0) + number
    for name in sorted({*whole, *counts}):
        file, why, status = whole.get(name, (None, (), ItemStatus.OPEN))
        digest = file.digest if file else digests[name]
        yield HeldFile(
            found.batch.number,
            name,
            digest,
            why,
            status,
            dict(sorted(reasons.get(name, {}).items())),
            counts.get(name, {}),
        )


def _groups(found: HeldBatch) -> Iterator[tuple[str, Digest, int, list[str], int]]:
    """Yield the chosen rows counted by file, what became of them, and the reasons they have together."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if found.rows is None:
        return
    rows = found.rows.select(["file", "digest"]).append_column("code", pa.array(found.codes))
    rows = rows.append_column("reasons", pc.binary_join(found.rows["reasons"], _JOIN))
    rows = rows.filter(pa.array(found.chosen))
    for group in rows.group_by(["file", "digest", "code", "reasons"]).aggregate([([], "count_all")]).to_pylist():
        yield group["file"], Digest(group["digest"]), group["code"], group["reasons"].split(_JOIN), group["count_all"]
