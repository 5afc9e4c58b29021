"""Make a card from evidence: the same records and the same declaration give the same card."""

from __future__ import annotations

from keelway.core import digest_of
from keelway.register.card.evidence import CardEvidence
from keelway.register.card.metadata import metadata_of
from keelway.register.card.records import Gap, ModelCard
from keelway.register.card.sections import sections_of


def model_card(found: CardEvidence) -> ModelCard:
    """Return the card of a model version."""
    sections = sections_of(found)
    gaps = tuple(block for section in sections for block in section.blocks if isinstance(block, Gap))
    return ModelCard(found.version.name, digest_of(found.version), metadata_of(found), sections, gaps)
