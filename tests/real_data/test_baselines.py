"""Well-known data sets through Keelway: what is reached, untuned and tuned, and what was warned of.

`docs/baselines.md` is written by `KEELWAY_WRITE_PAGES=1` and held to what is measured by `KEELWAY_ALL_BASELINES=1` (half
an hour). Without either only two small data sets are measured, untuned.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from keelway.evaluate import Interval, Scorecard, in_plain_words
from keelway.features import LeakageFinding
from keelway.testing.baselines import BaselineProject, mean_of_parts
from keelway.testing.pages import Page, alike, table

ROOT = Path(__file__).parents[2]
SOURCES = Path(__file__).parent / "baselines"
WRITES = "KEELWAY_WRITE_PAGES" in os.environ
ALL = WRITES or "KEELWAY_ALL_BASELINES" in os.environ
TOLERANCE = 0.004
"""Boosted trees of another processor or release split ties otherwise."""
HEAD = ("estimator", "as declared", "tuned", "by hand", "to reach", "reached")
NO_FEATURES = ("entity", "as_of", "part", "label", "label_known_at")


@dataclass(frozen=True, slots=True)
class Case:
    """One data set.

    Attributes:
        title: What the page calls it.
        models: The models whose figures are averaged, each of which tests on other rows.
        dataset: The dataset whose rows are counted.
        to_reach: What each estimator is to reach; without a figure it is what scikit-learn reaches by hand.
        sensitive: The column by which decisions are to be fair.
        leaks_of: The model that is looked at for leaks; the first one where it is empty.
    """

    title: str
    models: tuple[str, ...]
    dataset: str
    to_reach: dict[str, float] = field(default_factory=dict)
    metric: str = "roc_auc"
    sensitive: str = ""
    leaks_of: str = ""


def parts(name: str) -> tuple[str, ...]:
    return tuple(f"{name}_{part}" for part in range(5))


CASES = {
    "telco": Case(
        "Telco churn", parts("telco"), "customers", {"logistic": 0.845, "boosting": 0.841}, sensitive="gender"
    ),
    "iranian": Case(
        "Iranian churn", parts("iranian"), "customers_once", {"logistic": 0.933, "boosting": 0.988},
        leaks_of="with_copies",
    ),
    "adult": Case("Adult", ("adult",), "people", {"logistic": 0.907, "boosting": 0.929}, sensitive="sex"),
    "german": Case("German credit", parts("german"), "loans", {"logistic": 0.791, "boosting": 0.767}),
    "spam": Case("SMS spam", ("spam",), "messages"),
    "digits": Case("Digits", ("digits",), "images", metric="accuracy"),
    "cdnow": Case("CDNOW", ("cdnow",), "orders", {"logistic": 0.805, "boosting": 0.807}),
    "journey": Case("Complete Journey", ("journey",), "sales", {"logistic": 0.880, "boosting": 0.869}),
}  # fmt: skip
QUICK = ("spam", "digits")
BANK_TO_REACH = {"in time order": 0.56, "shuffled": 0.80}


@dataclass(frozen=True, slots=True)
class Measured:
    """The scorecards of one data set's models, by estimator."""

    cards: dict[str, list[Scorecard]]

    def figure(self, estimator: str, metric: str) -> Interval:
        return mean_of_parts([card.metrics[metric] for card in self.cards[estimator]])


@pytest.fixture(scope="module")
def lay_outs() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("baselines_lay_out", SOURCES / "lay_out.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["baselines_lay_out"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["baselines_lay_out"]


@pytest.fixture
def made(lay_outs: ModuleType, data_folder: Path, tmp_path: Path) -> Iterator[Callable[[str], BaselineProject]]:
    opened: list[BaselineProject] = []

    def make(name: str) -> BaselineProject:
        lay_out = partial(lay_outs.LAY_OUTS[name], data_folder)
        opened.append(
            BaselineProject.make(tmp_path / name, name, sources=SOURCES, lay_out=lay_out, amend=lay_outs.AMENDMENTS)
        )
        return opened[-1]

    try:
        yield make
    except FileNotFoundError as error:
        pytest.skip(f"{error.filename} is not among the data sets")
    finally:
        for each in opened:
            each.app.close()


@pytest.fixture(scope="module")
def baselines() -> Page:
    return Page(ROOT / "docs" / "baselines.md", rewrite=WRITES)


def measured(project: BaselineProject, models: Sequence[str]) -> Measured:
    cards: dict[str, list[Scorecard]] = {}
    for model in models:
        for estimator, card in project.scorecards(model).items():
            cards.setdefault(estimator, []).append(card)
    return Measured(cards)


def shown(figure: Interval) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def reached(wanted: float, *figures: Interval) -> str:
    """Say whether the better of some figures comes up to what is wanted, by three decimals."""
    best = max(figures, key=lambda each: each.value)
    if round(best.value, 3) >= round(wanted, 3):
        return "yes"
    return "within the interval" if best.high >= wanted else "no"


def by_hand(project: BaselineProject, case: Case, cards: Sequence[Scorecard]) -> float:
    """Return what plain scikit-learn reaches on the same rows with the same estimator as declared."""
    from importlib import import_module

    figures = []
    for card in cards:
        declared = project.app.workspace.project.model(card.model)
        estimator: Any = declared.estimator(card.estimator)
        module, _, name = estimator.factory.rpartition(".")
        last = getattr(import_module(module), name)(**estimator.parameters)
        if "random_state" in last.get_params():
            last.set_params(random_state=0)
        learnt, tested = project.rows(card)
        columns = [column for column in learnt.column_names if column not in NO_FEATURES]
        pipeline = plain_pipeline(learnt.select(columns), last)
        pipeline.fit(frame_of(learnt.select(columns)), learnt["label"].to_pylist())
        given = pipeline.predict_proba(frame_of(tested.select(columns)))
        truth = tested["label"].to_pylist()
        figures.append(
            roc_auc_score(truth, given[:, 1])
            if case.metric == "roc_auc"
            else accuracy_score(truth, pipeline.classes_[given.argmax(axis=1)])
        )
    return float(sum(figures) / len(figures))


def plain_pipeline(columns: pa.Table, last: Any) -> Any:
    """Return the pipeline that everybody writes: numbers scaled, levels and words in columns of their own."""
    numbers, levels, others = [], [], []
    for column in columns.schema:
        if column.name == "body":
            others.append((TfidfVectorizer(max_features=1000), column.name))
        elif pa.types.is_string(column.type):
            levels.append(column.name)
        elif pa.types.is_list(column.type):
            numbers += [f"{column.name} {place}" for place in range(len(columns[column.name][0]))]
        else:
            numbers.append(column.name)
    scale = MinMaxScaler() if others else StandardScaler()
    kept = OneHotEncoder(handle_unknown="ignore", min_frequency=20, sparse_output=False)
    prepare = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), scale), numbers), (kept, levels), *others, sparse_threshold=0
    )
    return make_pipeline(prepare, last)


def frame_of(columns: pa.Table) -> pd.DataFrame:
    """Return rows for scikit-learn, the numbers of an array as columns."""
    made = {}
    for name in columns.column_names:
        values = columns[name].to_pylist()
        if pa.types.is_list(columns.schema.field(name).type):
            made |= {f"{name} {place}": [row[place] for row in values] for place in range(len(values[0]))}
        else:
            made[name] = columns[name].to_pandas()
    return pd.DataFrame(made)


def figures_of(project: BaselineProject, case: Case, untuned: Measured, tuned: Measured) -> str:
    rows = []
    for estimator, cards in untuned.cards.items():
        both = [each.figure(estimator, case.metric) for each in (untuned, tuned)]
        hand = by_hand(project, case, cards)
        told = f"{case.to_reach[estimator]:.3f}" if estimator in case.to_reach else ""
        verdict = reached(case.to_reach.get(estimator, hand), *both)
        rows.append([estimator, *map(shown, both), f"{hand:.3f}", told, verdict])
        trivial = cards[0].trivial.get(case.metric)
    if trivial is not None:
        rule = project.app.workspace.project.model(cards[0].model).trivial_rule
        rows.append([f"`{rule}` alone", shown(trivial), "", "", "", ""])
    return table(HEAD, rows)


def facts_of(project: BaselineProject, case: Case, untuned: Measured) -> str:
    """Return what else is to be told: rows, warnings, leaks, fairness and what the gate says to it."""
    cards = next(iter(untuned.cards.values()))
    batch = project.batch(case.dataset)
    kept = f", {batch.rows_quarantined:,} quarantined ({', '.join(batch.reasons)})" if batch.rows_quarantined else ""
    lines = [
        f"- {batch.rows_in:,} rows{kept}; {sum(card.rows for card in cards):,} test rows.",
        *warnings_of(cards),
        *leaks_of(project, case.leaks_of or case.models[0]),
        *(fairness_of_all(project, case, untuned) if case.sensitive else ()),
    ]
    return "\n".join(lines)


def warnings_of(cards: Sequence[Scorecard]) -> list[str]:
    found = sorted({warning for card in cards for warning in card.warnings})
    return [f"- Warned: {warning}" for warning in found] or ["- No warning."]


def leaks_of(project: BaselineProject, model: str) -> list[str]:
    """Return what was found by check and column, the gravest of several findings as an example."""
    project.app.data.ingest()
    found: dict[tuple[str, str, str], list[LeakageFinding]] = {}
    for each in project.app.online.leakage(model).findings:
        found.setdefault((each.severity, each.check, each.column), []).append(each)
    lines = []
    for (severity, _, _), alike_ones in found.items():
        gravest = max(alike_ones, key=lambda each: each.figure)
        often = f" ({len(alike_ones)} times so, at most)" if len(alike_ones) > 1 else ""
        lines.append(f"- Leakage, `{model}`, {severity}{often}: {gravest.text}")
    return lines or [f"- Leakage, `{model}`: nothing found."]


def fairness_of_all(project: BaselineProject, case: Case, untuned: Measured) -> list[str]:
    lines = [
        f"- Fairness, {estimator}, over all test rows: {in_plain_words(project.fairness(cards, case.sensitive))}"
        for estimator, cards in untuned.cards.items()
    ]
    verdicts = [project.app.gate.check(f"{model}:1", "prod") for model in case.models]
    reasons = sorted({reason for verdict in verdicts for reason in verdict.reasons})
    let_in = sum(verdict.allowed for verdict in verdicts)
    told = f": {'; '.join(reasons)}" if reasons else ""
    return [*lines, f"- The gate lets {let_in} of {len(verdicts)} versions in{told}."]


@pytest.mark.timeout(3600)
@pytest.mark.skipif(not ALL, reason="measures every data set, untuned and tuned; set KEELWAY_ALL_BASELINES")
@pytest.mark.parametrize("name", CASES)
def test_a_data_set_reaches_what_the_page_says(
    name: str, made: Callable[[str], BaselineProject], baselines: Page
) -> None:
    case, project = CASES[name], made(name)
    untuned = measured(project, case.models)
    tuned = measured(project, [f"{model}_tuned" for model in case.models])
    text = f"{figures_of(project, case, untuned, tuned)}\n\n{facts_of(project, case, untuned)}"
    baselines.must_tell(name, text, tolerance=TOLERANCE)


@pytest.mark.parametrize("name", QUICK)
def test_a_small_data_set_reaches_untuned_what_the_page_says(
    name: str, made: Callable[[str], BaselineProject], baselines: Page
) -> None:
    case, project = CASES[name], made(name)
    untuned = measured(project, case.models)
    told = {row[0]: row[1] for row in rows_told(baselines.told(name))}
    for estimator in untuned.cards:
        assert alike(told[estimator], shown(untuned.figure(estimator, case.metric)), tolerance=TOLERANCE)


def over_months(months: dict[str, Measured], estimator: str) -> float:
    """Return the mean figure of all months, each month counting by its calls."""
    cards = [each.cards[estimator][0] for each in months.values()]
    return sum(card.metrics["roc_auc"].value * card.rows for card in cards) / sum(card.rows for card in cards)


@pytest.mark.timeout(3600)
@pytest.mark.skipif(not ALL, reason="measures ten models; set KEELWAY_ALL_BASELINES")
def test_the_bank_in_time_order_is_told_beside_the_shuffled_figure(
    made: Callable[[str], BaselineProject], baselines: Page
) -> None:
    project = made("bank")
    names = [model.name for model in project.app.workspace.project.models]
    months = {name: measured(project, [name]) for name in names if name.startswith("bank_")}
    shuffled = measured(project, ["shuffled"])
    estimators = list(shuffled.cards)
    rows = [
        [name.removeprefix("bank_").replace("_", "-"), f"{card.rows:,}", f"{card.positives:,}"]
        + [shown(each.figure(estimator, "roc_auc")) for estimator in estimators]
        for name, each in months.items()
        for card in each.cards["logistic"]
    ]
    mean = {estimator: over_months(months, estimator) for estimator in estimators}
    rows.append(["mean by calls", "", "", *(f"{mean[estimator]:.3f}" for estimator in estimators)])
    card = shuffled.cards["logistic"][0]
    figures = [shown(shuffled.figure(estimator, "roc_auc")) for estimator in estimators]
    rows.append(["shuffled", f"{card.rows:,}", f"{card.positives:,}", *figures])
    project.app.data.ingest()
    stops = project.app.online.leakage("with_duration").stops
    assert [each.column for each in stops] == ["duration"]
    assert min(mean.values()) < BANK_TO_REACH["in time order"] + 0.03
    assert max(card.metrics["roc_auc"].value for [card] in shuffled.cards.values()) > BANK_TO_REACH["shuffled"]
    lines = [
        *warnings_of(shuffled.cards["logistic"]),
        *(f"- Leakage, `with_duration`, {each.severity}: {each.text}" for each in stops),
    ]
    head = ("tested on", "calls", "yes", *estimators)
    baselines.must_tell("bank", table(head, rows) + "\n\n" + "\n".join(lines), tolerance=TOLERANCE)


def rows_told(block: str) -> list[list[str]]:
    """Return the cells of the table of a block, without its head."""
    lines = [line for line in block.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_overview_says_what_the_sections_say(baselines: Page) -> None:
    rows = [
        [case.title, *row]
        for name, case in CASES.items()
        for row in rows_told(baselines.told(name))
        if "alone" not in row[0]
    ]
    baselines.must_tell("overview", table(("data", *HEAD), rows))


def test_every_baseline_is_reached_or_within_its_interval(baselines: Page) -> None:
    missed = [row for row in rows_told(baselines.told("overview")) if row[-1] == "no"]
    assert missed == []


def test_what_the_page_tells_of_leaks_and_of_fairness(baselines: Page) -> None:
    assert "300" in baselines.told("iranian")
    assert "`with_copies`, stop" in baselines.told("iranian")
    assert "duration" in baselines.told("bank")
    assert "although" in baselines.told("bank")
    assert "The gate lets 0 of 1 versions in: the four-fifths rule by sex fails" in baselines.told("adult")
    assert "The gate lets 5 of 5 versions in." in baselines.told("telco")
