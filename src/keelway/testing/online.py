"""What every online store promises.

class TestMyStore(OnlineStoreConformance):
    @pytest.fixture
    def store(self, tmp_path): ...
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.core import digest_bytes
from keelway.errors import FeatureError
from keelway.features import FeatureColumn, OnlineCut, OnlineStore, OnlineValue

START = datetime(2026, 1, 1, tzinfo=UTC)
FEATURES = (
    FeatureColumn("spent", "numeric"),
    FeatureColumn("kind", "categorical"),
    FeatureColumn("pixels", "array", 2),
)
ENTITIES = tuple(f"e{number}" for number in range(50))


def online_cut(
    day: int, *, model: str = "churn", written: int = 0, content: int = 0, rows: int = len(ENTITIES)
) -> OnlineCut:
    """Return the record of a cut; `content` stands for what its rows hold."""
    return OnlineCut(
        model=model,
        entity="customer",
        as_of=START + timedelta(days=day),
        definition=digest_bytes(b"definition"),
        table=digest_bytes(b"table %d %d" % (day, content)),
        data=digest_bytes(b"data %d %d" % (day, content)),
        snapshots={"orders": digest_bytes(b"snapshot %d" % content)},
        features=FEATURES,
        missing={feature.name: 0 for feature in FEATURES},
        rows=rows,
        written_at=START + timedelta(days=100, seconds=written),
    )


def online_rows(number: float, entities: Sequence[str] = ENTITIES) -> list[tuple[str, list[OnlineValue]]]:
    """Return rows that all hold one number, so that two cuts cannot be mixed unseen."""
    return [(entity, [float(number), f"k{number:g}", [float(number), -float(number)]]) for entity in entities]


class OnlineStoreConformance:
    """Promises of `OnlineStore`. Subclasses give the fixture `store`."""

    @pytest.fixture
    def store(self) -> OnlineStore:
        """Return an empty store. To be overridden."""
        raise NotImplementedError

    def test_an_empty_store_holds_nothing(self, store: OnlineStore) -> None:
        assert store.cut("churn") is None
        assert store.read("churn", ["e0"]) == {}

    def test_what_was_written_is_read_to_the_last_bit(self, store: OnlineStore) -> None:
        values: list[OnlineValue] = [0.1 + 0.2, "ä'\u2028", [float("1e-320"), -0.0]]
        cut = online_cut(1, rows=2)
        assert store.write(cut, [("o'brien", values), ("", [None, "", [0.0, 0.0]])])
        rows = store.read("churn", ["o'brien", "", "nobody"])
        assert rows.keys() == {"o'brien", ""}
        assert rows["o'brien"].values == dict(zip(("spent", "kind", "pixels"), values, strict=True))
        assert rows[""].values == {"spent": None, "kind": "", "pixels": [0.0, 0.0]}
        assert (rows[""].as_of, rows[""].definition) == (cut.as_of, cut.definition)
        assert store.cut("churn") == cut

    def test_a_newer_cut_replaces_all_of_the_older(self, store: OnlineStore) -> None:
        store.write(online_cut(1), online_rows(1))
        assert store.write(online_cut(2, rows=1), online_rows(2, ["e0"]))
        rows = store.read("churn", ENTITIES)
        assert {entity: row.values["spent"] for entity, row in rows.items()} == {"e0": 2.0}

    def test_an_older_cut_changes_nothing(self, store: OnlineStore) -> None:
        store.write(online_cut(2), online_rows(2))
        assert not store.write(online_cut(1, written=9), online_rows(1))
        assert store.cut("churn") == online_cut(2)
        assert store.read("churn", ["e0"])["e0"].values["spent"] == 2.0

    def test_the_same_cut_again_changes_nothing(self, store: OnlineStore) -> None:
        store.write(online_cut(1), online_rows(1))
        assert not store.write(online_cut(1, written=5), online_rows(1))
        assert store.cut("churn") == online_cut(1)

    def test_other_bytes_of_the_same_cut_date_replace_it_when_written_later(self, store: OnlineStore) -> None:
        store.write(online_cut(1, written=1), online_rows(1))
        assert store.write(online_cut(1, written=2, content=1), online_rows(7))
        assert store.read("churn", ["e0"])["e0"].values["spent"] == 7.0

    def test_models_do_not_see_each_other(self, store: OnlineStore) -> None:
        store.write(online_cut(1), online_rows(1))
        store.write(online_cut(2, model="credit"), online_rows(2))
        assert store.read("churn", ["e0"])["e0"].values["spent"] == 1.0
        assert store.read("credit", ["e0"])["e0"].values["spent"] == 2.0
        assert store.read("other", ["e0"]) == {}

    @pytest.mark.parametrize(
        "rows",
        [online_rows(2, ENTITIES[1:]), [*online_rows(2, ENTITIES[1:]), ("e1", [1.0, "", [1.0, 1.0]])],
         [*online_rows(2, ENTITIES[1:]), ("e0", [1.0])]],
        ids=["too few", "an entity twice", "a value too few"],
    )  # fmt: skip
    def test_a_wrong_cut_is_refused_as_a_whole(
        self, store: OnlineStore, rows: list[tuple[str, list[OnlineValue]]]
    ) -> None:
        store.write(online_cut(1), online_rows(1))
        with pytest.raises(FeatureError):
            store.write(online_cut(2), rows)
        assert store.cut("churn") == online_cut(1)
        assert {row.values["spent"] for row in store.read("churn", ENTITIES).values()} == {1.0}

    def test_a_writer_that_dies_half_way_leaves_the_cut_before(self, store: OnlineStore) -> None:
        store.write(online_cut(1), online_rows(1))

        def dying() -> Iterator[tuple[str, list[OnlineValue]]]:
            yield from online_rows(2, ENTITIES[:20])
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.write(online_cut(2), dying())
        assert len(store.read("churn", ENTITIES)) == len(ENTITIES)
        assert store.cut("churn") == online_cut(1)
        assert store.write(online_cut(2), online_rows(2))

    def test_many_entities_are_read_at_once(self, store: OnlineStore) -> None:
        entities = [f"n{number}" for number in range(25_000)]
        store.write(online_cut(1, rows=len(entities)), online_rows(3, entities))
        assert len(store.read("churn", entities)) == len(entities)

    def test_readers_see_a_whole_cut_or_the_one_before(self, store: OnlineStore) -> None:
        store.write(online_cut(0), online_rows(0))
        done = threading.Event()

        def reading(_: int) -> list[set[object]]:
            seen: list[set[object]] = []
            while not done.is_set() or not seen:
                rows = store.read("churn", ENTITIES)
                seen.append({len(rows), *(f"{row.values['spent']} {row.as_of}" for row in rows.values())})
            return seen

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(reading, number) for number in range(3)]
            for day in range(1, 40):
                store.write(online_cut(day), online_rows(day))
            done.set()
            seen = [each for reader in readers for each in reader.result()]
        whole = [{len(ENTITIES), f"{float(day)} {online_cut(day).as_of}"} for day in range(40)]
        assert all(each in whole for each in seen)

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(order=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=8))
    def test_whatever_the_order_the_newest_cut_stands(
        self, store: OnlineStore, order: list[tuple[int, int, int]]
    ) -> None:
        model = f"m{abs(hash(tuple(order)))}"
        cuts = [online_cut(day, model=model, written=at, content=content) for day, at, content in order]
        for cut in cuts:
            before = store.cut(model)
            wrote = store.write(cut, online_rows(cut.as_of.day))
            after = store.cut(model)
            assert after is not None
            assert wrote == (after != before)
            assert before is None or after == before or after.replaces(before)
        standing = store.cut(model)
        assert standing is not None
        assert standing.as_of == max(cut.as_of for cut in cuts)
        assert not any(store.write(cut, online_rows(cut.as_of.day)) for cut in cuts if cut.as_of < standing.as_of)
        assert store.read(model, ["e0"])["e0"].values["spent"] == float(standing.as_of.day)
