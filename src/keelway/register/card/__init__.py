"""Model cards: what the records behind a version say of it, what people say, and what nobody said."""

from keelway.register.card.evidence import CardEvidence
from keelway.register.card.make import model_card
from keelway.register.card.markdown import card_markdown
from keelway.register.card.page import card_page
from keelway.register.card.records import (
    CardData,
    CardEntry,
    CardSection,
    CardTable,
    CommandLines,
    FactList,
    Gap,
    ModelCard,
    Prose,
)

__all__ = [
    "CardData",
    "CardEntry",
    "CardEvidence",
    "CardSection",
    "CardTable",
    "CommandLines",
    "FactList",
    "Gap",
    "ModelCard",
    "Prose",
    "card_markdown",
    "card_page",
    "model_card",
]
