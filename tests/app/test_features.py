"""Features that are built to be looked at are the ones that a training learns from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from keelway.app import App
from keelway.app.features import training_cuts
from keelway.core import SimulatedClock, parse_time
from keelway.errors import UsageError
from keelway.testing.late_shop import late_shop

NOW = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    root = late_shop(tmp_path_factory.mktemp("shop") / "shop")
    app = App.open(root, clock=SimulatedClock(NOW))
    app.data.ingest()
    yield app
    app.close()


def test_the_training_table_is_built_without_training(app: App) -> None:
    table = app.features.build()
    rows = app.features.rows(table)
    assert (table.purpose, table.label, rows.num_rows) == ("training", "churned", table.rows)
    assert {"entity", "as_of", "label", "label_known_at"} < set(rows.column_names)
    assert table.as_ofs[-1] == parse_time("2024-06-01")  # the last whose 14 days are known by 2 July
    assert not app.lab.models()


def test_other_cut_dates_come_without_a_label(app: App) -> None:
    table = app.features.build("churn", as_ofs=[parse_time("2024-06-20"), parse_time("2024-05-05")])
    assert (table.purpose, table.label, len(table.as_ofs)) == ("scoring", None, 2)
    assert "label" not in app.features.rows(table).column_names


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_rows_are_written_as_the_name_says(name: str, app: App, tmp_path: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    table = app.features.build()
    path = app.features.write(table, tmp_path / "new" / name)
    readers: dict[str, Any] = {".parquet": pyarrow.parquet.read_table, ".csv": pyarrow.csv.read_csv}
    found: pa.Table = readers[path.suffix](path)
    assert found.column_names == app.features.rows(table).column_names
    assert found["monetary"].to_pylist() == app.features.rows(table)["monetary"].to_pylist()


def test_a_file_of_another_kind_is_refused(app: App, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no kind of file"):
        app.features.write(app.features.build(), tmp_path / "rows.xlsx")


def test_the_leak_detector_and_the_poison_look_at_the_same_cut_dates(app: App) -> None:
    assert app.online.poison().as_of == app.features.build().as_ofs[-1]
    assert app.online.leakage().rows <= app.features.build().rows


class Held:
    """A snapshot, of which only its reach matters here."""

    def __init__(self, watermark: str) -> None:
        self.watermark = parse_time(watermark)


def test_a_cut_date_is_learned_from_once_its_labels_are_in_the_data(app: App) -> None:
    model = app.workspace.project.models[0]
    cuts, until = training_cuts(model, {"orders": Held("2024-03-10")}, now=NOW)  # type: ignore[dict-item]
    assert (cuts[-1], until) == (parse_time("2024-02-01"), parse_time("2024-03-10"))
    exactly, _ = training_cuts(model, {"orders": Held("2024-03-15")}, now=NOW)  # type: ignore[dict-item]
    assert exactly[-1] == parse_time("2024-03-01")
    early, until = training_cuts(model, {"orders": Held("2024-03-15")}, now=parse_time("2024-02-14"))  # type: ignore[dict-item]
    assert (early, until) == ((parse_time("2024-01-01"),), parse_time("2024-02-14"))


def test_where_no_label_has_matured_the_first_cut_date_stands_alone(app: App) -> None:
    model = app.workspace.project.models[0]
    assert training_cuts(model, {}, now=parse_time("2024-01-02"))[0] == (parse_time("2024-01-01"),)
