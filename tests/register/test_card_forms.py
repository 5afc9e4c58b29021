"""The forms of a card: a Markdown that other readers read as it was meant, and metadata that names what it should."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import VersionName, digest_bytes
from keelway.evaluate import METRICS
from keelway.register import Gap, ModelCard, card_markdown, card_page
from keelway.register.card import CardSection, CardTable, CommandLines, FactList, Prose
from keelway.register.card.metadata import METRIC_IDS, library_of

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40).filter(
    lambda text: text.split()
)
WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n"), min_size=1, max_size=200)


def card_of(*blocks: Any, metadata: dict[str, Any] | None = None, gaps: tuple[Gap, ...] = ()) -> ModelCard:
    """Return a card with one section."""
    sections = (CardSection("Uses", 2, blocks), CardSection("Direct Use", 3, (Prose("Calls."),)))
    return ModelCard(VersionName("churn:1"), digest_bytes(b"v"), metadata or {"license": "mit"}, sections, gaps)


def body_of(text: str) -> str:
    """Return a card without its front matter."""
    return text.split("\n---\n", 1)[1]


def read_by_another(text: str) -> list[Any]:
    """Return the tokens of a Markdown text as a common parser reads them, tables included."""
    parser = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    found: list[Any] = parser.parse(text)
    return found


def inline_of(tokens: list[Any], kind: str) -> list[Any]:
    """Return the content of every element of a kind, in order."""
    return [tokens[place + 1] for place, token in enumerate(tokens) if token.type == kind]


def shown(token: Any) -> str:
    """Return the text that a reader sees."""
    return "".join(child.content for child in token.children)


class TestTables:
    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4))
    def test_another_reader_finds_every_cell_as_it_was(self, rows: list[tuple[str, str]]) -> None:
        text = body_of(card_markdown(card_of(CardTable("Figures", ("Name", "Value"), tuple(rows)))))
        tokens = read_by_another(text)
        found = [shown(token) for token in inline_of(tokens, "td_open")]
        assert found == [_as_shown(cell) for row in rows for cell in row]

    def test_nothing_in_a_cell_is_read_as_markup(self) -> None:
        nasty = ("<b>x</b>", "[a](javascript:1)", "`code`", "*loud* _soft_ __both__", "a|b", "back\\slash|", "# head")
        text = body_of(card_markdown(card_of(CardTable("Figures", ("Name",), tuple((each,) for each in nasty)))))
        tokens = inline_of(read_by_another(text), "td_open")
        assert [shown(token) for token in tokens] == list(nasty)
        assert {child.type for token in tokens for child in token.children} == {"text"} | (
            {child.type for token in tokens for child in token.children} & {"text_special", "entity"}
        )

    def test_names_with_underscores_inside_stay_readable(self) -> None:
        text = card_markdown(card_of(CardTable("Figures", ("Name",), (("roc_auc",), ("_private_",)))))
        assert "| roc_auc |" in text
        assert r"| \_private\_ |" in text

    def test_a_table_without_rows_is_a_sentence(self) -> None:
        assert "Datasets: none." in card_markdown(card_of(CardTable("Datasets", ("Name",), ())))


def _as_shown(cell: str) -> str:
    return " ".join(cell.split())


class TestFacts:
    @settings(max_examples=80, deadline=None)
    @given(NAMES, NAMES)
    def test_a_fact_is_one_item_of_a_list(self, name: str, text: str) -> None:
        tokens = read_by_another(body_of(card_markdown(card_of(FactList(((name, text), ("last", "one")))))))
        assert sum(token.type == "list_item_open" for token in tokens) == 2
        assert not [token for token in tokens if token.type in ("html_block", "table_open")]


class TestProse:
    @settings(max_examples=150, deadline=None)
    @given(WORDS)
    def test_words_make_no_heading_of_their_own(self, words: str) -> None:
        text = body_of(card_markdown(card_of(Prose(words))))
        assert re.findall(r"^#{1,6} .*$", text, re.MULTILINE)[0] == "# Model Card for churn:1"
        headings = [shown(token) for token in inline_of(read_by_another(text), "heading_open") if token.children]
        assert headings[:2] == ["Model Card for churn:1", "Uses"]
        assert "Direct Use" in headings or "```" in words or "~~~" in words or "<" in words

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            ("# Mine", r"\# Mine"),
            ("## Mine", r"\## Mine"),
            ("---", r"\---"),
            ("===", r"\==="),
            ("text\n---\nmore", "text\n\\---\nmore"),
            ("a # b", "a # b"),
            ("*as they wrote it*", "*as they wrote it*"),
        ],
    )
    def test_lines_that_would_begin_a_section_are_only_shown(self, words: str, told: str) -> None:
        assert f"\n\n{told}\n\n" in card_markdown(card_of(Prose(words)))


class TestGapsAndCommands:
    def test_code_is_told_as_code_and_deeds_as_words(self) -> None:
        code, deed = (
            Gap("Uses", "the licence", 'Model(card=Card(license="mit"))'),
            Gap("Uses", "who", "naming one_of_us_"),
        )
        text = card_markdown(card_of(code, deed, gaps=(code, deed)))
        assert '> **Not stated:** the licence. Say it by `Model(card=Card(license="mit"))`.' in text
        assert r"> **Not stated:** who. Say it by naming one_of_us\_." in text
        page = card_page(card_of(code, deed, gaps=(code, deed)))
        assert "Say it by <code>Model(card=Card(license=&quot;mit&quot;))</code>." in page
        assert "Say it by naming one_of_us_." in page

    def test_optional_gaps_are_said_to_be(self) -> None:
        gap = Gap("Uses", "how to cite it", 'Model(card=Card(citation="..."))', optional=True)
        card = card_of(gap, gaps=(gap,))
        assert card.complete
        assert card_markdown(card).count("(Optional.)") == 1
        assert "0 questions that need an answer have none, and 1 others" in card_markdown(card)

    def test_without_gaps_the_card_says_so(self) -> None:
        text = card_markdown(card_of(Prose("Calls.")))
        assert "Every question of this card is answered." in text
        assert "Not stated" not in card_page(card_of(Prose("Calls.")))

    def test_commands_stand_in_a_block_of_their_own(self) -> None:
        text = card_markdown(card_of(CommandLines("keelway show churn:1\nkeelway prove churn:1")))
        [fence] = [token for token in read_by_another(body_of(text)) if token.type == "fence"]
        assert fence.content == "keelway show churn:1\nkeelway prove churn:1\n"
        assert "<pre>keelway show churn:1\nkeelway prove churn:1</pre>" in card_page(
            card_of(CommandLines("keelway show churn:1\nkeelway prove churn:1"))
        )


class TestFrontMatter:
    @settings(max_examples=80, deadline=None)
    @given(st.dictionaries(NAMES, NAMES | st.lists(NAMES, max_size=3) | st.floats(-1e6, 1e6), min_size=1, max_size=4))
    def test_any_metadata_is_read_back_as_it_was(self, metadata: dict[str, Any]) -> None:
        text = card_markdown(card_of(Prose("Calls."), metadata=metadata))
        _, front, rest = re.split(r"^---\n", text, maxsplit=2, flags=re.MULTILINE)
        assert yaml.safe_load(front) == metadata
        assert rest.startswith("\n# Model Card for churn:1\n")

    def test_keys_stay_in_the_order_of_the_specification(self) -> None:
        text = card_markdown(card_of(Prose("Calls."), metadata={"license": "mit", "datasets": ["b", "a"], "a": 1}))
        assert text.startswith("---\nlicense: mit\ndatasets:\n- b\n- a\na: 1\n---\n")

    @pytest.mark.parametrize(
        ("factory", "library"),
        [
            ("sklearn.linear_model.LogisticRegression", "sklearn"),
            ("lightgbm.LGBMClassifier", "lightgbm"),
            ("xgboost.XGBRegressor", "xgboost"),
            ("voting", "keelway"),
            ("churn.models.Own", "keelway"),
        ],
    )
    def test_the_library_is_called_as_hugging_face_does(self, factory: str, library: str) -> None:
        assert library_of(factory) == library

    def test_metrics_that_are_called_otherwise_are_metrics_of_ours(self) -> None:
        assert set(METRIC_IDS) <= {name for names in METRICS.values() for name in names}
