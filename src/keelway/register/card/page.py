"""Write a card as one HTML page that loads nothing."""

from __future__ import annotations

from html import escape

from keelway.core import html_facts, html_list, html_page, html_table
from keelway.register.card.records import CardBlock, CardTable, CommandLines, FactList, Gap, ModelCard, Prose


def card_page(card: ModelCard) -> str:
    """Return a card as an HTML page, its gaps first."""
    parts = [f"<h2>Not stated</h2>\n{html_list(_gap(gap) for gap in card.gaps)}" if card.gaps else ""]
    for section in card.sections:
        parts.append(f"<h{section.level}>{escape(section.title)}</h{section.level}>")
        parts += [_block(block) for block in section.blocks]
    return html_page(f"Model card of {card.name}", parts)


def _gap(gap: Gap) -> str:
    return f"{gap.section}: {gap.what}" + (" (optional)" if gap.optional else "")


def _block(block: CardBlock) -> str:
    if isinstance(block, Prose):
        paragraphs = [each.strip() for each in block.text.split("\n\n") if each.strip()]
        return "\n".join(f"<p>{escape(each)}</p>" for each in paragraphs)
    if isinstance(block, FactList):
        return html_facts(block.facts)
    if isinstance(block, CommandLines):
        return f"<pre>{escape(block.text)}</pre>"
    if isinstance(block, CardTable):
        return html_table(block.caption, block.heads, [[escape(cell) for cell in row] for row in block.rows])
    say = f"<code>{escape(block.say)}</code>" if block.is_code else escape(block.say)
    return f'<p class="gap"><strong>Not stated:</strong> {escape(block.what)}. Say it by {say}.</p>'
