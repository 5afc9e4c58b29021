"""A proposed feature set is Python as ruff writes it, runs on data, and leaves out what must not be a feature."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from keelway.contract import Contract, load_contract
from keelway.core import parse_time
from keelway.errors import UsageError
from keelway.features import auto_features, build_features, rows_of
from keelway.project import Cuts, Dataset, Estimator, FeatureSet, Label, Model, RandomSplit, TimeSplit
from keelway.testing.features import ORDERS, OrderBook, StaticTable

APRIL, NOW = parse_time("1997-04-01"), parse_time("1999-01-01")
HEAD = """\
apiVersion: v3.1.0
kind: DataContract
id: proposed
version: 1.0.0
status: active
schema:
"""
SHOP = """\
  - name: orders
    properties:
      - {name: order_id, logicalType: string, primaryKey: true}
      - {name: customer, logicalType: string, required: true}
      - {name: ordered_at, logicalType: timestamp, required: true}
      - {name: amount, logicalType: number}
      - {name: kind, logicalType: string}
      - {name: is_gift, logicalType: boolean}
      - {name: shipped, logicalType: date}
      - {name: comment, logicalType: string}
      - {name: notes, logicalType: string, logicalTypeOptions: {maxLength: 400}}
      - {name: branch_id, logicalType: integer}
      - {name: e-mail, logicalType: string, customProperties: [{property: pii, value: direct}]}
      - {name: Postcode (billing), logicalType: string}
"""
PEOPLE = """\
  - name: people
    properties:
      - {name: person, logicalType: string, primaryKey: true}
      - {name: age, logicalType: integer}
      - {name: class, logicalType: string}
      - {name: member, logicalType: boolean}
      - {name: joined_on, logicalType: date}
      - {name: description, logicalType: string}
"""


@pytest.fixture
def contract(tmp_path: Path) -> Callable[[str, str], Contract]:
    def load(schema: str, dataset: str) -> Contract:
        path = tmp_path / f"{dataset}.odcs.yaml"
        path.write_text(HEAD + schema, "utf8")
        return load_contract(path, dataset)

    return load


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[[str, str, str], FeatureSet]:
    """Load a feature set from its code, below an import of its dataset."""

    def load(code: str, dataset: str, function: str) -> FeatureSet:
        path = tmp_path / "proposed_features.py"
        path.write_text(f"from {dataset.rpartition('.')[0]} import {dataset.rpartition('.')[2]}\n{code}", "utf8")
        spec = importlib.util.spec_from_file_location(f"proposed_{tmp_path.name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        features = getattr(module, function)
        assert isinstance(features, FeatureSet)
        return features

    return load


def dataset(name: str = "orders", event_time: str = "ordered_at", keys: tuple[str, ...] = ()) -> Dataset:
    return Dataset(name, contract=f"{name}.yaml", source=f"{name}/*.csv", event_time=event_time, keys=keys)


def model(features: FeatureSet, label: Label) -> Model:
    estimator = Estimator("logistic", "sklearn.linear_model.LogisticRegression")
    cuts = None if label.horizon is None else Cuts(APRIL)
    split = RandomSplit() if cuts is None else TimeSplit()
    return Model("proposed", features=[features], label=label, estimators=[estimator], cuts=cuts, split=split)


def test_the_same_contract_gives_the_same_code(contract: Any) -> None:
    first, second = (auto_features(dataset(), contract(SHOP, "orders"), entity="customer") for _ in range(2))
    assert first == second


def many_columns(count: int) -> str:
    kinds = ("number", "boolean", "string", "date", "integer")
    lines = [f"      - {{name: column_{'x' * number}, logicalType: {kinds[number % 5]}}}" for number in range(count)]
    return (
        "  - name: wide\n    properties:\n      - {name: who, logicalType: string}\n      - {name: at, logicalType: timestamp}\n"
        + "\n".join(lines)
    )


FORMATTED = {
    "many rows an entity": (SHOP, dataset(), "customer"),
    "a row each": (PEOPLE, dataset("people", ""), "person"),
    "rows without a time": (SHOP, dataset(event_time=""), "customer"),
    "long names": (many_columns(40), dataset("wide", "at"), "who"),
    "a long dataset": (
        many_columns(9).replace("wide", "w" * 60),
        dataset("w" * 60, "at"),
        "who",
    ),
    "nothing but a time": (many_columns(0), dataset("wide", "at"), "who"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATTED)
def test_the_code_is_formatted_as_ruff_would(name: str, contract: Any) -> None:
    schema, declared, entity = FORMATTED[name]
    code = auto_features(declared, contract(schema, declared.name), entity=entity)
    ast.parse(code)
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "-"],
        input=code,
        capture_output=True,
        text=True,
        check=True,
    )
    assert code == formatted.stdout
    unused = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F401,I", "-"],
        input=code,
        capture_output=True,
        text=True,
        check=False,
    )
    assert unused.returncode == 0, unused.stdout


def test_what_names_a_person_a_row_or_another_table_is_left_out(contract: Any) -> None:
    code = auto_features(dataset(), contract(SHOP, "orders"), entity="customer")
    told, _, body = code.partition('"""\n')
    assert "order_id (names a row), branch_id (an id), e-mail (names a person)" in code
    after = code.split('"""')[2]
    for hidden in ("order_id", "branch_id", "e-mail"):
        assert hidden not in after
    assert told
    assert body


@pytest.mark.parametrize(
    "line",
    [
        "recency_d=recency(at, as_of),",
        '**over_windows("rows", window_count, at, as_of=as_of),',
        'amount_total=total(rows["amount"]),',
        'amount_trend_30d=trend(at, as_of, days=30, value=rows["amount"]),',
        'is_gift_share=share_where(rows["is_gift"]),',
        'kind_distinct=distinct_count(rows["kind"]),',
        'most_frequent(rows, "kind", by="customer", name="kind_mode"),',
        'shipped_recency_d=recency(rows["shipped"], as_of),',
        'comment_length=mean_of(text_length(rows["comment"])),',
        'notes_length=mean_of(text_length(rows["notes"])),',
        'postcode_billing_distinct=distinct_count(rows["Postcode (billing)"]),',
        'sessions(rows, by="customer", moment="ordered_at"),',
    ],
)
def test_a_kind_of_column_gives_its_kind_of_features(line: str, contract: Any) -> None:
    code = auto_features(dataset(), contract(SHOP, "orders"), entity="customer")
    assert line in [each.strip() for each in code.splitlines()]


def test_a_day_has_no_sessions(contract: Any) -> None:
    schema = SHOP.replace("ordered_at, logicalType: timestamp", "ordered_at, logicalType: date")
    assert "sessions" not in auto_features(dataset(), contract(schema, "orders"), entity="customer")


def test_the_proposed_code_runs_on_data(
    contract: Any, loaded: Any, shop: OrderBook, artifacts: Any, state: Any
) -> None:
    kept = ("customer", "ordered_at", "amount", "kind", "name: orders", "properties")
    schema = "".join(line for line in SHOP.splitlines(keepends=True) if any(name in line for name in kept))
    code = auto_features(ORDERS, contract(schema, "orders"), entity="customer")
    features = loaded(code.replace("[orders]", "[ORDERS]"), "keelway.testing.features.ORDERS", "orders_features")

    @Label.define(entity="customer", source=ORDERS, horizon="30d", absent=1)
    def churned(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(churned=0 * orders.count())

    given = {"orders": shop.snapshot()}
    table = build_features(
        model(features, churned), given, as_ofs=(APRIL,), purpose="training", with_label=True, now=NOW,
        paths_of=shop.paths_of, artifacts=artifacts, state=state,
    )  # fmt: skip
    ana, bob = rows_of(table, artifacts).to_pylist()
    assert (ana["entity"], ana["recency_d"], ana["rows"], ana["amount_total"]) == ("ana", 12.0, 2.0, 19.6)
    assert (ana["rows_7d"], ana["rows_30d"], ana["amount_sum_90d"], ana["kind_mode"]) == (0.0, 1.0, 19.6, "book")
    assert (bob["session_count"], bob["session_mean_s"], bob["gap_d"], bob["kind_distinct"]) == (1.0, 0.0, None, 1.0)


PEOPLE_DATASET = dataset("people", "", ("person",))


def test_the_code_of_a_static_table_runs_on_data(
    contract: Any, loaded: Any, tmp_path: Path, artifacts: Any, state: Any
) -> None:
    code = auto_features(PEOPLE_DATASET, contract(PEOPLE, "people"))
    path = tmp_path / "declared_people.py"
    path.write_text(
        "from keelway.project import Dataset\n"
        "people = Dataset('people', contract='people.yaml', source='people/*.csv', event_time='', keys=('person',))\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        features = loaded(code, "declared_people.people", "people_features")
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("declared_people", None)

    @Label.define(entity="person", source=features.sources[0], horizon=None)
    def member(people: Any, as_of: Any) -> Any:
        return people.select("person", member=people.flag.cast("int8"))

    columns = {
        "person": ["a", "b"], "age": [30, None], "class": ["x", None], "member": [True, False], "flag": [True, False],
        "joined_on": [date(1997, 3, 31), None], "description": ["five!", ""],
    }  # fmt: skip
    table = StaticTable(tmp_path, "people", columns, known_at=parse_time("1997-01-01"))
    built = build_features(
        model(features, member), {"people": table.snapshot()}, as_ofs=(APRIL,), purpose="scoring", with_label=False,
        now=NOW, paths_of=table.paths_of, artifacts=artifacts, state=state,
    )  # fmt: skip
    first, second = rows_of(built, artifacts).to_pylist()
    assert (first["age"], first["class_2"], first["member"], first["joined_on_d"]) == (30.0, "x", 1.0, 1.0)
    assert (first["description"], first["description_length"]) == ("five!", 5.0)
    assert (second["age"], second["class_2"], second["joined_on_d"], second["description_length"]) == (
        None,
        "",
        None,
        0.0,
    )
    assert features.texts == ("description",)


def test_the_entity_is_the_person_or_the_only_other_id_or_is_asked_for(contract: Any) -> None:
    person = "      - {name: customer, logicalType: string, customProperties: [{property: pii, value: subject}]}\n"
    head = "  - name: orders\n    properties:\n      - {name: ordered_at, logicalType: timestamp}\n"
    one = "      - {name: shop_id, logicalType: string}\n"
    other = "      - {name: branch_id, logicalType: string}\n"
    assert 'entity="customer"' in auto_features(dataset(), contract(head + one + person, "orders"))
    assert 'entity="shop_id"' in auto_features(dataset(), contract(head + one, "orders"))
    with pytest.raises(UsageError, match="cannot be told") as refused:
        auto_features(dataset(), contract(head + one + other, "orders"))
    assert "shop_id, branch_id" in refused.value.found
    with pytest.raises(UsageError, match="cannot be told"):
        auto_features(dataset(), contract(head, "orders"))


def test_an_entity_that_is_no_column_is_refused(contract: Any) -> None:
    with pytest.raises(UsageError, match="has no column 'custmer'"):
        auto_features(dataset(), contract(SHOP, "orders"), entity="custmer")


def test_a_static_table_of_nothing_but_names_gives_no_features(contract: Any) -> None:
    schema = "  - name: people\n    properties:\n      - {name: person, logicalType: string, primaryKey: true}\n"
    with pytest.raises(UsageError, match="Nothing can be made"):
        auto_features(dataset("people", ""), contract(schema, "people"))
