"""Takes a gate to pieces that can be answered one by one, so that an answer serves every document that is alike there.

    deny contains reason if some reason in lib.auc_floor(0.75)    # one piece: it reads metrics.roc_auc.low
    deny contains reason if some reason in lib.signed             # another: it reads signature

The reasons of a gate are the reasons of its clauses together, and a clause says the same of all documents that are the
same in what it reads. That holds where every clause is a statement `deny contains ...` and nothing else names `deny`; a
gate that is written otherwise, or that cannot be taken to pieces with certainty, stays whole. What a piece rests on is
every statement that it names, directly or through others, and the library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from keelway.core import PolicySet
from keelway.engines.rego.compiled import Bindings, asking, program_of
from keelway.engines.rego.needed import Needed, needed_by
from keelway.engines.rego.unasked import IMPORT, LIBRARY, PACKAGE, code_of, is_rule, packages_in, references
from keelway.promote import outside_texts, statements_in, without_comments

if TYPE_CHECKING:
    from keelway.engines.rego.processes import RegoProgram

GATE = "keelway.gate"
_HEAD = re.compile(r"^(?:default\s+)?([A-Za-z_]\w*)(?=\(|\s*\{|\s*:?=(?!=)|\s+(?:contains|if)\b)")
_CLAUSE = re.compile(r"^deny(?=\s+contains\b)")
_NO_RULE = re.compile(r"^(?:package|import)\b")
_NO_END = re.compile(r"(?:[^\w\])}\"]|\b(?:as|contains|else|every|if|import|in|not|some|with))$")


@dataclass(frozen=True, slots=True)
class _Statement:
    """One rule of a gate's files; clauses are numbered."""

    file: str
    head: str
    text: str
    clause: int | None

    @property
    def words(self) -> set[str]:
        return set(re.findall(r"\w+", self.text))


@dataclass(frozen=True, slots=True, eq=False)
class GateUnit:
    """A piece of a gate that can be answered alone.

    Attributes:
        name: The set that it is asked for.
        of: The gate's set that it is a part of.
        statements: Numbers of the statements that it rests on.
        needed: What it can read.
        key: The same for pieces of any policies that say the same.
    """

    name: str
    of: str
    statements: frozenset[int]
    needed: Needed
    key: str

    @property
    def query(self) -> str:
        """What it is asked; that a clause gives a set is known, so that its texts are enough."""
        if self.of != "deny":
            return asking(self.name)
        return f"{self.name} := [base64.encode(text) | some text in data.{GATE}.{self.name}]"


class GateUnits:
    """A gate, taken to pieces."""

    def __init__(self, policy: PolicySet, sets: Sequence[str]) -> None:
        self._name = policy.name
        self._codes = {n: without_comments(t) for n, t in sorted(policy.files.items()) if not n.startswith(LIBRARY)}
        self._library = {n: t for n, t in policy.files.items() if n.startswith(LIBRARY)}
        self._statements = tuple(_statements(self._codes))
        self.units: tuple[GateUnit, ...] = tuple(self._pieces(sets)) if self._can_be_taken_apart() else ()

    def program(self, units: Iterable[GateUnit]) -> RegoProgram:
        """Return the program that answers for some pieces and nothing else."""
        wanted = list(units)
        numbers = frozenset(number for unit in wanted for number in unit.statements)
        return program_of(self._name, self._files(numbers), "; ".join(unit.query for unit in wanted))

    def bindings(self, answers: Mapping[GateUnit, Any]) -> Bindings:
        """Return the answers of all pieces as the whole gate would give them."""
        clauses = [texts for unit, texts in answers.items() if unit.of == "deny"]
        together = sorted({text for texts in clauses for text in texts})
        whole = {unit.name: answer for unit, answer in answers.items() if unit.of != "deny"}
        return {**whole, "deny": [["set", together, 0]]}

    def _pieces(self, sets: Sequence[str]) -> Iterator[GateUnit]:
        for name in sets:
            if name == "deny":
                clauses = [(n, one) for n, one in enumerate(self._statements) if one.clause is not None]
                yield from (self._unit(_clause_name(one.clause or 0), "deny", {n}) for n, one in clauses)
            else:
                yield self._unit(name, name, {n for n, one in enumerate(self._statements) if one.head == name})

    def _unit(self, name: str, of: str, own: set[int]) -> GateUnit:
        """Return the piece of some statements, with what they rest on."""
        numbers = frozenset(self._rests_on(own))
        files = self._files(numbers)
        unnumbered = {file: re.sub(rf"\b{name}\b", of, text) for file, text in files.items()}
        key = sha256(json.dumps([of, unnumbered], sort_keys=True).encode()).hexdigest()
        return GateUnit(name, of, numbers, needed_by(PolicySet(self._name, files)), key)

    def _rests_on(self, own: set[int]) -> set[int]:
        """Return statements with those that they name, directly or not; imports name as well."""
        imported = {word for code in self._codes.values() for word in re.findall(r"\w+", " ".join(_imports(code)))}
        found, words = set(own), imported.union(*(self._statements[number].words for number in own))
        grown = True
        while grown:
            more = {
                number
                for number, one in enumerate(self._statements)
                if one.clause is None and one.head in words and number not in found
            }
            grown = bool(more)
            found |= more
            words = words.union(*(self._statements[number].words for number in more))
        return found

    def _files(self, numbers: frozenset[int]) -> dict[str, str]:
        """Return the files with some of their statements, and the library."""
        made = {}
        for file, code in self._codes.items():
            package = PACKAGE.search(code)
            texts = [one.text for number, one in enumerate(self._statements) if number in numbers and one.file == file]
            head = [f"package {package.group(1)}" if package else "", *_imports(code)]
            made[file] = "\n\n".join([*head, *texts]) + "\n"
        return made | self._library

    def _can_be_taken_apart(self) -> bool:
        """Say whether the statements are all that the files hold, and nothing but clauses names `deny`."""
        clauses = sum(one.clause is not None for one in self._statements)
        if clauses < 2:
            return False
        named = sum(len(re.findall(r"\bdeny\b", code_of(code))) for code in self._codes.values())
        packages = packages_in(self._codes | self._library)
        return named == clauses and all(_is_plain(code, packages) for code in self._codes.values())


def _statements(codes: Mapping[str, str]) -> Iterator[_Statement]:
    """Yield the rules of files; a clause stands there under a name of its own."""
    count = 0
    for file, code in codes.items():
        package = PACKAGE.search(code)
        in_gate = package is not None and package.group(1) == GATE
        for _, text in statements_in(code):
            if _NO_RULE.match(text):
                continue
            head = _HEAD.match(text)
            if in_gate and _CLAUSE.match(text):
                yield _Statement(file, _clause_name(count), _CLAUSE.sub(_clause_name(count), text), count)
                count += 1
            else:
                yield _Statement(file, head.group(1) if head else "", text, None)


def _clause_name(number: int) -> str:
    return f"keelway_clause_{number}"


def _imports(code: str) -> list[str]:
    return re.findall(r"^import\b[^\n]*", code, re.MULTILINE)


def _is_plain(code: str, packages: dict[tuple[str, ...], set[str]]) -> bool:
    """Say whether a file is one package and whole statements that begin where a line does, and takes no package whole."""
    if "`" in code or len(PACKAGE.findall(code)) != 1:
        return False
    before = re.match(r"[^A-Za-z_]*", code)
    if before and before.group().strip():
        return False
    for _, text in statements_in(code):
        if _NO_RULE.match(text):
            if len(text.strip().splitlines()) > 1:
                return False
            continue
        depths = [depth for _, _, depth in outside_texts(text)]
        if _HEAD.match(text) is None or depths[-1] != 0 or min(depths) < 0 or _NO_END.search(text):
            return False
    taken = list(references(code_of(code)))[len(IMPORT.findall(code)) :]
    return all(path[0] != "data" or is_rule(path[1:], packages) for path, _ in taken)
