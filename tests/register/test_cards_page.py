"""The page on model cards names everything that people can say."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from keelway.project import Card

PAGE = (Path(__file__).parents[2] / "docs" / "model-cards.md").read_text("utf8")


def test_every_field_is_named_in_the_table() -> None:
    table = PAGE.split("| `Card` |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) - {"other"} == {each.name for each in fields(Card)}


def test_the_example_is_a_card() -> None:
    code = PAGE.split("card=")[1].split("\n)\n```")[0].rstrip(",\n ")
    card = eval(code, {"Card": Card})
    assert isinstance(card, Card)
    assert card.license == "apache-2.0"
