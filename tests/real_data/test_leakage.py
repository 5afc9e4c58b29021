"""Leaks of well-known data sets are found, and their honest columns raise nothing that stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from keelway.features import FeatureColumn, LeakageReport, leakage


class Part:
    """Every fifth row validates."""

    def __init__(self, rows: int) -> None:
        part = np.random.default_rng(1).permutation(rows) % 5
        self.train, self.validate, self.name = np.flatnonzero(part), np.flatnonzero(part == 0), "a fifth"


def looked(frame: pd.DataFrame, label: Any, task: Any = "binary") -> LeakageReport:
    columns, features = {}, []
    for name, values in frame.items():
        if pd.api.types.is_numeric_dtype(values):
            columns[str(name)] = pa.array(values.astype(float), from_pandas=True)
            features.append(FeatureColumn(str(name), "numeric"))
        else:
            columns[str(name)] = pa.array(values.fillna("").astype(str).tolist())
            features.append(FeatureColumn(str(name), "categorical"))
    rows = pa.table({**columns, "label": pa.array(np.asarray(label))})
    return leakage(rows, features, task=task, folds=[Part(rows.num_rows)])


def table(folder: Path, name: str, **reading: Any) -> pd.DataFrame:
    path = folder / name
    if not path.is_file():
        pytest.skip(f"{name} is not among the data sets")
    return pd.read_csv(path, **reading)


def stops(report: LeakageReport) -> list[tuple[str, str]]:
    return [(each.check, each.column) for each in report.stops]


def test_the_length_of_a_call_is_found_and_nothing_else(data_folder: Path) -> None:
    bank = table(data_folder, "C_bank_marketing_additional_full.csv.gz", sep=";", na_filter=False)
    label = (bank.pop("y") == "yes").astype(np.int8)
    report = looked(bank, label)
    assert stops(report) == [("decisive", "duration")]
    assert 0.6 < report.stops[0].figure < 0.8
    without = looked(bank.drop(columns="duration"), label)
    assert [each for each in without.stops if each.column] == []


def test_the_300_copies_are_found(data_folder: Path) -> None:
    frame = table(data_folder, "A_iranian_churn.csv.gz")
    label = frame.pop("Churn").astype(np.int8)
    report = looked(frame, label)
    assert [each.figure for each in report.findings if each.check == "copies"] == [300]
    assert stops(report) == [("copies across folds", "")]
    once = frame.assign(label=label).drop_duplicates()
    assert stops(looked(once.drop(columns="label"), once["label"])) == []


def test_the_parts_of_a_sum_are_found(data_folder: Path) -> None:
    bikes = table(data_folder, "C_bike_sharing_hour.csv.gz")
    label = bikes.pop("count").astype(float)
    report = looked(bikes, label, "regression")
    assert ("decisive", "registered") in stops(report)
    assert ("identifier", "note", "instant") in {(each.check, each.severity, each.column) for each in report.findings}


def test_honest_data_stops_nothing(data_folder: Path) -> None:
    telco = table(data_folder, "A_telco_ibm.csv.gz").drop(columns="customerID")
    telco["TotalCharges"] = pd.to_numeric(telco["TotalCharges"], errors="coerce")
    adult = table(data_folder, "D_adult_train.csv.gz", header=None, skipinitialspace=True)
    german = table(data_folder, "D_german_credit.csv.gz", header=None, quotechar="'")
    reports = {
        "telco": looked(telco, (telco.pop("Churn") == "Yes").astype(np.int8)),
        "adult": looked(adult, (adult.pop(14) == ">50K").astype(np.int8)),
        "german": looked(german, (german.pop(20) == 2).astype(np.int8)),
    }
    assert {name: stops(report) for name, report in reports.items()} == {"telco": [], "adult": [], "german": []}
