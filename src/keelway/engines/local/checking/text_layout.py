"""Opens a file of text: its header says which field is which column, or else the order of the contract's columns."""

from __future__ import annotations

from pathlib import Path

from keelway.contract import Contract
from keelway.engines.local.checking.csv_lines import header_of
from keelway.engines.local.checking.opening import Layout, Told, compression_of, constants_of, foreign_kind, matched
from keelway.ingest import RawFile


def text_layout(number: int, file: RawFile, path: Path, contract: Contract, format_: str) -> Layout:
    """Return the layout of a CSV or JSON Lines file."""
    compression, problem = compression_of(file.name, path)
    foreign = foreign_kind(path, format_)
    problems = tuple(each for each in (foreign, problem) if each is not None)
    constants = constants_of(file.name, contract)
    if format_ == "jsonl":
        places = tuple(range(1, len(contract.columns) + 1))
        return Layout(
            number=number,
            file=file,
            path=path,
            format=format_,
            compression=compression,
            constants=constants,
            positions=places,
            fields=len(places),
            problems=problems,
        )
    told = Told()
    if contract.has_header:
        names = header_of(path, compression, contract, told)
        if not names and not told.problems and not problems:
            problems = ("the file has no header",)
    else:
        names = [column.name for column in contract.columns if column.name not in constants]
    header = matched(names, contract, constants)
    return Layout(
        number=number,
        file=file,
        path=path,
        format=format_,
        compression=compression,
        constants=constants,
        names=header.names,
        positions=header.positions,
        nameless=tuple(number for number, name in enumerate(names, start=1) if not name),
        fields=len(names),
        renamed=header.renamed,
        extra=header.extra,
        missing=header.missing,
        problems=problems + (header.problems if names and not foreign else ()),
    )
