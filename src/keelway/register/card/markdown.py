"""Write a card as Markdown with YAML front matter: the README of a Hugging Face repository.

What people wrote stands as they wrote it, but for lines that would end the front matter or begin a section. Names and values
from records are shown and never obeyed.
"""

from __future__ import annotations

import html
import re

from keelway.register.card.records import CardBlock, CardTable, CommandLines, FactList, ModelCard, Prose


def card_markdown(card: ModelCard) -> str:
    """Return a card as Markdown."""
    import yaml

    front = yaml.safe_dump(card.metadata, sort_keys=False, allow_unicode=True, width=10_000)
    parts = [f"---\n{front}---", f"# Model Card for {card.name}"]
    parts += [_summary(card)]
    for section in card.sections:
        parts.append(f"{'#' * section.level} {section.title}")
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _summary(card: ModelCard) -> str:
    needed = sum(not gap.optional for gap in card.gaps)
    if not card.gaps:
        return "Every question of this card is answered."
    return f"{needed} questions that need an answer have none, and {len(card.gaps) - needed} others; each says where."


def _block(block: CardBlock) -> str:
    if isinstance(block, Prose):
        return _prose(block.text)
    if isinstance(block, FactList):
        return "\n".join(f"- **{_cell(name)}:** {_cell(text)}" for name, text in block.facts)
    if isinstance(block, CommandLines):
        return f"```bash\n{block.text}\n```"
    if isinstance(block, CardTable):
        return _table(block)
    say = f"`{block.say}`" if block.is_code else _cell(block.say)
    return f"> **Not stated:** {_cell(block.what)}. Say it by {say}." + (" (Optional.)" if block.optional else "")


def _table(block: CardTable) -> str:
    if not block.rows:
        return f"{_cell(block.caption)}: none."
    lines = [
        block.heads,
        tuple("---" for _ in block.heads),
        *(tuple(_cell(cell) for cell in row) for row in block.rows),
    ]
    return f"{_cell(block.caption)}:\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _prose(text: str) -> str:
    """Return a text in which no line is a heading or a rule."""
    return re.sub(r"^(\s*)(#|-{3,}\s*$|={3,}\s*$)", r"\1\\\2", text.strip(), flags=re.MULTILINE)


def _cell(text: str) -> str:
    """Return a text on one line, of which nothing is read as markup."""
    flat = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*\[\]|]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", flat)
