"""The page about contracts names everything that can be written, and what it shows loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keelway.contract import RuleKind, load_contract
from keelway.contract.odcs.bounds import OPERATORS, REFUSED
from keelway.contract.odcs.columns import COLUMN_PROPERTIES, KINDS, ONLY_FOR, OPTIONS
from keelway.contract.odcs.load import DATASET_PROPERTIES, FORMATS
from keelway.contract.odcs.promises import ABOUT_SERVICE
from keelway.contract.odcs.quality import METRICS
from keelway.contract.odcs.severity import BATCH_SEVERITIES, SEVERITIES

PAGE = Path("docs/contracts.md").read_text("utf8")
NAMES = sorted(
    {
        *DATASET_PROPERTIES, *COLUMN_PROPERTIES, *KINDS, *ONLY_FOR, *OPERATORS, *METRICS, *ABOUT_SERVICE, *SEVERITIES,
        *BATCH_SEVERITIES, *(option for options in OPTIONS.values() for option in options), *filter(None, FORMATS),
        REFUSED[0],
    }
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_word_of_a_contract_is_on_the_page(name: str) -> None:
    assert re.search(rf"`(?:[^`]*\W)?{name}(?:\W[^`]*)?`", PAGE), f"docs/contracts.md does not tell of {name}"


def test_the_contract_on_the_page_loads_with_rules_of_most_kinds(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    (tmp_path / "orders.odcs.yaml").write_text(example[1])
    contract = load_contract(tmp_path / "orders.odcs.yaml", "orders")
    told = {rule.kind for rule in contract.rules}
    assert told == set(RuleKind) - {RuleKind.MAXIMUM, RuleKind.MIN_LENGTH, RuleKind.MAX_LENGTH}
    assert (contract.owner, contract.max_age_s, contract.retention_days) == ("ana", 26 * 3600, 720)


@pytest.mark.parametrize(
    "word",
    [
        "LIKE", "BETWEEN", "IS NULL", "IS DISTINCT FROM", "coalesce", "nullif", "CASE", "abs", "length", "substr",
        "starts_with", "ends_with", "contains", "regexp_matches", "date_diff", "INTERVAL", "year", "month", "day",
    ],
)  # fmt: skip
def test_what_a_condition_may_use_is_on_the_page(word: str) -> None:
    assert word in PAGE.partition("### Conditions")[2].partition("### Patterns")[0]


def test_the_page_is_linked_from_the_first_one() -> None:
    assert "(contracts.md)" in Path("docs/index.md").read_text("utf8")
