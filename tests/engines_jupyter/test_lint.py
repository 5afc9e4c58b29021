"""What a look over a notebook finds, by cell and line, and never with the text that should not be there."""

from __future__ import annotations

from typing import Any

import pytest
from nbformat import from_dict

from keelway.engines.jupyter import look_over

TOKEN = "ghp_" + "a1B2" * 9
KEY = "AKIA" + "ABCDEFGH12345678"
GIVEN_AWAY: list[tuple[str, str, str]] = [
    (f"key = '{KEY}'", "secret", "an access key of AWS"),
    (f"# {TOKEN}", "secret", "a token of GitHub"),
    ("pem = '-----BEGIN EC PRIVATE KEY-----'", "secret", "a private key"),
    ("cluster = 'dapi" + "0123456789abcdef" * 2 + "'", "secret", "a token of Databricks"),
    ("url = 'postgresql://ana:hunter22@db/churn'", "secret", "a password in an address"),
    ("db_password = 'hunter22-and-more'", "secret", "a password or token in the code"),
    ('config["api_key"] = "0123456789"', "secret", "a password or token in the code"),
    ("who = 'ana@example.org'", "person", "[e-mail]"),
    ("card = '4111 1111 1111 1111'", "person", "[card]"),
    ("pd.read_csv('/home/ana/churn/raw.csv')", "path", "a path of one machine"),
    ("%cd /Users/ana/churn", "path", "a path of one machine"),
    (r"open('C:\\Users\\ana\\a.csv')", "path", "a path of one machine"),
    (r"open('\\server\share\a.csv')", "path", "a path of one machine"),
]
HARMLESS = [
    "token = 'env:CHURN_TOKEN_NAME'",
    "password = os.environ['PASSWORD']",
    "password = ''",
    "pd.read_csv('raw/home/ana.csv')",
    "requests.get('http://localhost:8080/home/ana')",
    "x = a / b / c",
    "client.get('/predict')",
    "path = f'{folder}/data/raw'",
    "at = '2026-03-01T12:00:00Z'",
    "n_tokens = 'a b'",
    "!pip list",
    "%%time\nx = 1",
    "await answer()",
    "files = !ls raw",
]


@pytest.mark.parametrize(("source", "rule", "told"), GIVEN_AWAY, ids=[told for *_, told in GIVEN_AWAY])
def test_what_a_cell_gives_away_is_told_by_its_kind(notebook: Any, source: str, rule: str, told: str) -> None:
    (found, *more) = look_over(notebook("x = 1", f"y = 2\n{source}"), "a.ipynb")
    assert (found.notebook, found.cell, found.line, found.rule) == ("a.ipynb", 2, 2, rule)
    assert told in found.message
    assert source not in found.message
    assert more == []


@pytest.mark.parametrize("source", HARMLESS)
def test_what_gives_nothing_away_is_left_alone(notebook: Any, source: str) -> None:
    assert look_over(notebook(source), "a.ipynb") == []


@pytest.mark.parametrize(
    "output",
    [
        {"output_type": "stream", "name": "stdout", "text": "fine\nana@example.org\nben@example.org\n"},
        {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["no client", "ana@example.org"]},
        {
            "output_type": "display_data",
            "metadata": {},
            "data": {"text/html": "<td>ana@example.org</td>", "image/png": "x"},
        },
    ],
    ids=lambda output: output["output_type"],
)
def test_outputs_are_searched_too_and_told_once(notebook: Any, output: dict[str, Any]) -> None:
    document = notebook("x")
    document.cells[0].update(outputs=[from_dict(output)], execution_count=1)
    (found,) = look_over(document, "a.ipynb")
    assert (found.cell, found.line, found.rule) == (1, 0, "person")
    assert found.message == "names a person: [e-mail], in its output"


def test_text_is_searched_and_a_tag_calls_the_search_off(notebook: Any) -> None:
    written = "# Ask ana@example.org"
    assert [found.rule for found in look_over(notebook(written), "a")] == ["person"]
    assert look_over(notebook(written, tags={0: ["no-lint"]}), "a") == []
    assert [found.rule for found in look_over(notebook("x = = 1", tags={0: ["no-lint"]}), "a")] == ["syntax"]


@pytest.mark.parametrize("source", ["x = = 1", "def f(:\n  pass", "x = 1\nif x:", "a\x00b"])
def test_what_is_no_python_is_told(notebook: Any, source: str) -> None:
    assert [(found.cell, found.rule) for found in look_over(notebook("y = 1", source), "a")] == [(2, "syntax")]


def test_lines_are_counted_as_they_stand(notebook: Any) -> None:
    (found,) = look_over(notebook("\n\nx = 1\ny = = 2"), "a")
    assert found.line == 4


@pytest.mark.parametrize(
    ("counts", "wrong"),
    [
        ([None, None, None], []),
        ([1, 2, 3], []),
        ([1, 3, 2], [2, 3]),
        ([1, 2, 4], [3]),
        ([4, 5, 6], [1, 2, 3]),
        ([1, None, 2], [2, 3]),
    ],
    ids=["cleared", "in order", "another order", "executed again", "not from the start", "one left out"],
)
def test_cells_that_were_not_executed_in_order_are_told(
    notebook: Any, counts: list[int | None], wrong: list[int]
) -> None:
    document = notebook("# Title", "a = 1", "b = 1", "c = 1")
    for cell, count in zip(document.cells[1:], counts, strict=True):
        cell.execution_count = count
    found = look_over(document, "a")
    assert [(each.cell, each.rule) for each in found] == [(number + 1, "order") for number in wrong]
