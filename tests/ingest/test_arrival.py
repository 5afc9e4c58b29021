"""What a dataset holds does not depend on the order in which its files arrive, nor on how many pulls bring them in."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.core import Digest
from keelway.ingest import Batch, SeenContent
from keelway.snapshot import read
from keelway.testing.shop import Shop

CONTENTS = ["one", "two", "three", "four"]
FILES = [(f"dt=1997-05-0{1 + number % 3}/{number}.csv", CONTENTS[number % 4]) for number in range(7)]
"""Seven files, three of them copies of others; each is stamped by its number, whenever it arrives."""
SMALL = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

arrivals = st.permutations(range(len(FILES)))
cuts = st.sets(st.integers(1, len(FILES) - 1))
batch_sizes = st.integers(1, len(FILES))


def pieces(order: list[int], places: set[int]) -> list[list[int]]:
    """Cut an order of arrival into what is there at each pull."""
    bounds = [0, *sorted(places), len(order)]
    return [order[start:end] for start, end in pairwise(bounds)]


def contents(batches: list[Batch]) -> list[Digest]:
    return sorted(file.digest for batch in batches for file in batch.files)


@SMALL
@given(order=arrivals, places=cuts, max_files=batch_sizes)
def test_the_content_taken_is_the_same_in_every_order_and_number_of_pulls(
    new_quay, order: list[int], places: set[int], max_files: int
) -> None:
    quay, taken = new_quay(), []
    for piece in pieces(order, places):
        for number in piece:
            name, content = FILES[number]
            quay.land(name, content, age_s=1000 - number)
        taken += quay.all_batches(max_files=max_files)
    whole = new_quay()
    for number, (name, content) in enumerate(FILES):
        whole.land(name, content, age_s=1000 - number)
    assert contents(taken) == contents(whole.all_batches())
    with quay.state.snapshot() as tx:
        assert tx.count(SeenContent) == len(CONTENTS)
    everything = [item.name for batch in taken for item in (*batch.files, *batch.skipped)]
    assert sorted(everything) == sorted(f"raw/{name}" for name, _ in FILES)
    quay.state.close()
    whole.state.close()


@SMALL
@given(order=arrivals, max_files=batch_sizes)
def test_where_files_arrive_before_the_first_pull_even_names_and_times_are_the_same(
    new_quay, order: list[int], max_files: int
) -> None:
    quay = new_quay()
    for number in order:
        name, content = FILES[number]
        quay.land(name, content, age_s=1000 - number)
    taken = {(f.name, f.digest, f.known_at) for batch in quay.all_batches(max_files=max_files) for f in batch.files}
    assert {name for name, _, _ in taken} == {f"raw/{name}" for name, _ in FILES[:4]}
    quay.state.close()


def rows_of(shop: Shop) -> list[tuple[object, ...]]:
    """Return the rows of the newest version, without where they came from."""
    import duckdb

    from keelway.snapshot import newest
    from keelway.testing.shop import ORDERS

    with shop.state.snapshot() as tx:
        snapshot = newest(ORDERS.name, tx)
    assert snapshot is not None
    files = [str(path) for path in read(snapshot, tables=shop.tables, artifacts=shop.artifacts)]
    query = "SELECT customer_id, date, quantity, amount FROM read_parquet(?) ORDER BY ALL"
    return duckdb.execute(query, [files]).fetchall()


DAYS = [
    ("1997-01-01", "a.csv", 1),
    ("1997-01-02", "b.csv", 2),
    ("1997-01-03", "copy.csv", 1),
    ("1997-01-03", "c.csv", 3),
]


@settings(SMALL, max_examples=5)
@given(order=st.permutations(range(len(DAYS))), places=st.sets(st.integers(1, len(DAYS) - 1)))
def test_the_rows_of_a_version_are_the_same_in_every_order_and_number_of_pulls(
    tmp_path_factory, order: list[int], places: set[int]
) -> None:
    shop = Shop.open(tmp_path_factory.mktemp("shop"))
    for piece in pieces(order, places):
        for number in piece:
            day, name, content = DAYS[number]
            shop.upload(day, f"{content},1997-01-0{content},1,2.5\nbad,,,\n", name=name, after_h=25 + number)
        shop.ingest()
    assert [row[0] for row in rows_of(shop)] == ["1", "2", "3"]
    shop.state.close()
