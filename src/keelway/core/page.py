"""Pages as HTML, each one file: no script, nothing loaded from anywhere, light and dark, and fit to be printed.

A page has a strict content security policy of its own. Every text is escaped here; what is called a part or a cell is
HTML already.

>>> page = html_page("Scores", [html_facts([("rows", "300 < 400")])])
>>> "300 &lt; 400" in page
True
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --strong: #0b5394; --bad: #b00020; }
@media (prefers-color-scheme: dark) { :root { --strong: #9cc4f2; --bad: #ff8a80; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.5rem; margin: 1rem 0; }
dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; }
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
.gap { border-left: 4px solid #b45309; padding: .1rem .8rem; background: var(--soft); }
.bad { color: var(--bad); font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; }
.plots figure { margin: 0; }
svg { max-width: 100%; height: auto; }
@media print {
  :root { color-scheme: light; --strong: #0b5394; --bad: #b00020; }
  body { max-width: none; padding: 0; }
  .wide { overflow-x: visible; }
  .plots { display: block; }
  tr, figure { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""


def html_page(title: str, parts: Iterable[str], *, style: str = "") -> str:
    """Return a page of a title and parts of HTML under it; empty parts are left out.

    Args:
        title: A text.
        parts: HTML.
        style: Rules of this page's own, after those of all pages.
    """
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}{style}</style></head>",
            "<body><main>",
            f"<h1>{escape(title)}</h1>",
            *(part for part in parts if part),
            "</main></body></html>",
            "",
        ]
    )


def html_facts(facts: Iterable[tuple[str, str]]) -> str:
    """Return names and what is said of each, both as texts."""
    return "<dl>\n" + "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts) + "\n</dl>"


def html_list(texts: Iterable[str]) -> str:
    """Return texts as a list; of none, nothing."""
    items = [f"<li>{escape(text)}</li>" for text in texts]
    return f"<ul>{''.join(items)}</ul>" if items else ""


def html_table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already; the first cell of each row names it."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "\n".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>\n'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def html_plots(svgs: Iterable[str]) -> str:
    """Return charts side by side where there is room; each is SVG."""
    figures = [f"<figure>\n{svg.strip()}\n</figure>" for svg in svgs]
    return '<div class="plots">\n' + "\n".join(figures) + "\n</div>" if figures else ""
