"""What people say of a model is declared, checked, and changes nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import keelway
from keelway import Card
from keelway.errors import ProjectError
from keelway.testing.training import churn_model


def test_a_card_says_nothing_unless_somebody_does() -> None:
    card = churn_model().card
    assert card == Card()
    assert card.license == card.intended_use == card.contact == ""
    assert keelway.Card is Card


def test_one_language_or_tag_may_stand_alone() -> None:
    card = Card(language="en", tags=["retention", "shop"])  # type: ignore[arg-type]
    assert (card.language, card.tags) == (("en",), ("retention", "shop"))


@pytest.mark.parametrize("emissions", [-1.0, float("nan"), float("inf")])
def test_emissions_are_a_number(emissions: float) -> None:
    with pytest.raises(ProjectError, match="emissions_g"):
        Card(emissions_g=emissions)


@pytest.mark.parametrize("said", [{}, {"license_name": "ours"}, {"license_link": "LICENSE"}])
def test_a_licence_of_its_own_needs_a_name_and_a_link(said: dict[str, Any]) -> None:
    with pytest.raises(ProjectError, match="name and a link"):
        Card(license="other", **said)
    assert Card(license="other", license_name="ours-1.0", license_link="LICENSE").license_name == "ours-1.0"


def test_other_words_are_no_other_model() -> None:
    model = churn_model()
    told = replace(model, card=Card(intended_use="Who to call first."))
    assert told.definition() == model.definition()
    assert told.data_definition() == model.data_definition()
