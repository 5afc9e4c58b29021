"""How much of 509 known errors in 19,000 cells a contract finds that was written without looking at the truth."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from keelway.contract import Contract, Rule, RuleKind, load_contract
from keelway.core import digest_bytes
from keelway.engines.local.checker import DuckDbChecker
from keelway.ingest import RawFile
from keelway.testing.pages import Page, table

Cell = tuple[int, str]
CONTRACT = Path(__file__).with_name("hospital.odcs.yaml")


@dataclass(frozen=True, slots=True)
class Score:
    """How well what was flagged fits what is wrong."""

    flagged: int
    wrong: int
    right: int

    @property
    def precision(self) -> float:
        return self.right / self.flagged

    @property
    def recall(self) -> float:
        return self.right / self.wrong

    @classmethod
    def of(cls, flagged: set, wrong: set) -> Score:
        return cls(len(flagged), len(wrong), len(flagged & wrong))


@pytest.fixture(scope="module")
def hospital(unpacked) -> Path:
    return unpacked("E_holoclean_hospital.zip")


@pytest.fixture(scope="module")
def rows(hospital: Path) -> list[dict[str, str]]:
    with (hospital / "hospital.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def wrong_cells(hospital: Path, rows: list[dict[str, str]]) -> set[Cell]:
    with (hospital / "hospital_clean.csv").open(encoding="utf-8", newline="") as stream:
        return {
            (int(cell["tid"]), cell["attribute"])
            for cell in csv.DictReader(stream)
            if rows[int(cell["tid"])][cell["attribute"]] != cell["correct_val"]
        }


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(CONTRACT, "hospital")


def flagged_cells(data: Path, contract: Contract, folder: Path) -> set[Cell]:
    """Check the file and return each cell that a reason names; of a dependency it is the dependent one."""
    body = data.read_bytes()
    raw = RawFile(f"dt=2026-03-01/{data.name}", digest_bytes(body), len(body), datetime(2026, 3, 2, tzinfo=UTC), None)
    found = DuckDbChecker(threads=1).check([(raw, data)], contract, event_time="dt", folder=folder)
    if found.quarantine is None:
        return set()
    rows = pq.read_table(found.quarantine).to_pylist()
    return {(row["row"] - 2, reason.partition(":")[0]) for row in rows for reason in row["reasons"]}


def _rows(cells: set[Cell]) -> set[int]:
    return {row for row, _ in cells}


def test_each_denial_constraint_stands_in_the_contract(hospital: Path, contract: Contract) -> None:
    given = set()
    for line in (hospital / "hospital_constraints.txt").read_text("utf8").split():
        same = frozenset(re.findall(r"EQ\(t1\.(\w+)", line))
        given.add((same, *re.findall(r"IQ\(t1\.(\w+)", line)))
    asked = [rule.columns for rule in contract.rules if rule.kind is RuleKind.FUNCTIONAL_DEPENDENCY]
    assert {(frozenset(columns[:-1]), columns[-1]) for columns in asked} == given
    assert len(given) == 15


def test_the_truth_is_what_its_description_says(wrong_cells: set[Cell]) -> None:
    assert (len(wrong_cells), len(_rows(wrong_cells))) == (509, 407)


def test_the_contract_finds_nearly_all_errors(
    hospital: Path, contract: Contract, wrong_cells: set[Cell], page: Page, tmp_path: Path
) -> None:
    data = hospital / "hospital.csv"
    dependent = [rule for rule in contract.rules if rule.kind is RuleKind.FUNCTIONAL_DEPENDENCY]
    shapes = replace(contract, rules=tuple(rule for rule in contract.rules if rule not in dependent))
    constraints = replace(contract, rules=tuple(dependent))
    told = []
    scores = {}
    for name, asked in {"patterns and lists": shapes, "denial constraints": constraints, "both": contract}.items():
        folder = tmp_path / name
        folder.mkdir()
        cells = flagged_cells(data, asked, folder)
        for unit, score in {
            "cells": Score.of(cells, wrong_cells),
            "rows": Score.of(_rows(cells), _rows(wrong_cells)),
        }.items():
            scores[name, unit] = score
            row = [name, unit, score.flagged, score.right, score.wrong]
            told.append([*row, f"{score.precision:.3f}", f"{score.recall:.3f}"])
    shown = table(["rules", "counted in", "flagged", "of them wrong", "wrong in all", "precision", "recall"], told)
    print(f"\n{shown}")
    assert scores["patterns and lists", "cells"].precision == 1
    assert scores["both", "cells"].precision >= 0.95
    assert scores["both", "cells"].recall >= 0.985
    assert scores["both", "rows"].precision >= 0.96
    assert scores["both", "rows"].recall == 1
    page.must_tell("hospital", shown)


def usual_values(rows: list[dict[str, str]], rule: Rule, row: int) -> set[str]:
    """Return the most frequent values of a rule's dependent among the rows with a row's determinant."""
    *determinant, dependent = rule.columns
    found = Counter(other[dependent] for other in rows if all(other[name] == rows[row][name] for name in determinant))
    return {value for value, count in found.items() if count == max(found.values())}


def test_what_is_flagged_in_vain_or_missed_has_the_cause_that_the_page_tells(
    hospital: Path, contract: Contract, rows: list[dict[str, str]], wrong_cells: set[Cell], tmp_path: Path
) -> None:
    flagged = flagged_cells(hospital / "hospital.csv", contract, tmp_path)
    vain, missed = flagged - wrong_cells, wrong_cells - flagged
    assert (len(vain), len(missed)) == (25, 6)
    averages = {row for row, column in vain if column == "Stateavg"}
    assert len(averages) == 20
    assert {rows[row]["State"] for row in averages} == {"ak"}
    rules = [rule for rule in contract.rules if rule.kind is RuleKind.FUNCTIONAL_DEPENDENCY]
    for row, column in vain - {(row, "Stateavg") for row in averages}:
        ties = [usual_values(rows, rule, row) for rule in rules if rule.columns[-1] == column]
        assert any(rows[row][column] in values and len(values) > 1 for values in ties), (row, column)
    for row, column in missed:
        determinants = {name for rule in rules if rule.columns[-1] == column for name in rule.columns[:-1]}
        assert {(row, name) for name in determinants} & wrong_cells & flagged, (row, column)
