"""The fairness gate on real people: income by sex fails the four-fifths rule, churn by gender passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from keelway.evaluate import calibration_of, fairness_of, in_plain_words, measure, slice_scores

ADULT = [
    "age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship", "race",
    "sex", "capital_gain", "capital_loss", "hours_per_week", "country", "income",
]  # fmt: skip


def pipeline(frame: pd.DataFrame, estimator: Any) -> Any:
    """Return an ordinary pipeline over the numbers and texts of a frame."""
    numbers = frame.select_dtypes("number").columns.tolist()
    texts = [name for name in frame.columns if name not in numbers]
    return make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            (OneHotEncoder(handle_unknown="ignore", min_frequency=20, sparse_output=False), texts),
        ),
        estimator,
    )


def needed(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        if not path.is_file():
            pytest.skip(f"{path.name} is not among the data sets")
    return paths


@pytest.fixture(scope="module")
def adult(data_folder: Path) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Return outcomes, probabilities and columns of the official test rows."""
    parts = [
        pd.read_csv(path, names=ADULT, skipinitialspace=True, na_values="?", keep_default_na=False)
        for path in needed(data_folder, "D_adult_train.csv.gz", "D_adult_test.csv.gz")
    ]
    train, test = (part.fillna(dict.fromkeys(part.select_dtypes(exclude="number"), "missing")) for part in parts)
    labels = [part["income"].str.startswith(">50K").astype(int) for part in (train, test)]
    frame = train.drop(columns=["income", "fnlwgt"])
    estimator = HistGradientBoostingClassifier(max_iter=80, random_state=0)
    model = pipeline(frame, estimator).fit(frame, labels[0])
    return labels[1].to_numpy(), model.predict_proba(test[frame.columns])[:, 1], test


def test_income_by_sex_fails_the_four_fifths_rule(adult: tuple[np.ndarray, np.ndarray, pd.DataFrame]) -> None:
    labels, given, people = adult
    assert len(labels) == 16_281
    assert measure("binary", labels, given, metrics=["roc_auc"], seed=0)["roc_auc"].low > 0.91
    found = fairness_of(labels, given, people["sex"].tolist(), column="sex")
    assert (found.four_fifths, found.sure) == ("fails", True)
    assert found.parity_ratio.high < 0.5
    assert found.parity_difference.low > 0.1
    assert found.p_value < 1e-50
    assert in_plain_words(found).startswith("sex: fails the four-fifths rule")


def test_income_by_race_shows_small_groups_and_judges_them_by_support(
    adult: tuple[np.ndarray, np.ndarray, pd.DataFrame],
) -> None:
    labels, given, people = adult
    found = fairness_of(labels, given, people["race"].tolist(), column="race", min_support=200)
    assert [(each.group, each.enough) for each in found.groups] == [
        ("Amer-Indian-Eskimo", False),
        ("Asian-Pac-Islander", True),
        ("Black", True),
        ("Other", False),
        ("White", True),
    ]
    assert found.four_fifths == "fails"


def test_probabilities_of_income_are_honest_and_differ_by_sex(
    adult: tuple[np.ndarray, np.ndarray, pd.DataFrame],
) -> None:
    labels, given, people = adult
    assert calibration_of(labels, given, seed=0, resamples=300).error.high < 0.03
    found = slice_scores("log_loss", labels, given, {"sex": people["sex"].tolist()}, seed=0)
    assert {each.level: each.verdict for each in found} == {"Female": "better", "Male": "worse"}


def test_churn_by_gender_passes_the_four_fifths_rule(data_folder: Path) -> None:
    (path,) = needed(data_folder, "A_telco_ibm.csv.gz")
    frame = pd.read_csv(path)
    frame["TotalCharges"] = pd.to_numeric(frame["TotalCharges"], errors="coerce")
    labels = (frame.pop("Churn") == "Yes").astype(int)
    frame = frame.drop(columns=["customerID"])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = pipeline(frame, LogisticRegression(max_iter=1000))
    given = cross_val_predict(model, frame, labels, cv=folds, method="predict_proba")[:, 1]
    assert measure("binary", labels, given, metrics=["roc_auc"], seed=0)["roc_auc"].low > 0.83
    found = fairness_of(labels, given, frame["gender"].tolist(), column="gender")
    assert [(each.group, each.rows) for each in found.groups] == [("Female", 3488), ("Male", 3555)]
    assert found.four_fifths == "passes"
    assert found.parity_ratio.value > 0.85
    assert in_plain_words(found).startswith("gender: passes the four-fifths rule")
