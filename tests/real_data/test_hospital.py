"""How much of 509 known errors in 19,000 cells a contract finds that was written without looking at the truth."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from keelway.contract import Against, Contract, Rule, RuleKind, load_contract
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
def wrong_cells(hospital: Path) -> set[Cell]:
    with (hospital / "hospital.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with (hospital / "hospital_clean.csv").open(encoding="utf-8", newline="") as stream:
        return {
            (int(cell["tid"]), cell["attribute"])
            for cell in csv.DictReader(stream)
            if rows[int(cell["tid"])][cell["attribute"]] != cell["correct_val"]
        }


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(CONTRACT, "hospital")


def usual_pairs(data: Path, rules: Iterable[Rule], folder: Path) -> Against:
    """Return the lists that the contract refers to: of each left side, the right side that was seen most often."""
    import duckdb

    found: dict[str, tuple[Path, ...]] = {}
    for rule in rules:
        *left, right = (f'"{name}"' for name in rule.references)
        path = folder / f"{rule.dataset}.parquet"
        query = f"""
            SELECT {", ".join(left)}, arg_max({right}, (seen, {right})) AS {right}
            FROM (SELECT {", ".join(left)}, {right}, count(*) AS seen FROM read_csv('{data}', all_varchar = true)
                  GROUP BY ALL) GROUP BY {", ".join(left)}"""
        with duckdb.connect() as connection:  # not the default one: who used it last may have left it busy
            connection.sql(query).write_parquet(str(path))
        found[rule.dataset] = (path,)
    return Against(references=found)


def flagged_cells(data: Path, contract: Contract, against: Against, folder: Path) -> set[Cell]:
    """Check the file and return each cell that a reason names; of a pair it is the one that follows from the rest."""
    body = data.read_bytes()
    raw = RawFile(f"dt=2026-03-01/{data.name}", digest_bytes(body), len(body), datetime(2026, 3, 2, tzinfo=UTC), None)
    found = DuckDbChecker(threads=1).check([(raw, data)], contract, event_time="dt", folder=folder, against=against)
    if found.quarantine is None:
        return set()
    rows = pq.read_table(found.quarantine).to_pylist()
    return {(row["row"] - 2, _last_column(reason)) for row in rows for reason in row["reasons"]}


def _last_column(reason: str) -> str:
    return reason.partition(":")[0].rpartition(", ")[2]


def _rows(cells: set[Cell]) -> set[int]:
    return {row for row, _ in cells}


def test_each_denial_constraint_stands_in_the_contract(hospital: Path, contract: Contract) -> None:
    given = set()
    for line in (hospital / "hospital_constraints.txt").read_text("utf8").split():
        same = frozenset(re.findall(r"EQ\(t1\.(\w+)", line))
        given.add((same, *re.findall(r"IQ\(t1\.(\w+)", line)))
    asked = [rule.columns for rule in contract.rules if rule.kind is RuleKind.REFERENCE]
    assert {(frozenset(columns[:-1]), columns[-1]) for columns in asked} == given
    assert len(given) == 15


def test_the_truth_is_what_its_description_says(wrong_cells: set[Cell]) -> None:
    assert (len(wrong_cells), len(_rows(wrong_cells))) == (509, 407)


def test_the_contract_finds_nearly_all_errors(
    hospital: Path, contract: Contract, wrong_cells: set[Cell], page: Page, tmp_path: Path
) -> None:
    data = hospital / "hospital.csv"
    pairs = [rule for rule in contract.rules if rule.kind is RuleKind.REFERENCE]
    against = usual_pairs(data, pairs, tmp_path)
    shapes = replace(contract, rules=tuple(rule for rule in contract.rules if rule.kind is not RuleKind.REFERENCE))
    constraints = replace(contract, rules=tuple(pairs))
    told = []
    scores = {}
    for name, asked in {"patterns and lists": shapes, "denial constraints": constraints, "both": contract}.items():
        folder = tmp_path / name
        folder.mkdir()
        cells = flagged_cells(data, asked, against, folder)
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
    assert scores["both", "cells"].recall >= 0.98
    assert scores["both", "rows"].precision >= 0.96
    assert scores["both", "rows"].recall == 1
    page.must_tell("hospital", shown)
