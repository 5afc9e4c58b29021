"""Contracts as people work with them: draft, lint, compare, show, accept a change, and see what it reaches.

What needs no project are functions on files; the rest are use cases of `ContractRoom`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.files import written
from keelway.app.wire import Workspace
from keelway.core import Action, VersionName, digest_file, memory_duckdb
from keelway.errors import MissingRecordError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.app.impact import ImpactReport, LiveShare
    from keelway.contract import Contract, ContractAcceptance, ContractDiff, DraftedContract, LintReport
    from keelway.engines.great_expectations import SecondOpinion


ACCEPTERS = ("data-scientist", "approver", "admin")
"""Who may let a breaking change in."""


@dataclass(frozen=True, slots=True)
class CheckedDraft:
    """A draft and what its own sample says to it.

    Attributes:
        rows_in: Rows of the samples; `rows_quarantined` of them do not keep the draft, for these `reasons`.
    """

    draft: DraftedContract
    rows_in: int
    rows_quarantined: int
    reasons: dict[str, int]


def draft_of(samples: Sequence[Path], dataset: str, *, now: datetime) -> CheckedDraft:
    """Draft a contract from samples, and check the samples against it.

    Raises:
        ContractError: A sample has no header, no rows or another layout than the first.
        StorageError: A sample cannot be read.
    """
    from keelway.contract import PiiClass, draft_contract, load_contract
    from keelway.engines.local.checker import DuckDbChecker
    from keelway.ingest import RawFile

    draft = draft_contract(samples, dataset=dataset)
    with tempfile.TemporaryDirectory(prefix="keelway-draft-") as folder:
        path = Path(folder) / "draft.odcs.yaml"
        path.write_text(draft.text, "utf8")
        contract = load_contract(path, dataset)
        plain = replace(contract, columns=tuple(replace(each, pii=PiiClass.NONE) for each in contract.columns))
        files = [
            (RawFile(each.name, digest_file(each), each.stat().st_size, now, event_date=None), each) for each in samples
        ]
        event_time = draft.event_time or plain.columns[0].name
        waived = frozenset() if draft.event_time else frozenset({f"{event_time}: missing"})  # no time, so none needed
        found = DuckDbChecker().check(
            files, plain, event_time=event_time, folder=Path(folder), waived=waived, keep=False
        )
    return CheckedDraft(
        draft=draft,
        rows_in=sum(file.rows_in for file in found.files),
        rows_quarantined=sum(file.rows_quarantined for file in found.files),
        reasons=found.reasons,
    )


def write_draft(draft: DraftedContract, path: Path, *, force: bool = False) -> Path:
    """Write a draft to a file.

    Raises:
        UsageError: The file is there and may not be written over.
        StorageError: The file cannot be written.
    """
    if path.exists() and not force:
        raise UsageError("The contract is there already", expected="a new file", found=str(path), fix="Add --force.")
    return written(path, draft.text)


def lint_file(path: Path, dataset: str = "") -> LintReport:
    """Return what is wrong with a contract's file."""
    from keelway.contract import lint_contract

    return lint_contract(path, dataset)


def contract_in(path: Path, dataset: str = "") -> Contract:
    """Return the contract in a file; `dataset` names it where the file describes several.

    Raises:
        ContractError: The file cannot be used.
        UsageError: It describes several datasets and none is named.
    """
    from keelway.contract import datasets_in, load_contract

    names = [dataset] if dataset else datasets_in(path)
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise UsageError(f"{path.name} describes several datasets", expected="one", found=found, fix="Add --dataset.")
    return load_contract(path, names[0])


def diff_of(old: Path, new: Path, dataset: str = "") -> ContractDiff:
    """Return what a new contract's file changes."""
    from keelway.contract import changes_between

    return changes_between(contract_in(old, dataset), contract_in(new, dataset))


def write_page(contract: Contract, path: Path) -> Path:
    """Write a contract as an HTML page.

    Raises:
        StorageError: The page cannot be written.
    """
    from keelway.contract import contract_page

    return written(path, contract_page(contract))


class ContractRoom:
    """Use cases on the contracts of a project."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def path(self, dataset: str) -> Path:
        """Return where a dataset's contract lies."""
        return self._at.root / self._at.project.dataset(dataset).contract

    def now(self, dataset: str) -> Contract:
        """Return a dataset's contract as its file says now."""
        from keelway.contract import load_contract

        return load_contract(self.path(dataset), dataset)

    def then(self, dataset: str) -> Contract:
        """Return the contract of a dataset's newest version.

        Raises:
            MissingRecordError: There is no version yet.
        """
        from keelway.contract import Contract
        from keelway.snapshot import newest

        with self._at.state.snapshot() as tx:
            snapshot = newest(dataset, tx)
            if snapshot is None:
                raise MissingRecordError(
                    f"There is no version of {dataset} yet",
                    expected="a version that was taken under a contract",
                    found="none",
                    fix=f"keelway ingest {dataset}; or compare two files with `keelway contract diff OLD NEW`.",
                )
            return tx.by_digest(Contract, snapshot.contract)

    def diff(self, dataset: str) -> ContractDiff:
        """Return what the file says now that the contract of the newest version did not."""
        from keelway.contract import changes_between

        return changes_between(self.then(dataset), self.now(dataset))

    def lint(self, dataset: str) -> LintReport:
        """Return what is wrong with a dataset's contract."""
        return lint_file(self.path(dataset), dataset)

    def accept(self, dataset: str, *, comment: str) -> ContractAcceptance:
        """Let the breaking change of a dataset's contract in, from the next ingest on; a decision in the ledger.

        Raises:
            IdentityError: The actor has none of the roles in `ACCEPTERS`.
        """
        from keelway.contract import accept_change
        from keelway.identity import on_record, require_role

        at = self._at
        with on_record(Action.CONTRACT, dataset, principal=at.principal, state=at.state, now=at.now()):
            require_role(at.principal, *ACCEPTERS)
        contract = self.now(dataset)
        return accept_change(contract, state=at.state, actor=at.principal.id, now=at.now(), comment=comment)

    def impact(self, dataset: str, *, to: Path | None = None) -> ImpactReport:
        """Return what a changed contract reaches: features, models, versions, deployments.

        Args:
            to: The file of the new contract; the dataset's own where None.

        Raises:
            MissingRecordError: There is no version of the dataset yet.
        """
        from keelway.app.impact import impact_of

        at = self._at
        new = contract_in(to, dataset) if to else self.now(dataset)
        others = {each.name: self.now(each.name) for each in at.project.datasets if each.name != dataset}
        versions, live = self._versions()
        return impact_of(
            self.then(dataset),
            new,
            models=at.project.models,
            contracts=others,
            versions=versions,
            live=live,
            now=at.now(),
        )

    def second_opinion(self, dataset: str, *, docs: Path | None = None) -> SecondOpinion:
        """Return what Great Expectations says of a dataset's newest version, beside Keelway's own counts.

        Args:
            docs: The folder to write its pages to; None writes none.

        Raises:
            MissingRecordError: There is no version yet.
            MissingExtraError: Great Expectations is not installed.
        """
        from keelway.engines.great_expectations import second_opinion

        return second_opinion(self.then(dataset), self._rows(dataset), docs=docs)

    def _rows(self, dataset: str) -> pa.Table:
        """Return the rows of the newest version, in the columns of its contract."""
        from keelway.snapshot import SnapshotRows, newest, read

        at = self._at
        with at.state.snapshot() as tx:
            snapshot = newest(dataset, tx)
        assert snapshot is not None, "the contract of the newest version was found before"
        paths = read(snapshot, tables=at.tables, artifacts=at.artifacts, state=at.state)
        named = {column.name for column in self.then(dataset).columns}
        own = {name: kind for name, kind in snapshot.columns.items() if name in named}
        with memory_duckdb() as connection:
            return connection.sql(SnapshotRows(tuple(paths), own).sql).to_arrow_table()

    def _versions(self) -> tuple[dict[str, list[VersionName]], dict[VersionName, list[LiveShare]]]:
        """Return the versions of each model, newest first, and where each of them gets traffic."""
        from keelway.app.impact import LiveShare
        from keelway.deploy import current
        from keelway.register import ModelVersion

        at = self._at
        versions: dict[str, list[VersionName]] = {}
        live: dict[VersionName, list[LiveShare]] = {}
        with at.state.snapshot() as tx:
            for model in at.project.models:
                found = sorted(tx.newest(ModelVersion, parent=model.name), key=lambda each: -each.number)
                versions[model.name] = [each.name for each in found]
                for environment in sorted(at.settings.environments):
                    deployment = current(model.name, environment, tx)
                    for version, percent in deployment.traffic.items() if deployment else ():
                        live.setdefault(version, []).append(LiveShare(environment, percent))
        return versions, live
