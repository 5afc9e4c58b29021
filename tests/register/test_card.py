"""A model card tells what the evidence knows and what people say, and shows what nobody said."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.core import digest_bytes, digest_of
from keelway.evaluate import Scorecard
from keelway.project import Card, Costs, Evaluation
from keelway.register import (
    CardData,
    CardEntry,
    CardEvidence,
    Gap,
    ModelCard,
    card_markdown,
    card_page,
    model_card,
)
from keelway.register.card import CardTable, Prose
from keelway.testing.training import BOOSTED, CUTS, NOW, TrainingWorld

SAID = Card(
    summary="Tells which customers will not come back.",
    license="apache-2.0",
    language=("en",),
    tags=("retention",),
    developed_by="The shop's data team",
    repository="the shop's repository",
    intended_use="Who to call first.\n\nCalls are made by people.",
    downstream_use="A list of calls.",
    out_of_scope="Prices for single customers.",
    limitations="New customers are judged by one purchase.",
    recommendations="Do not call those who asked not to be called.",
    hardware="a laptop of 2 cores",
    emissions_g=1.5,
    emissions_source="a meter",
    citation="The shop, 2026.",
    contact="shop-data@example.org",
)
DATA = (
    CardData(
        name="orders",
        digest=digest_bytes(b"snapshot 0"),
        snapshot="orders 3",
        rows=1234,
        known_until=NOW,
        owner="ana",
        contract="orders 1.0.0",
        personal={"email": "direct"},
    ),
)
ENTRIES = (
    CardEntry(7, "register", "", "user:ana", NOW, True),
    CardEntry(9, "approve", "prod", "user:bo", datetime(2026, 1, 2, tzinfo=UTC), True),
    CardEntry(10, "promote", "prod", "user:eve", datetime(2026, 1, 3, tzinfo=UTC), False),
)
HEADINGS = [
    "Model Details", "Uses", "Bias, Risks, and Limitations", "How to Get Started with the Model", "Training Details",
    "Evaluation", "Model Examination", "Environmental Impact", "Technical Specifications", "Provenance", "Citation",
    "Model Card Authors", "Model Card Contact",
]  # fmt: skip
NASTY = '# no heading\n---\n<script>alert(1)</script> & "quoted" | `code`'


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> CardEvidence:
    """Return the evidence of a version that was evaluated by everything there is."""
    world = TrainingWorld(tmp_path_factory.mktemp("card"))
    world.declare(
        evaluation=Evaluation(
            slices=("plan",), sensitive=("plan",), costs=Costs(false_negative=4.0), importance=2, bootstrap=100
        )
    )
    trained = world.fit()
    card = world.card(trained)
    version = world.register(trained, card)
    model = replace(world.model, card=SAID)
    return CardEvidence(
        version, trained, card, world.table, model, DATA, ENTRIES, trained_seconds=1.25, model_bytes=3 << 20
    )


def silent(evidence: CardEvidence) -> CardEvidence:
    """Return the same evidence where people said nothing and nothing was looked at but metrics."""
    bare = replace(evidence.scorecard, slices=(), fairness=(), importance=(), threshold=None)
    data = tuple(replace(each, owner="") for each in DATA)
    return replace(evidence, declared=replace(evidence.declared, card=Card()), scorecard=bare, data=data, entries=())


def section(card: ModelCard, title: str) -> tuple[Any, ...]:
    """Return what stands under a heading."""
    return next(each.blocks for each in card.sections if each.title == title)


def tables(card: ModelCard, title: str) -> list[CardTable]:
    return [block for block in section(card, title) if isinstance(block, CardTable)]


def front_of(text: str) -> dict[str, Any]:
    """Return the front matter of a card."""
    _, front, _ = text.split("---\n", 2)
    told: dict[str, Any] = yaml.safe_load(front)
    return told


class TestEvidence:
    def test_a_card_that_everybody_answered_has_optional_gaps_only(self, evidence: CardEvidence) -> None:
        card = model_card(evidence)
        assert card.complete
        assert [gap.what for gap in card.gaps] == ["the commit of the code", "a lock file"]
        assert (card.name, card.version) == ("churn:1", digest_of(evidence.version))

    def test_figures_stand_with_their_intervals(self, evidence: CardEvidence) -> None:
        [figures] = tables(model_card(evidence), "Results")
        auc = evidence.scorecard.metrics["roc_auc"]
        row = next(each for each in figures.rows if each[0] == "roc_auc")
        assert row[1:3] == (f"{auc.value:.4g} ({auc.low:.4g} to {auc.high:.4g})", "DeLong")
        assert row[3].startswith(f"{evidence.scorecard.trivial['roc_auc'].value:.4g} (")
        assert {each[0] for each in figures.rows} == set(evidence.scorecard.metrics)

    def test_slices_groups_and_worth_of_features_are_told(self, evidence: CardEvidence) -> None:
        card = model_card(evidence)
        [slices] = tables(card, "Slices")
        assert [row[0] for row in slices.rows] == [f"plan = {each.level}" for each in evidence.scorecard.slices]
        [groups] = tables(card, "Fairness")
        assert any("too few to judge" in row[0] for row in groups.rows)
        [worth] = tables(card, "Model Examination")
        assert {row[0] for row in worth.rows} == {"recency_d", "plan", "spend"}
        told = " ".join(block.text for block in section(card, "Results") if isinstance(block, Prose))
        assert "Acting pays from a probability of" in told
        assert "Calibration: probabilities are off by" in told
        assert "Against the trivial rule:" in told

    def test_training_data_and_what_was_done_to_it(self, evidence: CardEvidence) -> None:
        card = model_card(evidence)
        [data] = tables(card, "Training Data")
        assert data.rows[0][0] == "orders"
        assert data.rows[0][2:] == ("1,234", "2026-01-01T00:00:00Z", "orders 1.0.0", "ana", "email (direct)")
        steps, parameters = tables(card, "Training Procedure")
        assert ("impute", "median") in steps.rows
        assert ("seed", "7") in parameters.rows
        text = card_markdown(card)
        assert "2 cuts, 2025-01-01T00:00:00Z to 2025-03-01T00:00:00Z" in text
        assert f"**Cut:** {CUTS[2]:%Y-%m-%d}" in text
        assert "**Time of the fit:** 1.25 s" in text
        assert "**Size of the exported model:** 3 MB" in text

    def test_what_the_ledger_decided_and_every_digest(self, evidence: CardEvidence) -> None:
        card = model_card(evidence)
        [decisions] = tables(card, "Provenance")
        assert [row[0] for row in decisions.rows] == ["7", "9", "10"]
        assert decisions.rows[2][-1] == "refused"
        text = card_markdown(card)
        for digest in evidence.digests().values():
            assert digest in text
        assert "Nobody has approved" not in text
        assert "Nobody has approved this version yet." in card_markdown(model_card(silent(evidence)))

    def test_a_declaration_that_changed_is_not_told_as_what_was_done(self, evidence: CardEvidence) -> None:
        other = replace(evidence.declared.preprocessing, impute="mean")
        card = model_card(replace(evidence, declared=replace(evidence.declared, preprocessing=other)))
        assert any("how features were prepared" in gap.what for gap in card.gaps)
        assert [table.caption for table in tables(card, "Training Procedure")] == ["Training hyperparameters"]

    def test_an_estimator_that_is_declared_no_more_is_no_error(self, evidence: CardEvidence) -> None:
        card = model_card(replace(evidence, declared=replace(evidence.declared, estimators=(BOOSTED,))))
        assert any("how features were prepared" in gap.what for gap in card.gaps)

    def test_what_the_scorecard_warns_of_stands_among_the_limitations(self, evidence: CardEvidence) -> None:
        warned = replace(evidence.scorecard, warnings=("The test rows were drawn at random.",), overlap_days=12)
        blocks = section(model_card(replace(evidence, scorecard=warned)), "Bias, Risks, and Limitations")
        told = [block.text for block in blocks if isinstance(block, Prose)]
        assert "From the evidence: The test rows were drawn at random." in told
        assert "From the evidence: Labels of training became known up to 12 days after the test cut." in told

    def test_a_slice_that_does_worse_is_a_limitation(self, evidence: CardEvidence) -> None:
        first, *others = evidence.scorecard.slices
        worse = replace(evidence.scorecard, slices=(replace(first, verdict="worse"), *others))
        blocks = section(model_card(replace(evidence, scorecard=worse)), "Bias, Risks, and Limitations")
        assert any(
            f"is worse where plan is {first.level}" in block.text for block in blocks if isinstance(block, Prose)
        )

    def test_the_members_of_an_ensemble_are_named(self, evidence: CardEvidence) -> None:
        members = {"logistic": digest_bytes(b"1"), "boosted": digest_bytes(b"2")}
        text = card_markdown(model_card(replace(evidence, members=members)))
        assert "**Ensemble of:** logistic, boosted" in text
        assert f"**member boosted:** {digest_bytes(b'2')}" in text


class TestGaps:
    def test_what_nobody_said_is_a_gap_that_says_how_to_close_it(self, evidence: CardEvidence) -> None:
        card = model_card(silent(evidence))
        needed = {gap.what: gap.say for gap in card.gaps if not gap.optional}
        assert needed == {
            "what the model does": 'Model(card=Card(summary="..."))',
            "the licence": 'Model(card=Card(license="apache-2.0"))',
            "what it is for": 'Model(card=Card(intended_use="..."))',
            "what it must not be used for": 'Model(card=Card(out_of_scope="..."))',
            "where it fails, and whom that harms": 'Model(card=Card(limitations="..."))',
            "what its users should do about that": 'Model(card=Card(recommendations="..."))',
            "who answers for orders": "naming a team member with the role owner in its contract",
            "how figures differ between parts of the rows": 'Model(evaluation=Evaluation(slices=["..."]))',
            "how decisions fall on groups of people": 'Model(evaluation=Evaluation(sensitive=["..."]))',
            "the hardware it was trained on": 'Model(card=Card(hardware="..."))',
            "whom to ask": 'Model(card=Card(contact="..."))',
        }
        assert not card.complete

    def test_every_gap_that_names_a_declaration_can_be_closed_by_it(self, evidence: CardEvidence) -> None:
        gaps = model_card(silent(evidence)).gaps
        fields = {found for gap in gaps for found in re.findall(r"Card\((\w+)=", gap.say)}
        assert fields <= set(Card.__dataclass_fields__)
        left = {gap.what for gap in model_card(replace(silent(evidence), declared=evidence.declared)).gaps}
        assert not [gap for gap in gaps if "Card(" in gap.say and gap.what in left]

    def test_gaps_stand_where_the_answer_would(self, evidence: CardEvidence) -> None:
        text = card_markdown(model_card(silent(evidence)))
        direct = text.split("### Direct Use\n")[1].split("\n### ")[0]
        assert direct.strip() == ('> **Not stated:** what it is for. Say it by `Model(card=Card(intended_use="..."))`.')
        assert text.count("**Not stated:**") == len(model_card(silent(evidence)).gaps)
        assert "11 questions that need an answer have none" in text

    def test_the_language_matters_only_to_a_model_that_reads_texts(self, evidence: CardEvidence) -> None:
        texts = tuple(replace(each, kind="text") for each in evidence.trained.features)
        reading = replace(silent(evidence), trained=replace(evidence.trained, features=texts))
        assert any("language" in gap.what for gap in model_card(reading).gaps)
        assert not any("language" in gap.what for gap in model_card(silent(evidence)).gaps)

    def test_a_model_without_decisions_has_no_gap_in_fairness(self, evidence: CardEvidence) -> None:
        card: Scorecard = replace(silent(evidence).scorecard, task="regression")
        found = model_card(replace(silent(evidence), scorecard=card))
        assert not any(gap.section == "Fairness" for gap in found.gaps)

    def test_a_snapshot_that_is_gone_is_said_to_be(self, evidence: CardEvidence) -> None:
        gone = (CardData("orders", digest_bytes(b"snapshot 0")),)
        card = model_card(replace(evidence, data=gone))
        assert any(gap.what == "the contract of orders" for gap in card.gaps)
        assert tables(card, "Training Data")[0].rows[0][1].startswith("gone (")


@pytest.mark.parametrize(
    "field", [each for each in Card.__dataclass_fields__ if each not in ("license_name", "license_link", "emissions_g")]
)
def test_everything_that_people_say_is_on_the_card(evidence: CardEvidence, field: str) -> None:
    told: Any = "words of ours"
    if field in ("language", "tags"):
        told = ("words of ours",)
    words = replace(Card(emissions_g=1.0), **{field: told})
    card = model_card(replace(silent(evidence), declared=replace(evidence.declared, card=words)))
    assert "words of ours" in card_markdown(card)
    if field != "tags":
        assert "words of ours" in card_page(card)
        assert len(card.gaps) <= len(model_card(silent(evidence)).gaps)


class TestMarkdown:
    def test_the_sections_are_those_of_the_template_in_its_order(self, evidence: CardEvidence) -> None:
        text = card_markdown(model_card(evidence))
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
        assert text.count("\n# ") == 1

    def test_the_front_matter_is_what_the_specification_asks_for(self, evidence: CardEvidence) -> None:
        front = front_of(card_markdown(model_card(evidence)))
        assert list(front) == [
            "language", "license", "library_name", "pipeline_tag", "tags", "datasets", "metrics", "co2_eq_emissions",
            "model-index",
        ]  # fmt: skip
        assert front["language"] == ["en"]
        assert front["license"] == "apache-2.0"
        assert front["library_name"] == "sklearn"
        assert front["tags"] == ["tabular-classification", "tabular", "onnx", "keelway", "retention"]
        assert front["datasets"] == ["orders"]
        assert {"roc_auc", "brier_score", "matthews_correlation"} <= set(front["metrics"])
        assert front["co2_eq_emissions"] == {"emissions": 1.5, "source": "a meter", "hardware_used": SAID.hardware}
        [index] = front["model-index"]
        [result] = index["results"]
        assert index["name"] == "churn:1"
        assert result["task"] == {"type": "tabular-classification", "name": "Binary classification"}
        assert result["dataset"]["type"] == "orders"
        assert result["dataset"]["revision"] == evidence.table.data
        by_type = {each["type"]: each for each in result["metrics"]}
        assert by_type["roc_auc"]["value"] == round(evidence.scorecard.metrics["roc_auc"].value, 6)
        assert "95% interval" in by_type["roc_auc"]["name"]

    def test_what_nobody_said_is_left_out_of_the_front_matter(self, evidence: CardEvidence) -> None:
        front = front_of(card_markdown(model_card(silent(evidence))))
        assert not {"language", "license", "license_name", "co2_eq_emissions"} & set(front)

    def test_a_licence_of_its_own_has_name_and_link(self, evidence: CardEvidence) -> None:
        own = replace(SAID, license="other", license_name="ours-1.0", license_link="LICENSE")
        front = front_of(card_markdown(model_card(replace(evidence, declared=replace(evidence.declared, card=own)))))
        assert (front["license"], front["license_name"], front["license_link"]) == ("other", "ours-1.0", "LICENSE")

    def test_hugging_face_reads_it(self, evidence: CardEvidence) -> None:
        hub = pytest.importorskip("huggingface_hub")
        card = hub.ModelCard(card_markdown(model_card(evidence)))
        assert card.data.license == "apache-2.0"
        assert card.data.model_name == "churn:1"
        found = {each.metric_type: each for each in card.data.eval_results}
        assert found["roc_auc"].metric_value == round(evidence.scorecard.metrics["roc_auc"].value, 6)
        assert found["roc_auc"].dataset_type == "orders"
        assert found["roc_auc"].task_type == "tabular-classification"
        assert card.text.lstrip().startswith("# Model Card for churn:1")
        assert hub.ModelCard(str(card)).data.to_dict() == card.data.to_dict()

    def test_the_same_evidence_gives_the_same_bytes(self, evidence: CardEvidence) -> None:
        assert card_markdown(model_card(evidence)) == card_markdown(model_card(replace(evidence)))
        assert card_page(model_card(evidence)) == card_page(model_card(replace(evidence)))

    def test_words_cannot_make_sections_or_end_the_front_matter(self, evidence: CardEvidence) -> None:
        nasty = replace(SAID, intended_use=NASTY, license=NASTY, developed_by=NASTY)
        text = card_markdown(model_card(replace(evidence, declared=replace(evidence.declared, card=nasty))))
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
        assert text.count("\n# ") == 1
        assert front_of(text)["license"] == " ".join(NASTY.split())

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(name=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30))
    def test_any_name_is_one_cell_of_one_row(self, evidence: CardEvidence, name: str) -> None:
        first, *others = evidence.scorecard.slices
        card = replace(evidence.scorecard, slices=(replace(first, level=name), *others))
        text = card_markdown(model_card(replace(evidence, scorecard=card)))
        lines = text.split("### Slices\n")[1].split("\n### ")[0].strip().splitlines()[2:]
        assert len(lines) == len(card.slices) + 2
        assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines} == {6}


class Outline(HTMLParser):
    """Collects tags and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


class TestPage:
    def test_the_page_says_what_the_card_does_with_the_gaps_first(self, evidence: CardEvidence) -> None:
        found = Outline(card_page(model_card(silent(evidence))))
        assert found.text.index("Not stated") < found.text.index("Model Details")
        assert "Uses: what it is for" in found.text
        assert "what it may be built into (optional)" in found.text
        for title in HEADINGS:
            assert title in found.text

    def test_words_are_shown_and_never_obeyed(self, evidence: CardEvidence) -> None:
        nasty = replace(SAID, intended_use=NASTY, developed_by=NASTY)
        page = card_page(model_card(replace(evidence, declared=replace(evidence.declared, card=nasty))))
        found = Outline(page)
        assert not {"script", "link", "img", "iframe"} & set(found.tags)
        assert found.text.count("<script>alert(1)</script>") == 2

    def test_a_text_of_two_paragraphs_stays_two(self, evidence: CardEvidence) -> None:
        page = card_page(model_card(evidence))
        assert "<p>Who to call first.</p>\n<p>Calls are made by people.</p>" in page


def test_a_gap_says_whether_it_is_closed_in_code() -> None:
    assert Gap("a", "b", "Model(card=Card())").is_code
    assert not Gap("a", "b", "naming somebody").is_code


def test_cards_of_numbers_and_classes(tmp_path: Path, evidence: CardEvidence) -> None:
    for task, kind in (("regression", "tabular-regression"), ("multiclass", "tabular-classification")):
        trained = replace(evidence.trained, task=task, classes=("ash", "birch") if task == "multiclass" else ())
        card = replace(evidence.scorecard, task=task, positives=0)
        made = model_card(replace(evidence, trained=trained, scorecard=card))
        assert made.metadata["pipeline_tag"] == kind
        assert ("Classes" in card_markdown(made)) == (task == "multiclass")
        assert "keelway score" not in card_markdown(made)
