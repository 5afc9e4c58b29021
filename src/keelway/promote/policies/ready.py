"""The ready rules, told from the comments above them in the library's files.

    # The lower end of a metric's confidence interval has to reach a floor.
    # reads: metrics.{metric}.low >= {floor}
    # made by: keelway run MODEL
    metric_floor(metric, floor) := {reason | ...

What a rule reads is stated there once: `policy explain` shows these places with their values, tests take each of them
out and see the rule refuse, and a replay hands only these places to the engine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LIBRARY_PREFIX = "library/"
LIBRARY_PACKAGE = "data.keelway.lib"
TOLD_PLACES = {"_model": "version.model", "_version": "version.name"}
"""Names in the library that put a place of the evidence into reasons: `reads:` does not tell of these."""

_HEAD = re.compile(r"^([a-z]\w*)(?:\(([^()]*)\))? :=")
_START = re.compile(r"^(?!else\b)[A-Za-z_]")
_READ = re.compile(r"^(\S+)(?:\s+(>=|<=|==|!=|in|exists)(?:\s+(.+))?)?$")
_COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*"|`[^`]*`)|#[^\n]*')
_IMPORTED = re.compile(r"^[ \t]*import\s+data\.keelway\.lib(?:[ \t]+as[ \t]+(\w+))?[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class EvidenceRead:
    """A place of the evidence that a rule reads.

    Attributes:
        path: Keys with dots between them; `*` stands for every key.
        operator: How its value is compared; empty where it is only read.
        limit: What with, in words or as a number.
    """

    path: str
    operator: str = ""
    limit: str = ""


@dataclass(frozen=True, slots=True)
class ReadyRule:
    """One rule of the library.

    Attributes:
        says: What it asks for, in sentences.
        reads: The places it reads; `{name}` stands for an argument.
        made_by: The command or declaration that puts them into the evidence.
    """

    name: str
    parameters: tuple[str, ...]
    says: str
    reads: tuple[EvidenceRead, ...]
    made_by: str

    @property
    def usage(self) -> str:
        """How it is called: `metric_floor(metric, floor)`."""
        return f"{self.name}({', '.join(self.parameters)})" if self.parameters else self.name


@dataclass(frozen=True, slots=True)
class RuleCall:
    """One call of a ready rule in a policy.

    Attributes:
        arguments: The values that were written out; None in the place of one that is computed.
    """

    name: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        told = ", ".join("..." if value is None else json.dumps(value) for value in self.arguments)
        return f"{self.name}({told})" if self.arguments else self.name


def ready_rules(files: Mapping[str, str]) -> dict[str, ReadyRule]:
    """Return the rules that the library files among a policy's files hold, by name."""
    texts = [text for name, text in sorted(files.items()) if name.startswith(LIBRARY_PREFIX)]
    return {rule.name: rule for text in texts for rule in _rules(text)}


def without_comments(text: str) -> str:
    """Return a text of Rego without its comments, every character else in its place."""
    return _COMMENT.sub(lambda found: found.group(1) or " " * len(found.group()), text)


def statements_in(code: str) -> Iterator[tuple[int, str]]:
    """Yield the statements of a text without comments, with their first line: one begins wherever a line does with a word."""
    lines = code.split("\n")
    starts = [number for number, line in enumerate(lines) if _START.match(line)]
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(lines)
        yield start + 1, "\n".join(lines[start:end]).rstrip()


def outside_texts(code: str) -> Iterator[tuple[int, str, int]]:
    """Yield the characters of a text without comments that stand in no text literal, and how many brackets are open.

    Each comes with its place; a bracket counts itself.
    """
    depth, quote = 0, ""
    for place, character in enumerate(code):
        if quote:
            if character == quote and (quote == "`" or code[place - 1] != "\\"):
                quote = ""
        elif character in '"`':
            quote = character
        else:
            depth += (character in "([{") - (character in ")]}")
            yield place, character, depth


def calls_in(code: str, *, aliases: Sequence[str]) -> Iterator[RuleCall]:
    """Yield the calls of ready rules in a text without comments, those inside arguments too.

    Args:
        aliases: The names under which the library is known there.
    """
    names = "|".join(re.escape(alias) for alias in aliases)
    for found in re.finditer(rf"(?<![\w.])(?:{names})\.([A-Za-z_]\w*)", code):
        end = found.end()
        inside = _inside(code, end) if code[end : end + 1] == "(" else None
        arguments = () if inside is None else tuple(_literal(part) for part in _parts(inside))
        yield RuleCall(found.group(1), arguments)


def library_aliases(code: str) -> tuple[str, ...]:
    """Return the names under which a file knows the library."""
    return (LIBRARY_PACKAGE, *(alias or "lib" for alias in _IMPORTED.findall(code)))


def reads_of(rule: ReadyRule, call: RuleCall) -> tuple[EvidenceRead, ...]:
    """Return what a call reads: the rule's places with the call's arguments put in.

    An argument that is a list gives one place for each member; one that is computed gives `*`.
    """
    given = dict(zip(rule.parameters, call.arguments, strict=False))
    return tuple(put for read in rule.reads for put in _put(read, given))


def _rules(text: str) -> Iterator[ReadyRule]:
    comment: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
            continue
        head = _HEAD.match(line)
        if head and (stated := [told for told in comment if told.startswith("reads:")]):
            says = " ".join(told for told in comment if not told.startswith(("reads:", "made by:")))
            made = [told.removeprefix("made by:").strip() for told in comment if told.startswith("made by:")]
            parameters = tuple(name.strip() for name in (head.group(2) or "").split(",") if name.strip())
            yield ReadyRule(head.group(1), parameters, says, tuple(_reads(stated)), " ".join(made))
        comment = []


def _reads(stated: Sequence[str]) -> Iterator[EvidenceRead]:
    for line in stated:
        for part in line.removeprefix("reads:").split(";"):
            found = _READ.match(part.strip())
            if found and found.group(1) != "{reasons}":
                yield EvidenceRead(found.group(1), found.group(2) or "", (found.group(3) or "").strip())


def _put(read: EvidenceRead, given: Mapping[str, Any]) -> Iterator[EvidenceRead]:
    names = re.findall(r"\{(\w+)\}", read.path)
    values = given.get(names[0]) if names else None
    for value in values if isinstance(values, list) else [values]:
        path = re.sub(r"\{\w+\}", str(value) if isinstance(value, str) else "*", read.path)
        limit = re.sub(r"\{(\w+)\}", lambda found: _told(given.get(found.group(1))), read.limit)
        yield EvidenceRead(path, read.operator, limit)


def _told(value: Any) -> str:
    if value is None:
        return "a computed value"
    return value if isinstance(value, str) else json.dumps(value)


def _inside(code: str, start: int) -> str:
    """Return what stands between the parenthesis at `start` and its partner."""
    partner = next((place for place, _, depth in outside_texts(code[start:]) if depth == 0), len(code) - start)
    return code[start + 1 : start + partner]


def _parts(inside: str) -> list[str]:
    """Return the arguments between two parentheses."""
    commas = [place for place, character, depth in outside_texts(inside) if character == "," and depth == 0]
    bounds = zip([-1, *commas], [*commas, len(inside)], strict=True)
    return [part for last, end in bounds if (part := inside[last + 1 : end].strip())]


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
