"""The clauses of a gate: each statement that gives reasons, the rule it belongs to, and what it reads.

    rules contains "auc floor"                                    # names the rule
    deny contains reason if some reason in lib.auc_floor(0.75)    # a clause of it

A clause belongs to the nearest rule named above it. To find out which clause said what, every clause gets a set of its
own beside `deny`, in files that stand in for nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.core import PolicySet
from keelway.promote.policies.ready import (
    LIBRARY_PREFIX,
    EvidenceRead,
    ReadyRule,
    RuleCall,
    calls_in,
    library_aliases,
    reads_of,
    ready_rules,
    statements_in,
    without_comments,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_PACKAGE = re.compile(r"^\s*package\s+keelway\.gate\s*$", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*import\b[^\n]*", re.MULTILINE)
_RULE = re.compile(r'^rules\s+contains\s+"((?:\\.|[^"\\])*)"')
_DENY = re.compile(r"^deny\b")
_STRINGS = re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`')
_INPUT = re.compile(r"(?<![\w.])input((?:\.[A-Za-z_]\w*)+)")


@dataclass(frozen=True, slots=True)
class Clause:
    """One statement that gives reasons.

    Attributes:
        number: Counts the clauses of a gate from 0.
        rule: The rule it belongs to; empty where none is named above it.
        line: Where it begins, from 1.
        text: The statement, without comments.
        calls: The ready rules it asks.
        reads: The places of the evidence that it reads.
    """

    number: int
    rule: str
    file: str
    line: int
    text: str
    calls: tuple[RuleCall, ...]
    reads: tuple[EvidenceRead, ...]

    @property
    def set_name(self) -> str:
        """The name of the set that holds its reasons alone."""
        return f"keelway_clause_{self.number}"

    @property
    def place(self) -> str:
        """Where it stands: `gate.rego:7`."""
        return f"{self.file}:{self.line}"

    @property
    def told(self) -> str:
        """The clause in a few words: the ready rules it asks, or its text on one line."""
        if self.calls:
            return ", ".join(str(call) for call in self.calls)
        return " ".join(self.text.split())


@dataclass(frozen=True, slots=True)
class GateText:
    """A gate, taken to pieces.

    Attributes:
        rules: The names of its rules with the place where each is named, in the order of the files.
        clauses: What gives reasons.
        ready: The ready rules that stand in its files.
    """

    rules: tuple[tuple[str, str], ...]
    clauses: tuple[Clause, ...]
    ready: Mapping[str, ReadyRule]


def gate_text(policy: PolicySet) -> GateText:
    """Take the files of a gate to pieces."""
    ready = ready_rules(policy.files)
    rules: list[tuple[str, str]] = []
    clauses: list[Clause] = []
    for file, text in sorted(policy.files.items()):
        if file.startswith(LIBRARY_PREFIX) or not _PACKAGE.search(text):
            continue
        code = without_comments(text)
        aliases, rule = library_aliases(code), ""
        for line, statement in statements_in(code):
            if named := _RULE.match(statement):
                rule = named.group(1)
                rules.append((rule, f"{file}:{line}"))
            elif _DENY.match(statement):
                calls = tuple(calls_in(statement, aliases=aliases))
                reads = tuple(dict.fromkeys((*_own_reads(statement), *_called_reads(calls, ready))))
                clauses.append(Clause(len(clauses), rule, file, line, statement.rstrip(), calls, reads))
    return GateText(tuple(rules), tuple(clauses), ready)


def with_clause_sets(policy: PolicySet, clauses: tuple[Clause, ...]) -> PolicySet:
    """Return a policy to which each clause's set was added; it says the same as before."""
    added: dict[str, str] = {}
    for clause in clauses:
        name = f"clauses/{clause.file}"
        head = "\n".join(["package keelway.gate", *_IMPORT.findall(without_comments(policy.files[clause.file]))])
        added.setdefault(name, f"{head}\n")
        added[name] += f"\n{_DENY.sub(clause.set_name, clause.text)}\n"
    return PolicySet(policy.name, policy.files | added)


def _own_reads(statement: str) -> Iterator[EvidenceRead]:
    for path in _INPUT.findall(_STRINGS.sub('""', statement)):
        yield EvidenceRead(path.removeprefix("."))


def _called_reads(calls: tuple[RuleCall, ...], ready: Mapping[str, ReadyRule]) -> Iterator[EvidenceRead]:
    for call in calls:
        if call.name in ready:
            yield from reads_of(ready[call.name], call)
