"""Runs tests written in Rego, as Open Policy Agent's `opa test` does: rules `test_...` in files `*_test.rego`.

    test_a_weak_model_stays_out if {
        weak := object.union(good, {"metrics": {"roc_auc": {"low": 0.5}}})
        reasons := deny with input as weak
        count(reasons) == 1
    }

rego-cpp 1.5 ends the whole process on `with`. So the document that a test gives to `with input as` is computed first,
and then is the input of the test without those words. That is the same as long as a test gives one document: one that
gives several, or gives `data`, is told to be split.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keelway.core import PolicySet
from keelway.engines.rego.compiled import UnansweredError, bindings_of, program_of, without_nulls
from keelway.engines.rego.processes import AnsweringProcesses
from keelway.promote import UnitTestOutcome, outside_texts, statements_in, without_comments

_PACKAGE = re.compile(r"^\s*package\s+([\w.]+)", re.MULTILINE)
_TEST = re.compile(r"^(test_\w+)\s*(?::=\s*true\s*)?(?:if\b)?\s*")
_WITH = re.compile(r"(?<![\w.])with\s+(input(?:\.\w+)*|data[\w.]*)\s+as\s+")
_ASSIGNED = re.compile(r"^(?:some\s+)?\w+\s*:=")
SPLIT = "it judges several documents: write one test for each"
NO_DATA = "it puts something else than the input in the place of another: only `with input as` can be run"


@dataclass(frozen=True, slots=True)
class _Test:
    """One test, ready to be run.

    Attributes:
        given: Rego that computes the document: pairs of a path and a value; empty where the test names none.
        body: The test without `with`.
        fault: Why it cannot be run, or empty.
    """

    name: str
    line: int
    before: str
    given: str
    body: str
    fault: str = ""


def run_unit_tests(policy: PolicySet, tests: Mapping[str, str], *, among: AnsweringProcesses) -> list[UnitTestOutcome]:
    """Run every test of some files, in the order of files and lines."""
    return [outcome for file, text in sorted(tests.items()) for outcome in _run_file(policy, file, text, among)]


def _run_file(policy: PolicySet, file: str, text: str, among: AnsweringProcesses) -> Iterator[UnitTestOutcome]:
    code = without_comments(text)
    package = _PACKAGE.search(code)
    found = list(_tests(code))
    if package is None or not found:
        yield UnitTestOutcome(file, "-", 1, "it holds no package, or no rule test_...")
        return
    for test in found:
        if test.fault:
            yield UnitTestOutcome(file, test.name, test.line, test.fault)
            continue
        try:
            held, document = _run(policy, file, _rest(code), package.group(1), test, among)
        except UnansweredError as error:
            yield UnitTestOutcome(file, test.name, test.line, str(error))
            continue
        yield UnitTestOutcome(file, test.name, test.line, "" if held else "it does not hold", document)


def _run(
    policy: PolicySet, file: str, rest: str, package: str, test: _Test, among: AnsweringProcesses
) -> tuple[bool, dict[str, Any] | None]:
    """Return whether a test holds, and the document it gave."""
    lines = [rest, f"keelway_held if {{\n{test.body}\n}}"]
    if test.given:
        lines.append(f"keelway_given := json.marshal({test.given}) if {{\n{test.before or 'true'}\n}}")
    query = f"held := [value | value := data.{package}.keelway_held]"
    if test.given:
        query += f"; given := [base64.encode(value) | value := data.{package}.keelway_given]"
    program = program_of(policy.name, {**policy.files, file: "\n\n".join(lines)}, query)
    found = bindings_of(program, "{}", among=among)
    if not test.given:
        return found["held"] == [True], None
    given = found["given"]
    if not given:
        raise UnansweredError("the document it gives to `with input as` cannot be computed")
    document: dict[str, Any] = {}
    for path, value in json.loads(_unquoted(base64.b64decode(given[0]).decode())):
        document = _put(document, path, value)
    shown = json.dumps(without_nulls(document), ensure_ascii=False)
    return bindings_of(program, shown, among=among)["held"] == [True], document


def _unquoted(text: str) -> str:
    """Return JSON as it was meant: rego-cpp hands out texts as they stand in JSON, without the outer quotes."""
    found: str = json.loads(f'"{text}"') if '\\"' in text else text
    return found


def _put(document: Any, path: str, value: Any) -> Any:
    """Return a document with a value at `input.a.b`."""
    if path == "input":
        return value
    *above, last = path.split(".")[1:]
    place = document
    for key in above:
        place = place.setdefault(key, {})
    place[last] = value
    return document


def _rest(code: str) -> str:
    """Return a file without its tests."""
    kept = [statement for _, statement in statements_in(code) if not _TEST.match(statement) and _is_rule(statement)]
    head = "\n".join(line for line in code.split("\n") if re.match(r"\s*(package|import)\b", line))
    return "\n\n".join([head, *kept])


def _is_rule(statement: str) -> bool:
    return not re.match(r"(package|import|todo_test_\w*)\b", statement)


def _tests(code: str) -> Iterator[_Test]:
    for line, statement in statements_in(code):
        head = _TEST.match(statement)
        if head is None:
            continue
        body = statement[head.end() :].strip()
        if body.startswith("{") and body.endswith("}"):
            body = body[1:-1]
        yield _test(head.group(1), line, list(_literals(body)))


def _test(name: str, line: int, literals: list[str]) -> _Test:
    """Return a test of the literals of its body."""
    stripped, given, before = [], [], []
    for literal in literals:
        expression, puts = _without_with(literal)
        stripped.append(expression)
        if puts:
            given.append(puts)
        elif not given and _ASSIGNED.match(literal):
            before.append(literal)
    body = "\n".join(stripped)
    if any(not target.startswith("input") for puts in given for target, _ in puts):
        return _Test(name, line, "", "", body, NO_DATA)
    if any(puts != given[0] for puts in given):
        return _Test(name, line, "", "", body, SPLIT)
    pairs = ", ".join(f"[{json.dumps(target)}, {term}]" for target, term in given[0]) if given else ""
    return _Test(name, line, "\n".join(before), f"[{pairs}]" if pairs else "", body)


def _without_with(literal: str) -> tuple[str, list[tuple[str, str]]]:
    """Return a literal without `with`, and what each put where."""
    outside = {place for place, _, depth in outside_texts(literal) if depth == 0}
    found = [match for match in _WITH.finditer(literal) if match.start() in outside]
    if not found:
        return literal, []
    ends = [match.start() for match in found[1:]] + [len(literal)]
    puts = [(match.group(1), literal[match.end() : end].strip()) for match, end in zip(found, ends, strict=True)]
    return literal[: found[0].start()].rstrip(), puts


def _literals(body: str) -> Iterator[str]:
    """Yield the literals of a body: at line ends and semicolons outside brackets and texts."""
    start = 0
    for place, character, depth in outside_texts(body):
        if character in ";\n" and depth == 0:
            if body[start:place].strip() and not body[place:].lstrip().startswith("with "):
                yield body[start:place].strip()
                start = place + 1
            elif not body[start:place].strip():
                start = place + 1
    if body[start:].strip():
        yield body[start:].strip()
