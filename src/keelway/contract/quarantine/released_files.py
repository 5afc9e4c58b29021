"""Makes the files of a release: the chosen rows of each file that keep the contract as it is now, and whole files.

The files are made, checked, and made again without the rows that fail, until none does; usually once or twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.contract.contract import Contract
from keelway.contract.ports import NOTHING, Against, Checker, Findings, Tokenizer
from keelway.contract.quarantine.cut_out import RowPlace, cut_out, format_of, unpacked_name
from keelway.contract.quarantine.kept_out import HeldBatch, spans_of
from keelway.contract.quarantine.settle import PickedFile, PickedRows
from keelway.contract.stops import reasons_to_stop
from keelway.core import ArtifactKind, ArtifactStore, Digest, digest_file
from keelway.errors import ContractError
from keelway.ingest import RawFile

if TYPE_CHECKING:
    import pyarrow as pa

ROUNDS = 8
"""How often the files are made anew before a contract counts as one that never agrees with itself."""


@dataclass(frozen=True, slots=True)
class ReleasedFiles:
    """The files of a release.

    Attributes:
        files: What the batch holds, sorted by name; their bytes are in the artifact store.
        picked_rows: The rows in them, by batch; of whole files too.
        rows: How many single rows there are.
        kept_back: Reason to number of chosen rows that fail again.
        files_kept_back: Chosen files that fail whole again, with the reasons.
    """

    files: tuple[RawFile, ...]
    picked_rows: tuple[PickedRows, ...]
    picked_files: tuple[PickedFile, ...]
    rows: int
    kept_back: dict[str, int]
    files_kept_back: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Recheck:
    """How rows are checked that somebody wants to let in: by the contract as it is now.

    Attributes:
        event_time: The column that says when a row happened.
        against: The versions that they are compared with.
        tokenizer: Needed where the contract has columns that name a person.
    """

    contract: Contract
    event_time: str
    checker: Checker
    against: Against = NOTHING
    tokenizer: Tokenizer | None = None

    def findings(self, files: Sequence[tuple[RawFile, Path]], *, waived: tuple[str, ...], folder: Path) -> Findings:
        """Return what the contract says of files; nothing is kept."""
        return self.checker.check(
            files, self.contract, event_time=self.event_time, folder=folder, against=self.against,
            tokenizer=self.tokenizer, waived=frozenset(waived), keep=False,
        )  # fmt: skip


@dataclass(slots=True)
class _Part:
    """What of one raw file is to be released.

    Attributes:
        name: Under which it is released.
        origin: The raw file's own name.
        whole: The file as it was picked whole; None where single rows are cut out.
        places: The single rows, in order.
        lines: Line of the file that was made to position in the quarantine.
    """

    held: HeldBatch
    name: str
    origin: str
    digest: Digest
    whole: PickedFile | None
    places: list[RowPlace] = field(default_factory=list)
    lines: dict[int, int] = field(default_factory=dict)


def files_to_release(
    chosen: Sequence[HeldBatch],
    *,
    contracts: Mapping[Digest, Contract],
    recheck: Recheck,
    waived: tuple[str, ...],
    prefix: str,
    artifacts: ArtifactStore,
    folder: Path,
    now: datetime,
) -> ReleasedFiles:
    """Return the files that hold what keeps the contract, with their bytes stored.

    Args:
        contracts: Those that the chosen rows were checked by, which say how their files are read.
        prefix: Stands before the names of the files.

    Raises:
        ContractError: What is left would stop the load, or single rows stand below another header than the contract
            now asks for.
    """
    parts = [part for item in chosen for part in _parts(item, contracts, recheck.contract, prefix)]
    kept_back: dict[str, int] = {}
    files_kept_back: dict[str, tuple[str, ...]] = {}
    for number in range(ROUNDS):
        if not parts:
            break
        place = folder / str(number)
        place.mkdir()
        made = [_made(part, contracts, artifacts, place / f"{n}.part", now) for n, part in enumerate(parts)]
        findings = recheck.findings(made, waived=waived, folder=place)
        left = _without_failures(parts, findings, kept_back, files_kept_back)
        if left == parts:
            _must_not_stop(findings, recheck.contract)
            return _released(parts, made, artifacts, kept_back, files_kept_back)
        parts = left
    return ReleasedFiles((), (), (), 0, kept_back, files_kept_back)


def _parts(item: HeldBatch, contracts: Mapping[Digest, Contract], now: Contract, prefix: str) -> list[_Part]:
    """Return a part for each whole file of a batch, and for the chosen rows of each other one."""
    number = item.batch.number
    untouched = (file for file, _, _ in item.files if not item.is_touched(file.name))
    parts = [_Part(item, f"{prefix}/{number:06d}/{f.name}", f.name, f.digest, f) for f in untouched]
    whole = {part.origin for part in parts}
    rows: dict[str, _Part] = {}
    for place, name, digest in _places(item):
        if name in whole:
            continue
        if name not in rows:
            assert item.checked is not None
            by = contracts[item.checked.contract]
            _must_have_one_header(name, by, now)
            plain = name if format_of(name, by) == "parquet" else unpacked_name(name)
            rows[name] = _Part(item, f"{prefix}/{number:06d}/{plain}", name, digest, None)
        rows[name].places.append(place)
    return parts + list(rows.values())


def _places(item: HeldBatch) -> Iterator[tuple[RowPlace, str, Digest]]:
    """Yield where each chosen row stands, with its file."""
    import numpy as np
    import pyarrow.compute as pc

    if item.rows is None:
        return
    at = np.flatnonzero(item.chosen)
    rows = item.rows.take(at)
    ends = pc.count_substring_regex(rows["raw"], r"\r\n|\r|\n").to_pylist()
    columns = (at.tolist(), rows["row"].to_pylist(), ends, rows["file"].to_pylist(), rows["digest"].to_pylist())
    for position, line, more, name, digest in zip(*columns, strict=True):
        yield RowPlace(position, line, more + 1), name, Digest(digest)


def _made(
    part: _Part, contracts: Mapping[Digest, Contract], artifacts: ArtifactStore, target: Path, now: datetime
) -> tuple[RawFile, Path]:
    """Return a part as a raw file, with a local path to its bytes."""
    source = artifacts.path_of(part.digest)
    if part.whole is not None:
        return RawFile(part.name, part.digest, source.stat().st_size, now, None), source
    assert part.held.checked is not None
    by = contracts[part.held.checked.contract]
    part.lines = cut_out(part.origin, source, part.places, target, contract=by)
    return RawFile(part.name, digest_file(target), target.stat().st_size, now, None), target


def _must_have_one_header(name: str, before: Contract, now: Contract) -> None:
    """Refuse rows of a CSV file whose header, or lack of one, the contract of today would take for something else."""
    if format_of(name, before) != "csv":
        return
    told = [
        f"{'a header' if each.has_header else 'no header'} below {each.skip_lines} lines that are passed over"
        for each in (now, before)
    ]
    if told[0] != told[1]:
        raise ContractError(
            f"Single rows of {name} cannot be released",
            expected=f"files with {told[0]}, as the contract now says",
            found=told[1],
            fix="Discard them, or release them while a contract with that header is in force.",
        )


def _without_failures(
    parts: list[_Part], findings: Findings, kept_back: dict[str, int], files_kept_back: dict[str, tuple[str, ...]]
) -> list[_Part]:
    """Return the parts without the single rows that failed and the whole files that did; count both by reason."""
    failed = _failed(findings)
    problems = {file.name: file.reasons for file in findings.files if file.reasons}
    left = []
    for part in parts:
        if part.whole is not None:
            if part.name in problems:
                files_kept_back[part.origin] = problems[part.name]
            else:
                left.append(part)
            continue
        bad = {part.lines[line] for line in failed.get(part.name, {})}
        for reasons in failed.get(part.name, {}).values():
            for reason in reasons:
                kept_back[reason] = kept_back.get(reason, 0) + 1
        if not bad:
            left.append(part)
        elif len(bad) < len(part.places):
            left.append(replace(part, places=[place for place in part.places if place.position not in bad]))
    return left


def _failed(findings: Findings) -> dict[str, dict[int, list[str]]]:
    """Return the reasons of the rows that failed, by file and line."""
    import pyarrow.parquet as pq

    failed: dict[str, dict[int, list[str]]] = {}
    if findings.quarantine is not None:
        with pq.ParquetFile(findings.quarantine) as stored:
            for part in stored.iter_batches(columns=["file", "row", "reasons"]):
                _add_failed(part, failed)
    return failed


def _add_failed(part: pa.RecordBatch, failed: dict[str, dict[int, list[str]]]) -> None:
    for row in part.to_pylist():
        failed.setdefault(row["file"], {})[row["row"]] = row["reasons"]


def _must_not_stop(findings: Findings, contract: Contract) -> None:
    """Refuse files that the contract would stop as a batch: nothing could ever be loaded after them."""
    stops = (*findings.stops, *reasons_to_stop(findings.files, contract))
    if stops:
        raise ContractError(
            "The contract would stop these rows as a batch",
            expected="a batch within its limits",
            found="; ".join(stops),
            fix="Release fewer of them (--reason, FILE:LINE), or mend the contract.",
        )


def _released(
    parts: Sequence[_Part],
    made: Sequence[tuple[RawFile, Path]],
    artifacts: ArtifactStore,
    kept_back: dict[str, int],
    files_kept_back: dict[str, tuple[str, ...]],
) -> ReleasedFiles:
    """Store the files that were cut out and say what is in them."""
    for part, (file, path) in zip(parts, made, strict=True):
        if part.whole is None:
            artifacts.put_file(path, kind=ArtifactKind.RAW_FILE, name=file.name)
    return ReleasedFiles(
        files=tuple(sorted((file for file, _ in made), key=lambda file: file.name)),
        picked_rows=tuple(_picked_rows(parts)),
        picked_files=tuple(part.whole for part in parts if part.whole is not None),
        rows=sum(len(part.places) for part in parts),
        kept_back=kept_back,
        files_kept_back=files_kept_back,
    )


def _picked_rows(parts: Sequence[_Part]) -> list[PickedRows]:
    """Return the released rows by batch, those of whole files included."""
    import numpy as np

    found = []
    for held in {id(part.held): part.held for part in parts}.values():
        if held.rows is None or held.digest is None:
            continue
        mine = [part for part in parts if part.held is held]
        chosen = np.zeros(held.rows.num_rows, np.bool_)
        chosen[[place.position for part in mine for place in part.places]] = True
        for part in mine:
            if part.whole is not None:
                chosen |= held.of_file(part.origin)
        if chosen.any():
            found.append(PickedRows(held.batch.number, held.digest, spans_of(chosen), int(chosen.sum())))
    return found
