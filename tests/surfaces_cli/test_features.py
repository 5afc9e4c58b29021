"""`keelway features`: the SQL of a feature set and a proposal from a contract, on the shop of the example."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keelway.surfaces.cli.main import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "churn"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("features") / "churn"
    shutil.copytree(EXAMPLE, place, ignore=shutil.ignore_patterns(".keelway", "__pycache__"))
    return place


@pytest.fixture
def call(root: Path) -> Callable[..., Result]:
    def invoke(*words: str) -> Result:
        return CliRunner().invoke(main, ["features", *words, "--project", str(root), "--now", "1998-01-01"])

    return invoke


@pytest.mark.parametrize("name", ["churn", "activity"])
def test_a_model_or_a_feature_set_is_told_as_sql(name: str, call: Callable[..., Result]) -> None:
    answer = call("sql", name, "--engine", "snowflake", "--database", "LAKE.SHOP")
    assert answer.exit_code == 0, answer.output
    assert answer.output.startswith("-- activity as of 1998-01-01T00:00:00Z, for snowflake\nALTER SESSION SET TIMEZONE")
    assert '"LAKE"."SHOP"."transactions"' in answer.output


def test_a_machine_is_told_the_statement_and_the_cuts(call: Callable[..., Result]) -> None:
    answer = call("sql", "churn", "--engine", "duckdb", "--as-of", "1997-05-01", "--as-of", "1997-06-01", "--json")
    (told,) = json.loads(answer.stdout)
    assert told["as_ofs"] == ["1997-05-01T00:00:00Z", "1997-06-01T00:00:00Z"]
    assert told["statement"].count("UNION ALL") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("sql", "chrn", "--engine", "duckdb"), "No model and no feature set is called 'chrn'"),
        (("sql", "churn", "--engine", "oracle"), "There is no SQL for this engine"),
        (("sql", "churn", "--engine", "duckdb", "--as-of", "soon"), "soon"),
        (("propose", "orders"), "orders"),
        (("propose", "transactions", "--entity", "shopper"), "has no column 'shopper'"),
    ],
    ids=str,
)
def test_wrong_use_is_told(words: tuple[str, ...], told: str, call: Callable[..., Result]) -> None:
    answer = call(*words)
    assert answer.exit_code == 2
    assert told in answer.output
    assert "Traceback" not in answer.output


def test_a_proposal_is_code_for_the_entity_of_the_project(call: Callable[..., Result]) -> None:
    answer = call("propose", "transactions")
    assert answer.exit_code == 0, answer.output
    ast.parse(answer.output)
    assert '@feature_set(entity="customer_id", sources=[transactions])' in answer.output
    assert json.loads(call("propose", "transactions", "--json").stdout)["code"] == answer.output


def test_a_proposal_goes_to_a_new_file_only(call: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "proposed.py"
    assert call("propose", "transactions", "--out", str(out)).exit_code == 0
    ast.parse(out.read_text("utf8"))
    again = call("propose", "transactions", "--out", str(out))
    assert again.exit_code == 2
    assert "The file is there already" in again.output
    nowhere = call("propose", "transactions", "--out", str(tmp_path / "no" / "proposed.py"))
    assert nowhere.exit_code == 1
    assert "The file cannot be written" in nowhere.output
