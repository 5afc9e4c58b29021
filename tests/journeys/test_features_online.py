"""A data scientist fills the online store and puts the features of the small shop to the test."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.journey
LATER = "1998-02-01T00:00:00Z"


def test_features_are_served_and_tested(trained: Any) -> None:
    assert "materialise churn" in trained.call("features", "get", "churn", "00001").stderr
    first = trained("features", "materialise", "churn", "--as-of", "1998-01-01")
    assert (first["computed"], first["written"]) == (True, True)
    again = trained("features", "materialise", "churn", "--as-of", "1998-01-01")
    assert (again["computed"], again["written"]) == (False, False)
    assert again["cut"] == first["cut"]

    [entity] = trained("features", "get", "churn", "00001")
    assert entity["entity"] == "00001"
    assert entity["values"]["frequency"] >= 1
    status = trained("features", "online")
    assert status["current"]
    assert status["age_s"] == 86_400
    gap = next(each for each in status["missing"] if each["feature"] == "gap_d")
    assert gap["skew"] == pytest.approx(gap["online"] - gap["trained"])

    parity = trained("features", "parity", "churn", "--entities", "60")
    assert (parity["entities"], parity["mismatches"]) == (60, [])
    assert parity["values"] == 60 * len(first["cut"]["features"])
    assert trained.call("features", "online", "--max-age", "36h").exit_code == 0
    assert trained.call("features", "online", "--max-age", "12h").exit_code == 1
    for words in (("online",), ("get", "churn", "00001", "00002"), ("parity", "--entities", "5"), ("materialise",)):
        assert trained.call("features", *words, json_wanted=False).exit_code == 0


def test_features_are_built_to_be_looked_at(trained: Any, tmp_path: Any) -> None:
    built = trained("features", "build", "--out", str(tmp_path / "rows.csv"))
    assert built["table"]["label"] == "churned"
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == built["table"]["rows"] + 1
    shown = trained.call("features", "build", "--rows", "2", json_wanted=False).stdout.splitlines()
    assert shown[0].startswith(f"churn: {built['table']['rows']} rows of ")
    assert len(shown) == 4
    assert trained.call("features", "build", "--rows", "0", json_wanted=False).stdout.count("\n") == 1
    assert "no kind of file" in trained.refused("features", "build", "--out", "rows.xlsx")["what"]


def test_how_features_are_spread_is_known_without_reading_them(trained: Any) -> None:
    whole = trained("features", "profile", "churn", "--purpose", "training")
    cuts = whole["as_ofs"]
    assert len(cuts) > 1
    assert sum(each["rows"] for each in whole["cuts"] if each["feature"] == "frequency") == whole["profile"]["rows"]
    frequency = whole["profile"]["columns"]["frequency"]
    assert frequency["minimum"] >= 1
    assert sum(frequency["counts"]) == sum(frequency["sketch"]["counts"]) == frequency["count"]
    moves = [each["psi"] for each in whole["cuts"] if each["feature"] == "recency_d"]
    assert moves[0] is None
    assert all(move >= 0 for move in moves[1:])

    some = trained("features", "profile", "--purpose", "training", "--as-of", cuts[0], "--as-of", cuts[1])
    assert some["as_ofs"] == cuts[:2]
    assert 0 < some["profile"]["rows"] < whole["profile"]["rows"]
    assert "no profile of that cut date" in trained.refused("features", "profile", "--as-of", "1980-01-01")["what"]
    for words in ((), ("--by-cut",), ("--as-of", cuts[0])):
        shown = trained.call("features", "profile", *words, "--purpose", "training", json_wanted=False)
        assert shown.exit_code == 0
        assert "recency_d" in shown.stdout
    assert trained.refused("features", "profile", "--purpose", "scoring")["error"] == "MissingRecordError"


def test_a_cut_that_is_older_is_refused(trained: Any) -> None:
    trained("features", "materialise")
    refused = trained.refused("features", "materialise", "--as-of", "1997-12-01")
    assert refused["error"] == "ConflictError"
    assert "newer cut" in refused["what"]


def test_honest_features_pass_and_dishonest_ones_do_not(trained: Any) -> None:
    report = trained("features", "poison", "churn", "--as-of", "1997-07-01")
    assert report["findings"] == []
    assert all(world["rows"]["transactions"] > 0 for world in report["worlds"])
    assert "no feature moved" in trained.call("features", "poison", "--as-of", "1997-07-01", json_wanted=False).stdout

    trained.edit(
        "src/churn/project.py",
        "    bought = transactions.order_date\n",
        '    transactions = transactions.get_backend().table("keelway_transactions")\n'
        "    bought = transactions.order_date\n",
    )
    caught = trained.call("features", "poison", "churn", "--as-of", "1997-07-01")
    assert caught.exit_code == 1
    assert '"activity"' in caught.stdout
    assert "move" in trained.call("features", "poison", "--as-of", "1997-07-01", json_wanted=False).stdout


def test_a_leak_stops_and_the_shop_has_none(trained: Any) -> None:
    report = trained("features", "leakage", "churn")
    assert [each for each in report["findings"] if each["severity"] == "stop"] == []
    assert report["scores"][0]["score"] > 0.6
    assert "best alone" in trained.call("features", "leakage", json_wanted=False).stdout
