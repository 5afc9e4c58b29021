"""A contract's life on the command line: drafted, linted, compared, shown, its change followed and let in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from keelway.contract import load_contract
from keelway.surfaces.cli.main import main

LATER = "1998-07-02T12:00:00Z"
RELEASE = ("--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token")
CONTRACT = "contracts/transactions.odcs.yaml"
SHOP = "order_id,placed_on,paid\n" + "".join(f"o{n:04d},2026-01-{n % 28 + 1:02d},{n}.5\n" for n in range(60))


def call(*words: str | Path) -> Result:
    """Run a command that needs no project."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def answer(*words: str | Path) -> Any:
    result = call(*words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "Shop orders-2026.csv"
    path.write_text(SHOP, "utf8")
    return path


@pytest.fixture
def draft(sample: Path, tmp_path: Path) -> Path:
    path = tmp_path / "contracts" / "shop.odcs.yaml"
    answer("contract", "init", sample, "--out", path, "--dataset", "shop")
    return path


def test_a_draft_is_printed_and_what_was_guessed_is_told_beside_it(sample: Path, tmp_path: Path) -> None:
    result = call("contract", "init", sample)
    assert result.exit_code == 0
    (tmp_path / "printed.yaml").write_text(result.stdout, "utf8")
    contract = load_contract(tmp_path / "printed.yaml", "shop_orders_2026")
    assert [column.kind for column in contract.columns] == ["string", "date", "number"]
    assert "3 columns from 60 rows; key order_id; event time placed_on" in result.stderr
    assert "0 of 60 rows would be quarantined" in result.stderr


def test_a_draft_is_written_once_and_again_only_when_told(sample: Path, draft: Path) -> None:
    told = call("contract", "init", sample, "--out", draft, "--json")
    assert told.exit_code == 2
    assert json.loads(told.stderr)["fix"] == "Add --force."
    draft.write_text("other", "utf8")
    found = answer("contract", "init", sample, "--out", draft, "--force", "--dataset", "shop")
    assert draft.read_text("utf8") == found["draft"]["text"]
    assert (found["rows_in"], found["rows_quarantined"], found["reasons"]) == (60, 0, {})


def test_a_draft_of_a_broken_file_says_which_rows_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n5\n", "utf8")
    result = call("contract", "init", tmp_path / "t.csv")
    assert "1 of 3 rows would be quarantined" in result.stderr
    assert "fields" in result.stderr


def test_a_sample_without_a_header_is_drafted_by_the_places_of_its_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("ana,2\nbo,4\n", "utf8")
    result = call("contract", "init", tmp_path / "t.csv")
    assert result.exit_code == 0
    assert "property: header" in result.stdout
    assert "name: column_2" in result.stdout


def test_a_sample_that_may_lack_a_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("0,1\n3,4\n", "utf8")
    result = call("contract", "init", tmp_path / "t.csv")
    assert result.exit_code == 1
    assert "no header" in result.stderr


def test_a_draft_has_warnings_but_no_errors(draft: Path) -> None:
    result = call("contract", "lint", draft)
    assert result.exit_code == 0
    assert "still a draft" in result.stdout
    assert "0 errors" in result.stdout


def test_an_error_exits_non_zero(draft: Path) -> None:
    draft.write_text(draft.read_text("utf8").replace("logicalType: number", "logicalType: money"), "utf8")
    result = call("contract", "lint", draft)
    assert result.exit_code == 1
    assert "1 errors" in result.stdout
    assert "paid" in result.stdout


def test_two_files_are_compared(draft: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    new.write_text(draft.read_text("utf8").replace("name: paid", "name: amount"), "utf8")
    found = answer("contract", "diff", draft, new)
    assert found["level"] == "breaking"
    assert {(each["column"], each["what"]) for each in found["changes"]} == {
        ("paid", "column removed"),
        ("amount", "required column added"),
    }
    shown = call("contract", "diff", draft, new)
    assert "all in all breaking" in shown.stdout
    assert call("contract", "diff", draft, draft).stdout == "nothing changed\n"


def test_a_file_that_is_not_there_is_told(draft: Path) -> None:
    told = json.loads(call("contract", "diff", "absent.yaml", draft, "--json").stderr)
    assert (told["what"], told["found"]) == ("There is no contract", "absent.yaml")
    assert "There is no contract" in call("contract", "lint", "absent.yaml").stdout
    assert "There is no contract" in call("contract", "docs", "absent.yaml").stderr
    told = json.loads(call("contract", "diff", "orders", draft, "--json").stderr)
    assert told["fix"] == "Name two files, or a dataset."


def test_a_file_with_several_datasets_needs_a_name(draft: Path, tmp_path: Path) -> None:
    text = draft.read_text("utf8")
    schema = text[text.index("  - name: shop") :]
    draft.write_text(text + schema.replace("name: shop", "name: returns"), "utf8")
    result = call("contract", "docs", draft, "--out", tmp_path / "x.html", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stderr)["found"] == "shop, returns"
    assert (
        answer("contract", "docs", draft, "--out", tmp_path / "x.html", "--dataset", "returns")["dataset"] == "returns"
    )


def test_a_page_is_written(draft: Path, tmp_path: Path) -> None:
    page = tmp_path / "pages" / "shop.html"
    found = answer("contract", "docs", draft, "--out", page)
    assert found == {"dataset": "shop", "version": "0.1.0", "page": str(page)}
    assert "Data contract of shop" in page.read_text("utf8")


def test_the_group_explains_itself() -> None:
    result = call("contract", "--help")
    for name in ("init", "lint", "diff", "docs", "impact", "accept", "second-opinion"):
        assert name in result.stdout


@pytest.mark.journey
class TestInAProject:
    """The same on a dataset of a project with a version and a model."""

    def test_a_dataset_is_linted_and_shown_by_its_name(self, trained: Any, tmp_path: Path) -> None:
        report = trained("contract", "lint", "transactions")
        assert report["datasets"] == ["transactions"]
        page = tmp_path / "t.html"
        assert trained("contract", "docs", "transactions", "--out", str(page))["page"] == str(page)

    def test_the_file_is_compared_with_the_newest_version(self, trained: Any) -> None:
        assert trained("contract", "diff", "transactions") == {"changes": [], "level": None}
        trained.edit(CONTRACT, "maximum: 1000\n", "maximum: 2000\n")
        found = trained("contract", "diff", "transactions")
        assert found["level"] == "widening"
        assert [(each["column"], each["what"]) for each in found["changes"]] == [("units", "rule loosened")]

    def test_without_a_version_there_is_nothing_to_compare(self, trained: Any) -> None:
        for path in trained.database.parent.glob("state.db*"):
            path.unlink()
        assert "no version" in trained.refused("contract", "diff", "transactions")["what"]
        assert "no version" in trained.refused("contract", "impact", "transactions")["what"]

    def test_nothing_changed_reaches_nobody(self, live: Any) -> None:
        report = live("contract", "impact", "transactions")
        assert (report["level"], report["changes"]) == (None, [])
        assert report["models"][0]["effect"] == "nothing"
        shown = live.call("contract", "impact", "transactions", json_wanted=False)
        assert shown.stdout == "transactions: nothing changed\n"

    def test_a_changed_unit_shifts_what_is_made_of_it_and_the_live_version_is_due(self, live: Any) -> None:
        live.edit(
            CONTRACT, "property: decimalComma\n            value: true", "property: multiplyBy\n            value: 0.01"
        )
        report = live("contract", "impact", "transactions")
        assert report["level"] == "breaking"
        by_kind = {each["change"]["what"]: each for each in report["changes"]}
        (reader,) = by_kind["unit conversion changed"]["readers"]
        assert (reader["name"], reader["is_label"], reader["effect"]) == ("activity", False, "values shift")
        assert {"monetary", "largest_order", "spent_90d", "mean_order", "basket"} <= set(reader["features"])
        assert not {"recency_d", "orders_30d", "units"} & set(reader["features"])
        (model,) = report["models"]
        assert (model["model"], model["effect"]) == ("churn", "values shift")
        (version,) = model["versions"]
        assert (version["version"], version["live"]) == ("churn:1", [{"environment": "prod", "percent": 100}])
        assert "retrain is due" in version["outlook"]
        shown = live.call("contract", "impact", "transactions", json_wanted=False).stdout.splitlines()
        assert shown[0] == "transactions 1.0.0 -> 1.0.0: breaking"
        assert "  amount: unit conversion changed (x 1 -> x 0.01), breaking" in shown
        assert "    feature set activity: values shift" in shown
        assert any(line.endswith("-> churn") for line in shown)
        assert shown[-2:] == [
            "  model churn: values shift",
            "    churn:1 in prod 100 %: is asked about values it was not trained on: a retrain is due",
        ]

    def test_a_removed_column_breaks_the_function_that_reads_it(self, live: Any) -> None:
        text = (live.root / CONTRACT).read_text("utf8")
        start = text.index("      - name: amount")
        (live.root / CONTRACT).write_text(text[:start], "utf8")
        report = live("contract", "impact", "transactions")
        (change,) = report["changes"]
        (reader,) = change["readers"]
        assert reader["effect"] == "breaks at build"
        assert "amount" in reader["why"]
        assert report["models"][0]["effect"] == "breaks at build"
        assert "fail until" in report["models"][0]["versions"][0]["outlook"]

    def test_the_event_time_reaches_features_and_label(self, live: Any) -> None:
        live.edit(CONTRACT, 'minimum: "1997-01-01"', 'minimum: "1997-02-01"')
        (change,) = live("contract", "impact", "transactions")["changes"]
        assert {(each["name"], each["is_label"], each["effect"]) for each in change["readers"]} == {
            ("activity", False, "values shift"),
            ("churned", True, "values shift"),
        }

    def test_a_rule_on_a_column_that_nobody_reads_changes_which_rows_there_are(self, live: Any) -> None:
        live.edit(CONTRACT, "pattern: ^o[0-9]{6}$", "pattern: ^o0[0-9]{5}$")
        report = live("contract", "impact", "transactions")
        (change,) = report["changes"]
        assert {each["effect"] for each in change["readers"]} == {"watch drift"}
        assert {each["why"] for each in change["readers"]} == {"other rows are kept"}
        assert "watch its drift" in report["models"][0]["versions"][0]["outlook"]

    def test_a_version_that_is_not_live_is_left_alone(self, trained: Any) -> None:
        trained.edit(CONTRACT, 'minimum: "1997-01-01"', 'minimum: "1997-02-01"')
        (version,) = trained("contract", "impact", "transactions")["models"][0]["versions"]
        assert version["live"] == []
        assert "not live" in version["outlook"]

    def test_an_additive_change_reaches_nobody(self, live: Any, tmp_path: Path) -> None:
        new = tmp_path / "new.yaml"
        text = (live.root / CONTRACT).read_text("utf8")
        new.write_text(text + "      - name: coupon\n        logicalType: string\n", "utf8")
        report = live("contract", "impact", "transactions", "--to", str(new))
        assert report["level"] == "additive"
        assert [each["readers"] for each in report["changes"]] == [[]]
        shown = live.call("contract", "impact", "transactions", "--to", str(new), json_wanted=False).stdout
        assert "coupon: optional column added" in shown
        assert "reaches nobody" in shown
        assert "churn:1 in prod 100 %: nothing happens" in shown

    def test_a_breaking_change_is_let_in_by_a_decision(self, trained: Any) -> None:
        trained.edit(CONTRACT, 'minimum: "1997-01-01"', 'minimum: "1997-02-01"')
        trained.upload(LATER)
        later = trained.at(LATER)
        refused = later.refused("ingest")
        assert "rule tightened" in refused["found"]
        assert "keelway contract accept transactions" in refused["fix"]
        assert later.call("contract", "accept", "transactions").exit_code == 2, "a reason is needed"
        before = later.ledger_size()
        refused = later.refused("contract", "accept", "transactions", "--comment", "so", *RELEASE)
        assert "data-scientist" in refused["expected"]
        assert later.ledger_size() == before + 1, "the refusal is on record"
        accepted = later("contract", "accept", "transactions", "--comment", "January was a test")
        assert accepted["comment"] == "January was a test"
        assert later.ledger_size() == before + 2
        told = [each["decision"] for each in later("audit")["decisions"]][-2:]
        assert [(each["action"], each["subject"], each["principal"], each["allowed"]) for each in told] == [
            ("contract", "transactions", "sp:release", False),
            ("contract", "transactions", "user:ana", True),
        ]
        assert "data-scientist" in told[0]["reasons"][0]
        (report,) = later("ingest")
        assert report["rows_in"] > 0
        assert later("contract", "diff", "transactions") == {"changes": [], "level": None}

    def test_nothing_to_accept_is_told(self, trained: Any) -> None:
        assert "nobody's consent" in trained.refused("contract", "accept", "transactions", "--comment", "so")["what"]

    def test_a_second_opinion_agrees(self, trained: Any, tmp_path: Path) -> None:
        pytest.importorskip("pandas")
        result = trained.call("contract", "second-opinion", "transactions", "--out", str(tmp_path / "docs"))
        if result.exit_code == 2 and "one more package" in result.stderr:
            pytest.skip("great_expectations is not installed")
        assert result.exit_code == 0, result.stderr
        opinion = json.loads(result.stdout)
        assert opinion["rows"] > 0
        assert opinion["opinions"]
        assert all(each["keelway"] == each["great_expectations"] == 0 for each in opinion["opinions"])
        assert Path(opinion["page"]).is_file()
        shown = trained.call("contract", "second-opinion", "transactions", json_wanted=False).stdout
        assert f"both agree on {len(opinion['opinions'])} rules and {opinion['rows']} rows" in shown
        assert "not asked: order_date: not a date (a version has its types" in shown
