"""Refuses, before Rego is asked, what Rego would pass over in silence.

In Rego a figure that is not there is undefined, and so, in rego-cpp, is a name that is misspelt; undefined in a `deny`
rule means yes. So every `input.a.b` and `data.a.b` that a policy writes out has to lead somewhere, imports included,
and every other name has to be a rule of its package, or bound by `:=`, `some`, `every` or a function's head.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keelway.core import Evidence, PolicySet

LIBRARY = "library/"
"""Files under this name are Keelway's ready rules: tested to refuse missing evidence by themselves."""

_STRINGS_AND_COMMENTS = re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`|#[^\n]*')
IMPORT = re.compile(r"^[ \t]*import\s+((?:data|input)(?:\.\w+)*)(?:[ \t]+as[ \t]+(\w+))?", re.MULTILINE)
_IMPORT_LINE = re.compile(r"^[ \t]*import\b[^\n]*", re.MULTILINE)
PACKAGE = re.compile(r"^\s*package\s+([\w.]+)", re.MULTILINE)
_DEFINED = re.compile(r"^(?:default\s+)?([A-Za-z_]\w*)", re.MULTILINE)
_IMPURE = re.compile(r"\b(time\.now_ns|rand\.\w+|uuid\.\w+|opa\.runtime|http\.\w+|net\.\w+)")
_WITH = re.compile(r"(?<![\w.])with\b(?!\s*:?=)")
_NAME = re.compile(r"(?<![\w.])([A-Za-z_]\w*)(?:\s*\.\s*\w+)*\b(?!\s*\()(?![\w.])")
_BOUND = re.compile(
    r"\b(?:some|every)\s+(\w+(?:\s*,\s*\w+)*)"  # some key, value in
    r"|(?<![\w.])(\w+)\s*:?=(?!=)"
    r"|\[([^\[\]]*)\]\s*(?::=|in\b)"  # [a, b] :=, some [a, b] in
    r"|\w\[(\w+)\]"  # xs[i]
    r"|^(?:default\s+)?\w+\(([^()]*)\)",  # the head of a function
    re.MULTILINE,
)
_KEYWORDS = frozenset(("as", "contains", "data", "default", "else", "every", "false", "if", "import", "in", "input"))
_KEYWORDS |= {"not", "null", "package", "some", "true", "with", "_"}

_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AskedPlaces:
    """What a policy asks for.

    Attributes:
        reasons: Why the policy refuses whatever the evidence is.
        inputs: File and path of every place of the evidence that is written out.
    """

    reasons: tuple[str, ...]
    inputs: tuple[tuple[str, _Path], ...]

    def refused(self, evidence: Evidence) -> tuple[str, ...]:
        """Return the reasons that need no Rego: of the policy itself, and for what the evidence does not hold."""
        lost = sorted(
            f"{name} asks for {'.'.join(('input', *path))}, which the evidence does not hold"
            for name, path in self.inputs
            if not _holds(evidence, path)
        )
        return self.reasons + tuple(lost)


def asked_by(policy: PolicySet) -> AskedPlaces:
    """Look a policy through: nothing to ask, impure calls, names that lead nowhere, places of the evidence."""
    if not any(not name.startswith(LIBRARY) and text.strip() for name, text in policy.files.items()):
        return AskedPlaces((f"the policy {policy.name} has no rules: an empty gate lets nothing in",), ())
    codes = {name: code_of(text) for name, text in sorted(policy.files.items())}
    packages = packages_in(codes)
    reasons: list[str] = []
    inputs: dict[tuple[str, _Path], None] = {}
    for name, code in codes.items():
        reasons += [
            f"{name} calls {call}, whose answer changes: a gate may only read its evidence"
            for call in sorted(set(_IMPURE.findall(code)))
        ]
        if _WITH.search(code):
            reasons.append(f"{name} says `with`, which this engine cannot do: only tests may, in files *_test.rego")
        if not name.startswith(LIBRARY):
            reasons += _nowhere(name, code, packages)
            reasons += _unbound(name, code, packages)
            inputs |= {(name, path[1:]): None for path, _ in references(code) if path[0] == "input"}
    return AskedPlaces(tuple(reasons), tuple(inputs))


def code_of(text: str) -> str:
    """Return a text of Rego without its comments and with its strings emptied."""
    return _STRINGS_AND_COMMENTS.sub('""', text)


def packages_in(codes: dict[str, str]) -> dict[_Path, set[str]]:
    """Return the names that each package defines; they stand at the start of a line."""
    packages: dict[_Path, set[str]] = {}
    for code in codes.values():
        for package in PACKAGE.findall(code):
            packages.setdefault(tuple(package.split(".")), set()).update(_DEFINED.findall(code))
    return packages


def _nowhere(name: str, code: str, packages: dict[_Path, set[str]]) -> list[str]:
    """Return what a file refers to that no file defines."""
    reasons = set()
    for path, computed in references(code):
        dotted = ".".join(path)
        if path[0] == "data" and not _defined(path[1:], packages):
            reasons.add(f"{name} asks for {dotted}, which no policy file defines")
        elif path[0] == "data" and computed and not is_rule(path[1:], packages):
            reasons.add(f"{name} computes a name in {dotted}[...]: write rules out as {dotted}.NAME")
    return sorted(reasons)


def _unbound(name: str, code: str, packages: dict[_Path, set[str]]) -> list[str]:
    """Return the names of a file that nothing binds."""
    body = PACKAGE.sub("", _IMPORT_LINE.sub("", code))
    known = _KEYWORDS | {alias or dotted.split(".")[-1] for dotted, alias in IMPORT.findall(code)}
    for package in PACKAGE.findall(code):
        known |= packages[tuple(package.split("."))]
    for groups in _BOUND.findall(body):
        known |= set(re.findall(r"\w+", " ".join(groups)))
    return [
        f"{name} names {word}, which nothing defines: bind it with := or some"
        for word in sorted(set(_NAME.findall(body)) - known)
    ]


def references(code: str) -> Iterator[tuple[_Path, bool]]:
    """Yield every dotted path that starts at input, at data or at an import, and whether a bracket follows it."""
    heads: dict[str, _Path] = {"input": ("input",), "data": ("data",)}
    for dotted, alias in IMPORT.findall(code):
        path = tuple(dotted.split("."))
        heads[alias or path[-1]] = path
        yield path, False
    reference = re.compile(rf"(?<![\w.])({'|'.join(heads)})((?:\s*\.\s*[A-Za-z_]\w*)*)\b[ \t]*(\[)?")
    for head, rest, bracket in reference.findall(_IMPORT_LINE.sub("", code)):
        yield heads[head] + tuple(part.strip() for part in rest.split(".")[1:]), bool(bracket)


def _holds(value: Any, path: _Path) -> bool:
    for key in path:
        if not isinstance(value, dict) or value.get(key) is None:
            return False
        value = value[key]
    return True


def _defined(path: _Path, packages: dict[_Path, set[str]]) -> bool:
    return is_rule(path, packages) or any(package[: len(path)] == path for package in packages)


def is_rule(path: _Path, packages: dict[_Path, set[str]]) -> bool:
    """Say whether a path under data leads to a rule of some package, or into one."""
    return any(
        len(path) > len(own) and path[: len(own)] == own and path[len(own)] in names for own, names in packages.items()
    )
