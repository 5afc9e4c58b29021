"""Tries mutations of the feed on real engines: what is told of each, and which wrong rows get in.

The world holds two weeks of clean hours, up to a Monday at ten. Each trial gets a copy of it and one new file, which goes the whole way in:
pulled, checked against the version before, made part of a snapshot, and compared in volume with what came before.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from keelway.contract import CheckedBatch, Contract, RuleKind, accept_change, load_contract
from keelway.engines.delta import DeltaTables
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.errors import ContractError
from keelway.project import Dataset
from keelway.testing.feed import Feed, customers, hour
from keelway.testing.intake import ACTOR, Intake
from keelway.testing.mutations import Mutation, SeenAs

HISTORY_H = 346
"""Hours that are loaded before the first trial."""
CONTRACT = Path(__file__).with_name("feed.odcs.yaml")
ORDERS = Dataset("orders", contract="orders.yaml", source="raw/orders/**/*", event_time="ordered_at")
ONE_HOUR = (RuleKind.ROW_COUNT, RuleKind.FRESHNESS, RuleKind.DISTRIBUTION, RuleKind.SQL, RuleKind.REFERENCE)
"""Rules that the history is loaded without: it comes in one batch, and before there is anything to compare with."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one file.

    Attributes:
        told: The first thing that is told, in the words a user reads.
        wrong: Rows that would be loaded and that the clean file does not have.
    """

    outcome: SeenAs
    told: str
    wrong: int


@dataclass(frozen=True, slots=True)
class FeedWorld:
    """Two weeks of the feed, taken in by the engines of this machine."""

    root: Path
    contract: Contract

    @classmethod
    def open(cls, root: Path) -> FeedWorld:
        """Load the history."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        world = cls(root, load_contract(CONTRACT, ORDERS.name))
        pq.write_table(pa.table({"customer_id": list(customers())}), root / "customers.parquet")
        history = [hour(number) for number in range(HISTORY_H)]
        with world._intake(root / "first") as intake:
            for feed in history:
                intake.upload(feed.name, feed.csv(), feed.written_at)
            batch = intake.pull(history[-1].written_at)
            assert batch is not None
            checked = intake.check(batch, contract=_without_comparisons(world.contract))
            intake.take(checked)
            intake.account(batch, checked)
            told = "from here on, hour by hour"
            accept_change(world.contract, state=intake.state, actor=ACTOR, now=batch.pulled_at, comment=told)
            shutil.rmtree(intake.objects)
        return world

    @contextmanager
    def trial(self) -> Iterator[Trial]:
        """Yield a copy of the world that nothing has been uploaded to yet."""
        with tempfile.TemporaryDirectory(dir=self.root) as folder:
            copy = Path(folder) / "copy"
            shutil.copytree(self.root / "first", copy)
            with self._intake(copy) as intake:
                yield Trial(intake)

    def see(self, mutation: Mutation, number: int, *, seed: int = 0) -> Seen:
        """Return what is seen of a mutation of one hour."""
        feed = hour(number)
        with self.trial() as trial:
            return trial.see(mutation.place(feed), mutation.spoilt(feed, seed=seed), feed)

    @contextmanager
    def _intake(self, folder: Path) -> Iterator[Intake]:
        """Yield the way in with its state and tables in a folder; what artifacts hold is named by content and shared."""
        folder.mkdir(exist_ok=True)
        state = SqlState(f"sqlite:///{folder}/state.db")
        try:
            yield Intake(
                dataset=ORDERS,
                contract=self.contract,
                objects=folder / "objects",
                state=state,
                artifacts=LocalArtifacts(self.root / "artifacts"),
                tables=DeltaTables.below(folder / "tables"),
                references={"customers": (self.root / "customers.parquet",)},
            )
        finally:
            state.close()


@dataclass(frozen=True, slots=True)
class Trial:
    """A world of its own for some files."""

    intake: Intake

    def see(self, name: str, body: bytes, clean: Feed) -> Seen:
        """Take one file in and return what is seen of it, where it should have been a clean one."""
        self.intake.upload(name, body, clean.written_at)
        batch = self.intake.pull(clean.written_at)
        if batch is None:
            return Seen(SeenAs.MISSED, "nothing was pulled", 0)
        if batch.skipped:
            (skipped,) = batch.skipped
            return Seen(SeenAs.REFUSED, f"{skipped.reason}{f' of {skipped.of}' if skipped.of else ''}", 0)
        try:
            checked = self.intake.check(batch)
        except ContractError as error:
            return Seen(SeenAs.REFUSED, error.found.partition(" (for example")[0], 0)
        self.intake.take(checked)
        alerts = [reason for alert in self.intake.account(batch, checked) for reason in alert.reasons]
        return _seen(checked, alerts, _wrong(_rows(checked, self.intake), clean))


def _rows(checked: CheckedBatch, intake: Intake) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(intake.artifacts.path_of(checked.rows)).to_pylist()
    return rows


def _without_comparisons(contract: Contract) -> Contract:
    return replace(contract, rules=tuple(rule for rule in contract.rules if rule.kind not in ONE_HOUR))


def _seen(checked: CheckedBatch, alerts: list[str], wrong: int) -> Seen:
    (file,) = checked.files
    if file.reasons:
        return Seen(SeenAs.REFUSED, file.reasons[0], wrong)
    if checked.rows_quarantined:
        reason = max(checked.reasons, key=lambda text: checked.reasons[text])
        outcome = SeenAs.QUARANTINED if checked.rows_ok else SeenAs.REFUSED
        return Seen(outcome, f"{reason} ({checked.reasons[reason]} rows)", wrong)
    if warnings := [*checked.warnings, *alerts]:
        return Seen(SeenAs.WARNED, warnings[0], wrong)
    if wrong:
        return Seen(SeenAs.MISSED, "", wrong)
    if checked.rows_repaired:
        told = "; ".join(f"{column}: {', '.join(found)}" for column, found in checked.repairs.items())
        return Seen(SeenAs.REPAIRED, told, 0)
    return Seen(SeenAs.HARMLESS, f"unknown column {file.extra[0]}" if file.extra else "", 0)


def _wrong(rows: list[dict[str, Any]], clean: Feed) -> int:
    """Return how many rows differ from every row of the clean file, as Python reads that."""
    found = Counter(tuple(row[name] for name in clean.header) for row in rows)
    return (found - Counter(_read(row) for row in clean.rows)).total()


def _read(row: tuple[str, ...]) -> tuple[Any, ...]:
    order, customer, channel, city, quantity, price, amount, at = row
    return order, customer, channel, city, int(quantity), float(price), float(amount), datetime.fromisoformat(at)
