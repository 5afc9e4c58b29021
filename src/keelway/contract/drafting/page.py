"""Writes a contract as one HTML page that people read: no script, nothing loaded from anywhere, every text escaped."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from keelway.contract.change.rules import rule_text
from keelway.contract.contract import Column, Contract, PiiClass, Rule
from keelway.core import html_facts, html_list, html_page, html_table

PII_WORDS = {
    PiiClass.SUBJECT: "names the person: kept as a token, erasure is asked for by it",
    PiiClass.DIRECT: "names a person by itself: kept as a token",
    PiiClass.DROP: "never kept",
}
KIND_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "date": "date",
    "timestamp": "moment",
}


def contract_page(contract: Contract) -> str:
    """Return a contract as an HTML page."""
    title = f"Data contract of {contract.dataset}"
    written = f"<details><summary>ODCS YAML</summary>\n<pre>{escape(contract.text)}</pre></details>"
    return html_page(
        title,
        [
            _facts(contract),
            _columns(contract),
            _rules(contract),
            _people(contract),
            f"<h2>As it is written</h2>\n{written}",
        ],
    )


def _facts(contract: Contract) -> str:
    """Return who answers, what is promised, and how files are written."""
    written = [contract.format or "by the file's name", f"encoding {contract.encoding}"]
    if contract.format in ("", "csv"):
        written += [f"delimiter {contract.delimiter!r}", f"quote {contract.quote!r}" if contract.quote else "no quote"]
        written += [] if contract.has_header else ["no header: columns in this order"]
        written += [f"{contract.skip_lines} lines above are passed over"] if contract.skip_lines else []
    facts = [
        ("Version", contract.version),
        ("Owner", contract.owner or "nobody yet"),
        ("Youngest row", f"at most {_duration(contract.max_age_s)} old" if contract.max_age_s else "no promise"),
        ("Versions are kept", f"{contract.retention_days} days" if contract.retention_days else "no promise"),
        ("Key", ", ".join(contract.key) or "none"),
        ("Files", ", ".join(written)),
        ("Unknown columns", {"ignore": "left out", "quarantine": "the file is kept out"}.get(
            contract.unknown_columns, "nothing is loaded")),
        ("Loading stops", _stop(contract.stop_at_quarantined_share)),
        ("Digest", contract.source),
    ]  # fmt: skip
    return html_facts(facts)


def _stop(share: float) -> str:
    return "however many rows are bad: never" if share >= 1 else f"where more than {share:.3g} of the rows are bad"


def _duration(seconds: int) -> str:
    for size, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds % size == 0:
            return f"{seconds // size} {name if seconds != size else name[:-1]}"
    return f"{seconds} seconds"


def _columns(contract: Contract) -> str:
    rows = [
        [
            _tagged(column),
            escape(KIND_WORDS.get(column.kind, column.kind)),
            "yes" if column.required else "no",
            html_list(rule_text(rule) for rule in contract.rules if rule.columns == (column.name,) and _asks(rule)),
            html_list(_repairs(column)),
        ]
        for column in contract.columns
    ]
    caption = "Each column in the order of the versions"
    heads = ("Column", "Type", "Required", "Rules", "Repairs that are allowed")
    return "<h2>Columns</h2>\n" + html_table(caption, heads, rows)


def _asks(rule: Rule) -> bool:
    """Return whether a rule says more than the columns `Type` and `Required` do."""
    return rule.kind not in ("type", "required")


def _tagged(column: Column) -> str:
    tags = [column.classification, f"PII: {column.pii}" if column.pii else ""]
    shown = "".join(f' <span class="tag">{escape(tag)}</span>' for tag in tags if tag)
    return f"<code>{escape(column.name)}</code>{shown}"


def _repairs(column: Column) -> Iterator[str]:
    """Yield the repairs of a column in words."""
    if column.aliases:
        yield f"also called {', '.join(column.aliases)}"
    if column.trim:
        yield "blanks at both ends are cut"
    if column.strip:
        yield f"{' '.join(column.strip)} is cut out"
    if column.decimal_comma:
        yield "a decimal comma is read"
    if column.formats:
        yield f"also written as {', '.join(column.formats)}"
    if column.missing:
        yield f"no value: {', '.join(column.missing)}"
    if column.default is not None:
        yield f"filled with {column.default}"
    if column.multiply_by is not None:
        yield f"multiplied by {column.multiply_by:g}"
    if column.time_zone:
        yield f"times without an offset are of {column.time_zone}"


def _rules(contract: Contract) -> str:
    """Return the rules that are about several columns or the whole batch."""
    rules = [rule for rule in contract.rules if len(rule.columns) != 1]
    if not rules:
        return ""
    rows = [
        [escape(", ".join(rule.columns) or "the batch"), escape(rule_text(rule)), escape(rule.reason)] for rule in rules
    ]
    heads = ("About", "Rule", "What is told")
    return "<h2>Rules of the whole</h2>\n" + html_table("Rules over several columns or a whole batch", heads, rows)


def _people(contract: Contract) -> str:
    rows = [
        [f"<code>{escape(column.name)}</code>", escape(PII_WORDS[column.pii]), escape(column.token_format or "tok_...")]
        for column in contract.pii_columns
    ]
    if not rows:
        return ""
    return "<h2>People</h2>\n" + html_table(
        "Columns that name a person", ("Column", "What becomes of it", "Token"), rows
    )
