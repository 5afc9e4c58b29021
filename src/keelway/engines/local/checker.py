"""Checks files against a contract in DuckDB: one pass for all row rules, one more for each rule on several rows.

Files of text are read once, judged on the way and laid out as Parquet; Parquet is read where it lies. What was
kept and what was quarantined is then written in the order of files and lines, in row groups of a fixed size, so
that the same input gives the same bytes on any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.contract import NOTHING, Against, Contract, Findings, PiiClass, QuarantinedRow, Tokenizer, format_of
from keelway.core import memory_duckdb
from keelway.engines.local.checking import outcome
from keelway.engines.local.checking.batch_rules import ask_batch_rules
from keelway.engines.local.checking.judging import Judgement, judgement
from keelway.engines.local.checking.opening import Layout, Told
from keelway.engines.local.checking.parquet_rows import parquet_layout, unreadable
from keelway.engines.local.checking.repairs import listed
from keelway.engines.local.checking.rows_file import kept_schema
from keelway.engines.local.checking.segments import parquet_files
from keelway.engines.local.checking.set_rules import ask_set_rules
from keelway.engines.local.checking.text_layout import text_layout
from keelway.engines.local.checking.tokens import tokenise
from keelway.engines.local.checking.work import LANDED, Work, read_rows
from keelway.errors import ContractError, EngineError, StorageError
from keelway.ingest import RawFile

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class DuckDbChecker:
    """A checker on DuckDB in this process.

    Attributes:
        threads: Of DuckDB; 0 lets it choose.
        memory_limit: Of DuckDB, after which it spills to disk.
    """

    threads: int = 0
    memory_limit: str = "250MB"

    def check(
        self,
        files: Sequence[tuple[RawFile, Path]],
        contract: Contract,
        *,
        event_time: str,
        folder: Path,
        against: Against = NOTHING,
        tokenizer: Tokenizer | None = None,
        waived: frozenset[str] = frozenset(),
        keep: bool = True,
    ) -> Findings:
        """Check files and write the outcome into a folder."""
        _must_have_tokenizer(contract, tokenizer)
        _must_have_distinct_names(contract)
        job = _CheckJob(contract, judgement(contract, event_time, waived), event_time, folder, against, tokenizer, keep)
        layouts, told = _opened(files, contract)
        try:
            return self._run(job, layouts, told)
        except (ContractError, StorageError, EngineError) as error:
            damaged = {layout.number: problem for layout in layouts if (problem := unreadable(layout))}
            if error.__cause__ is None or not damaged:
                raise
        layouts = [replace(one, problems=(*one.problems, *damaged.get(one.number, ()))) for one in layouts]
        for number, known in told.items():
            told[number] = Told(0 if number in damaged or layouts[number].format != "parquet" else known.rows)
        return self._run(job, layouts, told)

    def _run(self, job: _CheckJob, layouts: Sequence[Layout], told: dict[int, Told]) -> Findings:
        import duckdb

        try:
            with _connected(job, layouts, threads=self.threads, memory_limit=self.memory_limit) as connection:
                work = Work(connection, job.contract, job.judgement, job.event_time, layouts, told, folder=job.folder)
                return _findings(work, job)
        except duckdb.Error as error:
            raise _translated(error, job.contract) from error
        finally:
            for path in job.folder.glob(f"{LANDED}-*.parquet"):
                path.unlink()


@dataclass(frozen=True, slots=True)
class _CheckJob:
    """What is asked of a check, whatever the files turn out to be."""

    contract: Contract
    judgement: Judgement
    event_time: str
    folder: Path
    against: Against
    tokenizer: Tokenizer | None
    keep: bool


def _must_have_tokenizer(contract: Contract, tokenizer: Tokenizer | None) -> None:
    names = [column.name for column in contract.pii_columns if column.pii is not PiiClass.DROP]
    if names and tokenizer is None:
        raise ContractError(
            f"Columns of {contract.dataset} name a person",
            expected="a tokenizer, so that no version holds them as they are",
            found=f"none, for {', '.join(names)}",
            fix="Give the dataset's tenant a key, or drop the columns in the contract (`pii: drop`).",
        )


def _must_have_distinct_names(contract: Contract) -> None:
    """Refuse names that differ in case only: DuckDB, and every reader of a version by it, takes them for one."""
    names: dict[str, str] = {}
    for column in contract.columns:
        other = names.setdefault(column.name.lower(), column.name)
        if other != column.name:
            raise ContractError(
                f"Columns of {contract.dataset} cannot be told apart",
                expected="names that differ in more than upper and lower case",
                found=f"{other}, {column.name}",
                fix="Rename one in the contract; the name in the files can be its alias.",
            )


def _opened(files: Sequence[tuple[RawFile, Path]], contract: Contract) -> tuple[list[Layout], dict[int, Told]]:
    """Return the layouts of files in the order of their names, and what is known of them so far."""
    layouts: list[Layout] = []
    told: dict[int, Told] = {}
    for number, (file, path) in enumerate(sorted(files, key=lambda pair: (pair[0].name, pair[0].digest))):
        kind = format_of(file.name, contract)
        told[number] = Told()
        if kind == "parquet":
            layout, told[number].rows = parquet_layout(number, file, path, contract)
        else:
            layout = text_layout(number, file, path, contract, kind)
        layouts.append(layout)
    return layouts, told


def _connected(
    job: _CheckJob, layouts: Sequence[Layout], *, threads: int, memory_limit: str
) -> duckdb.DuckDBPyConnection:
    """Return a connection that can read nothing but the files of this check: a contract may hold SQL."""
    config: dict[str, Any] = {"memory_limit": memory_limit, "temp_directory": str(job.folder / "spill")}
    if threads:
        config["threads"] = threads
    connection = memory_duckdb(**config)
    paths = [layout.path for layout in layouts]
    paths += [*job.against.previous, *(path for found in job.against.references.values() for path in found)]
    connection.execute(f"SET allowed_paths = [{listed(tuple(str(path) for path in paths))}]")
    connection.execute(f"SET allowed_directories = [{listed((str(job.folder),))}]")
    connection.execute("SET enable_external_access = false")
    return connection


def _findings(work: Work, job: _CheckJob) -> Findings:
    """Ask all rules and write down what came of it."""
    read_rows(work)
    tokenise(work, job.tokenizer)
    ask_set_rules(work, job.against)
    outcome.settle(work)
    kept, columns = None, {field.name: str(field.type) for field in kept_schema(job.contract)}
    if job.keep:
        kept = job.folder / "rows.parquet"
        outcome.write_kept(work, kept)
    ask_batch_rules(work, job.against, kept=parquet_files([kept]) if kept else f"({outcome.kept_query(work)})")
    files = outcome.counted_files(work)
    quarantine: Path | None = None
    examples: tuple[QuarantinedRow, ...] = ()
    if any(file.rows_quarantined for file in files):
        quarantine = job.folder / "quarantine.parquet"
        examples = outcome.write_quarantine(work, quarantine)
    repaired, repairs = outcome.counts_by_repair(work)
    return Findings(
        rows=kept,
        quarantine=quarantine,
        rows_repaired=repaired,
        repairs=repairs,
        reasons=outcome.counts_by_reason(work),
        files=files,
        columns=columns,
        examples=examples,
        warnings=dict(sorted(work.warnings.items())),
        stops=tuple(work.stops),
    )


def _translated(error: duckdb.Error, contract: Contract) -> ContractError | StorageError | EngineError:
    """Return DuckDB's error as one of ours."""
    import duckdb

    rule = (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.ParserException, duckdb.BinderException)
    if isinstance(error, rule):
        return ContractError(
            f"A rule of the contract of {contract.dataset} cannot be evaluated", found=_first_line(error)
        )
    if isinstance(error, (duckdb.IOException, duckdb.OutOfMemoryException)):
        return StorageError("Rows cannot be checked", found=_first_line(error))
    return EngineError("DuckDB cannot check the rows", found=_first_line(error))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


if TYPE_CHECKING:
    from keelway.contract import Checker

    _: Checker = DuckDbChecker()
