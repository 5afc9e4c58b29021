"""Finds the bracket that nothing closes, which the compiler tells without its place or not at all."""

from __future__ import annotations

from collections.abc import Iterator

from keelway.promote.policies.ready import outside_texts, without_comments

CLOSING = {"(": ")", "[": "]", "{": "}"}


def bracket_fault(text: str) -> tuple[int, str] | None:
    r"""Return the line of the first bracket of a text of Rego that has no partner, and what is wrong with it.

    >>> bracket_fault("deny contains reason if {\n  reason := sprintf('%v', [1)\n}")
    (2, '[ is closed by ) in line 2')
    >>> bracket_fault("deny contains reason if {\n  # a comment: }\n")
    (1, '{ is never closed')
    >>> bracket_fault('rules contains "a ( is no bracket in a text"')
    """
    code = without_comments(text)
    opened: list[tuple[int, str]] = []
    for place, character in _brackets(code):
        line = code.count("\n", 0, place) + 1
        if character in CLOSING:
            opened.append((line, character))
        elif not opened:
            return line, f"{character} closes what nothing opened"
        elif CLOSING[opened[-1][1]] == character:
            opened.pop()
        else:
            begun, bracket = opened[-1]
            return begun, f"{bracket} is closed by {character} in line {line}"
    return (opened[-1][0], f"{opened[-1][1]} is never closed") if opened else None


def _brackets(code: str) -> Iterator[tuple[int, str]]:
    """Yield the brackets outside texts, with their places."""
    return ((place, character) for place, character, _ in outside_texts(code) if character in "()[]{}")
