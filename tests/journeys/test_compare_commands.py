"""Models compared on the command line: versions, the champion, runs; on test rows, and on what has matured since."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LATER = "1998-07-02T12:00:00Z"
PROJECT = "src/churn/project.py"


@pytest.fixture(scope="module")
def grown(live_project: Path, tmp_path_factory: pytest.TempPathFactory, desk_of: Callable[[Path], Any]) -> Any:
    """The small project half a year later: `churn:1` is the champion, `churn:2` the challenger."""
    root = tmp_path_factory.mktemp("grown") / "churn"
    shutil.copytree(live_project, root)
    desk = desk_of(root).at(LATER)
    desk.upload(LATER)
    desk("ingest")
    assert desk("retrain", "churn", "--anyway")["version"] == "churn:2"
    desk.trainings = {
        (each["estimator"], each["started_at"][:7]): each["run_id"] for each in desk("runs", "--kind", "training")
    }
    desk.plans = [each["run_id"] for each in desk("runs", "--kind", "plan")]
    return desk


def names(answer: dict[str, Any]) -> list[str]:
    return [each["name"] for each in answer["models"]]


def figures(answer: dict[str, Any]) -> dict[str, float]:
    return {each["name"]: each["figures"]["roc_auc"]["value"] for each in answer["contest"]["models"]}


@pytest.mark.journey
class TestCompare:
    def test_champion_and_challenger_meet_on_the_challengers_test_rows(self, grown: Any) -> None:
        answer = grown("compare", "champion", "churn:2")
        assert names(answer) == ["churn:1", "churn:2"]
        assert [each["given"] for each in answer["models"]] == ["champion", "churn:2"]
        assert answer["source"].startswith("test rows of churn:2, cut ")
        contest = answer["contest"]
        assert contest["metrics"] == ["log_loss", "roc_auc"], "what the model declares"
        assert [each["name"] for each in contest["duels"]] == ["churn:2", "churn:2"]
        assert contest["duels"][0]["sentence"].startswith("churn:2 is better than churn:1: its log_loss is lower by 0.")
        assert contest["leader"] == "churn:2"
        card = grown("show", grown("show", "churn:2")["record"]["scorecard"])["record"]
        assert figures(answer)["churn:2"] == pytest.approx(card["metrics"]["roc_auc"]["value"], abs=1e-6)
        assert card["rows"] == contest["rows"]

    def test_a_version_is_found_by_each_of_its_names(self, grown: Any) -> None:
        answers = [grown("compare", one, "churn:2") for one in ("churn:1", "churn@prod", "champion")]
        assert len({str(each["contest"]) for each in answers}) == 1
        assert names(grown("compare", "churn:1", "churn")) == ["churn:1", "churn:2"], "a model is its newest version"

    def test_runs_and_their_estimators_are_models_too(self, grown: Any) -> None:
        boosting = grown.trainings["boosting", "1998-07"]
        answer = grown("compare", "churn:2", boosting[:10], f"{grown.plans[0]}/logistic", "--metric", "roc_auc")
        assert names(answer) == ["churn:2", f"{boosting[:16]}/boosting", f"{grown.plans[0][:16]}/logistic"]
        assert [each["kind"] for each in answer["models"]] == ["version", "training", "training"]
        logistic = answer["contest"]["duels"][1]
        assert logistic["sentence"].endswith("predicts the same as churn:2 for every row.")
        assert logistic["word"] == "no difference worth having"

    def test_a_plans_run_is_what_it_registered(self, grown: Any) -> None:
        assert names(grown("compare", "churn:1", grown.plans[0])) == ["churn:1", "churn:2"]

    def test_a_cut_that_has_matured_since_is_computed_for_all(self, grown: Any) -> None:
        before = grown.standing()
        answer = grown("compare", "churn:1", "churn:2", "--as-of", "1997-12-15")
        assert answer["source"] == "all labelled rows at 1997-12-15T00:00:00Z, computed for this comparison"
        assert (
            "churn:2 learned from labels that became known up to 13 days after the cut of these rows."
            in (answer["warnings"])
        )
        assert grown.standing() == before, "looking changes nothing"

    def test_the_same_rows_computed_again_give_the_same_figures(self, grown: Any) -> None:
        kept, again = grown("compare", "churn:1", "churn:2"), grown("compare", "churn:1", "churn:2", "--snapshot", "2")
        assert again["rows_digest"] == kept["rows_digest"]
        assert again["contest"] == kept["contest"]
        named = grown("compare", "churn:1", "churn:2", "--snapshot", "transactions=newest")
        assert named["contest"] == kept["contest"]

    def test_what_is_worth_having_decides(self, grown: Any) -> None:
        words = ("compare", "churn:1", "churn:2", "--metric", "roc_auc", "--metric", "accuracy")
        answer = grown(*words, "--margin", "0.05", "--margin", "accuracy=0.04", "--correction", "bh")
        contest = answer["contest"]
        assert contest["margins"] == {"roc_auc": 0.05, "accuracy": 0.04}
        assert contest["correction"] == "benjamini-hochberg"
        assert [each["word"] for each in contest["duels"]] == ["no difference worth having"] * 2
        assert contest["leader"] == "churn:1"
        assert not [each for each in answer["warnings"] if "No margin" in each]
        assert [each for each in grown(*words)["warnings"] if "No margin is given for roc_auc" in each]

    def test_people_read_a_verdict(self, grown: Any) -> None:
        shown = grown.call("compare", "champion", "churn:2", json_wanted=False).stdout
        assert "churn:2 is better than churn:1: its log_loss is lower by" in shown
        assert shown.rstrip().endswith("by log_loss: churn:2")
        assert "significant" not in shown

    def test_the_page_and_the_plots_are_files_that_stay_the_same(self, grown: Any, tmp_path: Path) -> None:
        pages = [tmp_path / name / "page.html" for name in ("one", "two")]
        for page in pages:
            answer = grown("compare", "churn:1", "churn:2", "--html", str(page), "--svg", str(page.parent / "plots"))
            assert answer["page"] == str(page)
        first, second = (page.read_bytes() for page in pages)
        assert first == second
        text = first.decode()
        assert "churn:2 is better than churn:1" in text
        assert not re.search(r"<script|<link|src=", text)
        files = sorted(path.name for path in (tmp_path / "one" / "plots").iterdir())
        assert files == sorted(Path(path).name for path in answer["plots"])
        assert {"roc.svg", "lift.svg", "reliability-churn-1.svg"} <= set(files)

    @pytest.mark.parametrize(
        ("words", "error", "told"),
        [
            (["churn:1"], "UsageError", "nothing to compare"),
            (["churn:1", "churn@prod"], "UsageError", "named twice"),
            (["churn:1", "churn:9"], "MissingRecordError", "no version"),
            (["churn:1", "nobody"], "MissingRecordError", "No model is called that"),
            (["churn:1", "churn@nowhere"], "SettingsError", "Unknown environment"),
            (["churn:1", "churn@local"], "MissingRecordError", "Nothing is live there"),
            (["churn:1", "01"], "UsageError", "Several runs"),
            (["churn:1", "churn:2", "--metric", "rmse"], "TrainingError", "Unknown metric"),
            (["churn:1", "churn:2", "--margin", "much"], "UsageError", "margin"),
            (["churn:1", "churn:2", "--margin", "mcc=0.1"], "UsageError", "margin"),
            (["churn:1", "churn:2", "--margin", "-1"], "UsageError", "margin"),
            (["churn:1", "churn:2", "--snapshot", "other=1"], "UsageError", "which dataset"),
            (["churn:1", "churn:2", "--snapshot", "7"], "MissingRecordError", "no such version"),
            (["churn:1", "churn:2", "--snapshot", "1"], "DataError", "learned from every one"),
            (["churn:1", "churn:2", "--as-of", "1997-06-15"], "DataError", "learned from later data"),
            (["churn:1", "churn:2", "--as-of", "1998-06-01"], "FeatureError", "matured"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, grown: Any, words: list[str], error: str, told: str) -> None:
        answer = grown.refused("compare", *words)
        assert answer["error"] == error
        assert told in answer["what"]

    def test_an_estimator_that_was_not_trained_is_told_with_those_that_were(self, grown: Any) -> None:
        answer = grown.refused("compare", "churn:1", f"{grown.plans[0]}/forest")
        assert f"{grown.plans[0]}/logistic" in answer["expected"]

    def test_models_of_two_names_bring_their_own_features_for_the_same_rows(
        self, grown: Any, tmp_path: Path, desk_of: Callable[[Path], Any]
    ) -> None:
        root = tmp_path / "churn"
        shutil.copytree(grown.root, root)
        desk = desk_of(root).at(LATER)
        desk.edit(PROJECT, "churn = Model(", SMALL)
        desk.edit(PROJECT, "models=[churn]", "models=[churn, brief]")
        desk("run", "brief")
        answer = desk("compare", "churn:2", "brief:1")
        assert names(answer) == ["churn:2", "brief:1"]
        assert answer["rows_digest"] == desk("compare", "churn:1", "churn:2")["rows_digest"]
        alone = desk("show", desk("show", "brief:1")["record"]["scorecard"])["record"]
        assert figures(answer)["brief:1"] == pytest.approx(alone["metrics"]["roc_auc"]["value"], abs=1e-6)


SMALL = '''\
@feature_set(entity="customer_id", sources=[transactions])
def recency(transactions: Any, as_of: Any) -> Any:
    """How recently a customer bought."""
    from keelway.features.blocks import days_since

    return transactions.group_by("customer_id").agg(recency_d=days_since(transactions.order_date.max(), as_of))


brief = Model(
    "brief",
    features=[recency],
    label=churned,
    estimators=[Estimator("logistic", "sklearn.linear_model.LogisticRegression")],
    cuts=Cuts(first=datetime(1997, 4, 1, tzinfo=UTC), every="month"),
    overlap="when_unavoidable",
)
churn = Model('''
