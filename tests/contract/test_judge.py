"""A contract says the same of a table where it stands as of the files it came in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from keelway.contract import Against, Column, Contract, Rule, RuleKind, judge, load_contract, violations, within
from keelway.contract.rules.judge import _at_home, _beside, _once, _repeats, _strangers, _TableCase, _without
from keelway.contract.rules.queries import number_of
from keelway.core import digest_bytes
from keelway.engines.local.checker import DuckDbChecker
from keelway.errors import ContractError, EngineError, UsageError
from keelway.ingest import RawFile
from keelway.testing.checks import contract_of

# Ibis 12 calls a method that DuckDB 2.0 has renamed; the answer is the same.
AT = datetime(2026, 2, 5, tzinfo=UTC)
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
slaProperties:
  - {property: latency, value: 2, unit: d, element: orders.day}
schema:
  - name: orders
    customProperties: [{property: format, value: parquet}]
    quality:
      - {metric: rowCount, mustBeGreaterOrEqualTo: 7, severity: warn}
      - {type: sql, query: "SELECT coalesce(max(amount), 0) FROM {object}", mustBeLessThan: 50, severity: warn, name: no huge order}
      - {type: custom, engine: keelway, implementation: "shipped >= day", name: shipped after ordered}
      - {type: custom, engine: keelway, implementation: "amount <= quantity * 10", severity: warn, name: cheap}
    relationships:
      - {from: [orders.customer], to: [customers.id]}
    properties:
      - {name: id, logicalType: string, primaryKey: true, logicalTypeOptions: {pattern: '^o[0-9]+$', maxLength: 6}}
      - {name: customer, logicalType: string, required: true}
      - {name: day, logicalType: date, required: true, logicalTypeOptions: {minimum: "2026-01-01"}}
      - {name: shipped, logicalType: date}
      - {name: quantity, logicalType: integer, logicalTypeOptions: {minimum: 1, exclusiveMaximum: 100}}
      - name: amount
        logicalType: number
        quality:
          - {type: custom, engine: keelway, implementation: {metric: psi}, mustBeLessOrEqualTo: 0.2, severity: warn}
          - {metric: nullValues, mustBeLessThan: 10, unit: percent, severity: warn}
      - name: plan
        logicalType: string
        enum: [{value: basic}, {value: "it's"}]
        quality:
          - {type: custom, engine: keelway, implementation: {metric: psi}, mustBeLessOrEqualTo: 0.2, severity: warn,
             name: plans as before}
"""
SCHEMA = pa.schema(
    {
        "id": pa.string(), "customer": pa.string(), "day": pa.date32(), "shipped": pa.date32(),
        "quantity": pa.int64(), "amount": pa.float64(), "plan": pa.string(),
    }
)  # fmt: skip
Row = tuple[Any, ...]
FEB = date(2026, 2, 1)
BAD: list[Row] = [
    ("o1", "a", FEB, date(2026, 2, 2), 1, 5.0, "basic"),
    ("o2", "b", FEB, date(2026, 1, 2), 1, 5.0, "it's"),
    ("o3", "zz", FEB, None, 100, 5.0, "gold"),
    ("x4", "a", date(2025, 2, 1), None, 0, None, None),
    ("o5", None, FEB, None, None, None, None),
    ("o6\n", "a", FEB, None, 1, 60.0, None),
    ("o1", "a", FEB, None, 1, 11.0, None),
    ("o7", "zz", FEB, None, 1, 55.0, None),
    ("o8", "a", FEB, None, None, None, None),
    ("o99999", "a", FEB, None, 2, 1.0, "basic"),
    ("o100000", "a", FEB, None, 2, 1.0, "basic"),
    ("o11", "a", FEB, None, 2, 57.0, "basic"),
    ("o12", "a", FEB, None, 2, None, None),
]
BEFORE: list[Row] = [
    (f"o{n}", "a", date(2026, 1, 5), None, 1, float(n % 10), "basic") for n in (8, 9, *range(1000, 1100))
]
CUSTOMERS = pa.table({"id": ["a", "b"]})
EXPECTED = {
    "id: longer than 6": 1,
    "id: does not match ^o[0-9]+$": 2,
    "customer: missing": 1,
    "day: below 2026-01-01": 1,
    "quantity: below 1": 1,
    "quantity: not below 100": 1,
    "amount: PSI against the version before is above 0.2": 1,
    "amount: nullValues not below 10 percent": 1,
    "plan: not an allowed value": 1,
    "plans as before": 1,
    "id: repeats an earlier row": 2,
    "the number of rows is below 7": 1,
    "no huge order": 1,
    "shipped after ordered": 1,
    "cheap": 4,
    "customer: not in customers": 2,
    "the youngest row is older than 2 d": 1,
}


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    path = tmp_path_factory.mktemp("contract") / "orders.yaml"
    path.write_text(CONTRACT)
    return load_contract(path, "orders")


Put = Callable[[str, pa.Table], ibis.Table]


@pytest.fixture(scope="module")
def put() -> Iterator[Put]:
    """Puts a table into DuckDB."""
    connection = ibis.duckdb.connect()

    def put_into(name: str, rows: pa.Table) -> ibis.Table:
        connection.con.register("arrow", rows)
        connection.con.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM arrow")
        connection.con.unregister("arrow")
        return connection.table(name)

    yield put_into
    connection.disconnect()


def rows_of(rows: list[Row]) -> pa.Table:
    columns = [pa.array([row[index] for row in rows], field.type) for index, field in enumerate(SCHEMA)]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def judged(put: Put, contract: Contract, rows: list[Row], before: list[Row] | None) -> dict[str, int]:
    placed = rows_of(rows).append_column("_row", pa.array(range(len(rows)), pa.int64()))
    return judge(
        put("orders", placed),
        contract,
        previous=None if before is None else put("orders_before", rows_of(before)),
        references={"customers": put("customers", CUSTOMERS)},
        event_time="day",
        at=AT,
    )


def checked(folder: Path, contract: Contract, rows: list[Row], before: list[Row] | None) -> dict[str, int]:
    """Return what the local checker says of the same rows as a file."""
    given = {"orders": rows_of(rows), "before": rows_of(before or []), "customers": CUSTOMERS}
    for name, table in given.items():
        pq.write_table(table, folder / f"{name}.parquet")
    data = (folder / "orders.parquet").read_bytes()
    file = RawFile("orders.parquet", digest_bytes(data), len(data), AT, None)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    against = Against(
        previous=() if before is None else (folder / "before.parquet",),
        references={"customers": (folder / "customers.parquet",)},
    )
    found = DuckDbChecker(threads=1).check(
        [(file, folder / "orders.parquet")], contract, event_time="day", folder=out, against=against
    )
    assert not found.stops
    return {**found.reasons, **found.warnings}


def test_each_kind_of_rule_is_counted_on_duckdb(put: Put, contract: Contract) -> None:
    found = judged(put, contract, BAD, BEFORE)
    assert found == EXPECTED
    assert list(found) == [rule.reason for rule in contract.rules if rule.reason in found]


def test_the_local_checker_says_the_same(tmp_path: Path, contract: Contract) -> None:
    assert checked(tmp_path, contract, BAD, BEFORE) == EXPECTED


@pytest.mark.filterwarnings("ignore")  # the Spark client is behind on pandas
def test_spark_says_the_same(spark: Any, contract: Contract) -> None:
    kinds = "id string, customer string, day date, shipped date, quantity long, amount double, plan string"

    def put_into(name: str, rows: pa.Table) -> ibis.Table:
        values = [tuple(row.values()) for row in rows.to_pylist()]
        schema = ", ".join([*kinds.split(", "), "_row long"][: rows.num_columns])
        frame = spark._session.createDataFrame(values, schema)
        frame.createOrReplaceTempView(name)
        return spark.table(name)

    assert judged(put_into, contract, BAD, BEFORE) == EXPECTED


def orders() -> st.SearchStrategy[list[Row]]:
    ids = st.sampled_from(["o1", "o2", "o3", "o4", "x", "o1234567", None])
    days = st.sampled_from([FEB, date(2026, 2, 3), date(2025, 12, 31), None])
    return st.lists(
        st.tuples(
            ids, st.sampled_from(["a", "b", "c", None]), days, days, st.sampled_from([None, 0, 1, 5, 100]),
            st.sampled_from([None, -1.5, 0.0, 1.0, 49.9, 50.0]), st.sampled_from([None, "basic", "it's", "gold"]),
        ),
        min_size=1, max_size=12,
    )  # fmt: skip


def test_the_earliest_row_by_file_and_line_stays(put: Put, contract: Contract) -> None:
    twice = rows_of([("o1", "a", FEB, None, 9, value, "basic") for value in (1.0, 60.0)])
    for order in ([7, 8], [8, 7]):
        rows = twice.append_column("_file", pa.array(["f", "f"])).append_column("_row", pa.array(order))
        references = {"customers": put("customers", CUSTOMERS)}
        found = judge(put("orders", rows), contract, references=references, event_time="day", at=AT)
        assert ("no huge order" in found) == (order == [8, 7])


@settings(
    max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # an example is too dear to shrink
@given(orders())
def test_table_and_files_agree(tmp_path: Path, put: Put, contract: Contract, rows: list[Row]) -> None:
    assert judged(put, contract, rows, BEFORE) == checked(tmp_path, contract, rows, BEFORE)


def test_without_a_version_before_nothing_is_compared_with_it(put: Put, contract: Contract) -> None:
    found = judged(put, contract, [*BEFORE, *BEFORE], None)
    assert found["id: repeats an earlier row"] == len(BEFORE)
    assert not any("PSI" in reason or "before" in reason for reason in found)


def test_a_table_without_rows_breaks_only_the_count_of_rows(put: Put, contract: Contract) -> None:
    assert judged(put, contract, [], BEFORE) == {"the number of rows is below 7": 1}


def test_infinite_numbers_are_none(put: Put, contract: Contract) -> None:
    rows = [(f"o{n}", "a", FEB, None, 1, value, None) for n, value in enumerate([1.0, float("nan"), float("inf")])]
    assert judged(put, contract, rows, None)["amount: not a number"] == 2


def test_freshness_counts_to_when_the_rows_were_known(put: Put, contract: Contract) -> None:
    rows = rows_of(BEFORE).append_column(
        "_known_at", pa.array([datetime(2026, 1, 6)] * len(BEFORE), pa.timestamp("us"))
    )
    references = {"customers": put("customers", CUSTOMERS)}
    found = judge(put("orders", rows), contract, references=references, event_time="day")
    assert "the youngest row is older than 2 d" not in found


FRESH = Rule(RuleKind.FRESHNESS, ("seen",), "stale", maximum="172800")
KNOWN = datetime(2026, 2, 5, 6, tzinfo=UTC)


def age_rule(kind: str) -> Contract:
    return contract_of(Column("seen", kind, required=True), rules=(FRESH,))


@pytest.mark.parametrize("at", [KNOWN, None], ids=["a moment given", "by the rows"])
@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC")], ids=str)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(past=st.lists(st.integers(0, 5), max_size=3), future=st.lists(st.integers(1, 30_000), max_size=3))
def test_a_row_from_the_future_never_changes_what_is_said_of_freshness(
    put: Put, kind: pa.DataType, at: datetime | None, past: list[int], future: list[int]
) -> None:
    moments = [KNOWN - timedelta(days=days) for days in past] + [KNOWN + timedelta(days=days) for days in future]
    cells = pa.array([moment.replace(tzinfo=None) for moment in moments], pa.timestamp("us"))
    seen = cells.cast(kind, safe=False) if pa.types.is_date(kind) else cells.cast(pa.int64()).cast(kind)
    known = pa.array([KNOWN.replace(tzinfo=None)] * len(moments), pa.timestamp("us"))
    table = put("dated", pa.table({"seen": seen, "_known_at": known}))
    name = "date" if pa.types.is_date(kind) else "timestamp"
    found = judge(table, age_rule(name), event_time="seen", at=at)
    youngest = min(past) * 86_400 + (6 * 3600 if name == "date" else 0) if past else None
    stale = youngest > 172_800 if youngest is not None else bool(future)
    assert found == ({"stale": 1} if stale else {})


@pytest.mark.filterwarnings("ignore")  # the Spark client is behind on pandas
@pytest.mark.parametrize(("days", "found"), [((-3, 900), {"stale": 1}), ((-1, 900), {}), ((900,), {"stale": 1})])
def test_spark_says_the_same_of_rows_from_the_future(spark: Any, days: tuple[int, ...], found: dict[str, int]) -> None:
    rows = [(KNOWN + timedelta(days=number), KNOWN) for number in days]
    spark._session.createDataFrame(rows, "seen timestamp, _known_at timestamp").createOrReplaceTempView("dated")
    assert judge(spark.table("dated"), age_rule("timestamp"), event_time="seen") == found


@pytest.mark.parametrize("dialect", ["snowflake", "databricks"])
@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamp('UTC')"])
def test_the_moment_that_freshness_counts_to_compiles_for_a_warehouse(kind: str, dialect: str) -> None:
    table = ibis.table({"seen": kind}, name="dated")
    youngest = table.seen.max(where=table.seen <= _beside(table.seen, KNOWN))
    assert "2026" in ibis.to_sql(table.aggregate(youngest=youngest), dialect=dialect)


def test_freshness_needs_a_moment(put: Put, contract: Contract) -> None:
    with pytest.raises(UsageError, match="Freshness"):
        judge(put("orders", rows_of(BEFORE)), contract, references={"customers": put("customers", CUSTOMERS)})


def test_a_reference_needs_its_table(put: Put, contract: Contract) -> None:
    with pytest.raises(UsageError, match="customers"):
        judge(put("orders", rows_of(BEFORE)), contract, at=AT)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda rows: rows.drop_columns(["plan"]), "amount"),
        (lambda rows: rows.set_column(5, "amount", rows["amount"].cast(pa.string())), "string"),
        (lambda rows: rows.set_column(2, "day", rows["day"].cast(pa.timestamp("us"))), "timestamp"),
    ],
)
def test_a_table_of_another_shape_is_refused(put: Put, contract: Contract, change: Any, found: str) -> None:
    with pytest.raises(ContractError, match="does not fit") as caught:
        judge(put("orders", change(rows_of(BEFORE))), contract, at=AT)
    assert found in caught.value.found


def test_what_the_engine_cannot_do_is_said_in_one_line(put: Put, contract: Contract) -> None:
    table = put("orders", rows_of(BEFORE))
    table.get_backend().con.execute("DROP TABLE orders")
    with pytest.raises(EngineError, match="duckdb cannot judge orders"):
        judge(table, contract, at=AT, references={"customers": put("customers", CUSTOMERS)})


@pytest.mark.parametrize("engine", ["snowflake", "databricks"])
def test_rules_on_several_rows_compile_for_a_warehouse(contract: Contract, engine: str) -> None:
    types = {"day": "date", "shipped": "date", "quantity": "int64", "amount": "float64", "_row": "int64"}
    columns = {name: types.get(name, "string") for name in (*SCHEMA.names, "_row")}
    table, previous = ibis.table(columns, name="orders"), ibis.table(columns, name="orders_before")
    case = _TableCase(
        table, contract, previous, {"customers": ibis.table({"id": "string"}, name="customers")}, "day", AT
    )
    kept = _without(table, violations(table, contract, engine=engine))
    (reference,) = [rule for rule in contract.rules if rule.kind == "reference"]
    (unique,) = [rule for rule in contract.rules if rule.kind == "unique"]
    there = _at_home(kept, reference, case)
    asked = [_strangers(table, reference, case), _repeats(there, unique, case), _once(there, unique, case)]
    for question in asked:
        assert "SELECT" in str(ibis.to_sql(question, dialect=engine))
    batch = str(ibis.to_sql(asked[-1], dialect=engine))
    for rule in contract.rules:
        if rule.kind == "sql":
            assert sqlglot.parse_one(number_of(rule.text, batch, dialect=engine), read=engine)


@pytest.mark.parametrize(
    ("low", "high", "exclusive", "inside", "outside"),
    [
        ("1", None, False, [1, 2], [0.9]),
        ("1", None, True, [1.1], [1, 0]),
        (None, "1", False, [1, -5], [1.1]),
        (None, "1", True, [0.9], [1]),
        ("1", "2", False, [1, 2], [0, 3]),
        (None, None, False, [0], []),
    ],
)
def test_bounds_hold_as_they_are_written(
    contract: Contract, low: Any, high: Any, exclusive: bool, inside: list[float], outside: list[float]
) -> None:
    rule = replace(contract.rules[0], minimum=low, maximum=high, exclusive=exclusive)
    assert all(within(value, rule) for value in [*inside, None])
    assert not any(within(value, rule) for value in [*outside, *([float("nan")] if low or high else [])])
