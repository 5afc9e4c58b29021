"""Writes a contract as one HTML page that people read: no script, nothing loaded from anywhere, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from keelway.contract.change.rules import rule_text
from keelway.contract.contract import Column, Contract, PiiClass, Rule

STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --strong: #0b5394; }
@media (prefers-color-scheme: dark) { :root { --strong: #9cc4f2; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.5rem; margin: 1rem 0; }
dt { font-weight: 600; }
dd { margin: 0; }
.wide { overflow-x: auto; }
.wide:focus-visible, summary:focus-visible { outline: 3px solid var(--strong); }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding: .3rem 0; }
th, td { text-align: left; vertical-align: top; padding: .4rem .7rem; border-bottom: 1px solid var(--line); }
thead th { background: var(--soft); }
ul { margin: 0; padding-left: 1.1rem; }
code, pre { font: .9rem/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: var(--soft); padding: 1rem; overflow-x: auto; white-space: pre; }
.tag { border: 1px solid var(--strong); color: var(--strong); border-radius: .7rem; padding: 0 .5rem; }
.tag { display: inline-block; font-weight: 400; white-space: nowrap; }
"""
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
    parts = [
        f"<h1>{escape(title)}</h1>",
        _facts(contract),
        _columns(contract),
        _rules(contract),
        _people(contract),
        f"<h2>As it is written</h2>\n<details><summary>ODCS YAML</summary>\n<pre>{escape(contract.text)}</pre></details>",
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style></head>",
            "<body><main>",
            *(part for part in parts if part),
            "</main></body></html>",
            "",
        ]
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
    return "<dl>\n" + "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts) + "\n</dl>"


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
            _list(rule_text(rule) for rule in contract.rules if rule.columns == (column.name,) and _asks(rule)),
            _list(_repairs(column)),
        ]
        for column in contract.columns
    ]
    caption = "Each column in the order of the versions"
    heads = ("Column", "Type", "Required", "Rules", "Repairs that are allowed")
    return "<h2>Columns</h2>\n" + _table(caption, heads, rows)


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
    return "<h2>Rules of the whole</h2>\n" + _table("Rules over several columns or a whole batch", heads, rows)


def _people(contract: Contract) -> str:
    rows = [
        [f"<code>{escape(column.name)}</code>", escape(PII_WORDS[column.pii]), escape(column.token_format or "tok_...")]
        for column in contract.pii_columns
    ]
    if not rows:
        return ""
    return "<h2>People</h2>\n" + _table("Columns that name a person", ("Column", "What becomes of it", "Token"), rows)


def _list(texts: Iterable[str]) -> str:
    items = [f"<li>{escape(text)}</li>" for text in texts]
    return f"<ul>{''.join(items)}</ul>" if items else ""


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already; the first cell of each row names it."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "\n".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>\n'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )
