"""Read a condition on runs: `auc > 0.8 and estimator = 'boosting'`.

    condition := part ("or" part)*            part := piece ("and" piece)*
    piece     := "not" piece | "(" condition ")" | test
    test      := name operator literal | name ["not"] "in" "(" literal ("," literal)* ")"
    operator  := = | != | < | <= | > | >= | like
    literal   := number | 'text' | true | false

A name is a field of every run (`model`, `estimator`, `status`, ...), else a metric or a parameter; `metrics.NAME` and
`params.NAME` say which. A name with other characters stands in double quotes or backticks. What is read here becomes a
tree, never SQL text.

>>> text_of(parse_where("auc>0.8 AND estimator = 'boosting'"))
"auc > 0.8 and estimator = 'boosting'"
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from keelway.core import RUN_FIELDS, RunAll, RunAny, RunFilter, RunNot, RunOperator, RunScope, RunTest, parse_time
from keelway.errors import UsageError

MAX_CHARACTERS = 4000
MAX_DEPTH = 40
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
      | '(?P<text>(?:[^']|'')*)'
      | (?P<operator><=|>=|!=|<>|==|=|<|>)
      | (?P<mark>[(),])
      | (?P<name>(?:(?:metrics|metric|params|parameters|parameter)\.)?(?:"(?:[^"]|"")+"|`[^`]+`|[^\W\d][\w.:@/-]*))
    )""",
    re.VERBOSE,
)
_PLAIN = re.compile(r"[^\W\d][\w.:@/-]*")
_SCOPES: dict[str, RunScope] = {
    "metrics": "metric",
    "metric": "metric",
    "params": "parameter",
    "parameters": "parameter",
    "parameter": "parameter",
}
_PREFIX: dict[RunScope, str] = {"": "", "field": "", "metric": "metrics.", "parameter": "params."}
_WORDS = frozenset({"and", "or", "not", "in", "like", "true", "false"})
_SIGNS = {"<>": "!=", "==": "="}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: Literal["number", "text", "operator", "mark", "name", "end"]
    text: str
    at: int


def parse_where(text: str) -> RunFilter:
    """Return the condition that a text states.

    Raises:
        UsageError: It states none; the message names the place.
    """
    if len(text) > MAX_CHARACTERS:
        raise UsageError("The condition is too long", expected=f"{MAX_CHARACTERS} characters", found=str(len(text)))
    if "\0" in text or not _is_unicode(text):
        raise UsageError(
            "The condition is no text", expected="characters of Unicode, none of them NUL", found=ascii(text)
        )
    reader = _ConditionReader(_tokens(text))
    tree = reader.condition(0)
    reader.must_end()
    return tree


def text_of(tree: RunFilter) -> str:
    """Return the text of a condition; reading it again gives the same condition."""
    if isinstance(tree, RunAll):
        return " and ".join(_inner(part) for part in tree.parts)
    if isinstance(tree, RunAny):
        return " or ".join(_inner(part) for part in tree.parts)
    if isinstance(tree, RunNot):
        return f"not {_inner(tree.part)}"
    return f"{_name_text(tree)} {tree.operator} {_literal_text(tree.value)}"


def _is_unicode(text: str) -> bool:
    """Say whether a text can be written; what a terminal hands over need not be."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _inner(part: RunFilter) -> str:
    return text_of(part) if isinstance(part, (RunTest, RunNot)) else f"({text_of(part)})"


def _name_text(test: RunTest) -> str:
    bare = _PLAIN.fullmatch(test.name) and test.name.lower() not in _WORDS
    # Without a prefix, a metric called like a field, or `metrics.x`, would be read as something else.
    bare = bare and test.name.partition(".")[0] not in _SCOPES
    bare = bare and (test.scope != "" or test.name not in RUN_FIELDS)
    return _PREFIX[test.scope] + (test.name if bare else '"' + test.name.replace('"', '""') + '"')


def _literal_text(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    place = 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            at = place + len(text[place:]) - len(text[place:].lstrip())
            raise _wrong("a name, a number or a text in single quotes", text[at : at + 20], at)
        kind = match.lastgroup or "end"
        word = match[kind]
        found.append(_Token(kind, word.replace("''", "'") if kind == "text" else word, match.start(kind)))  # type: ignore[arg-type]
        place = match.end()
    return [*found, _Token("end", "", len(text))]


class _ConditionReader:
    """Reads tokens from left to right."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._place = 0

    def condition(self, depth: int) -> RunFilter:
        parts = [self._all(depth)]
        while self._take_word("or"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else RunAny(tuple(parts))

    def must_end(self) -> None:
        token = self._tokens[self._place]
        if token.kind != "end":
            raise _wrong("'and', 'or' or the end", token.text, token.at)

    def _all(self, depth: int) -> RunFilter:
        parts = [self._piece(depth)]
        while self._take_word("and"):
            parts.append(self._piece(depth))
        return parts[0] if len(parts) == 1 else RunAll(tuple(parts))

    def _piece(self, depth: int) -> RunFilter:
        if depth > MAX_DEPTH:
            raise _wrong(f"at most {MAX_DEPTH} levels of brackets", "more", self._tokens[self._place].at)
        if self._take_word("not"):
            return RunNot(self._piece(depth + 1))
        if self._take_mark("("):
            inner = self.condition(depth + 1)
            self._must_mark(")")
            return inner
        return self._test()

    def _test(self) -> RunFilter:
        name, scope, at = self._name()
        if self._take_word("not"):
            if not self._take_word("in"):
                raise _wrong("'in' after 'not'", self._tokens[self._place].text, self._tokens[self._place].at)
            return RunNot(self._one_of(name, scope, at))
        if self._take_word("in"):
            return self._one_of(name, scope, at)
        if self._take_word("like"):
            return _checked(name, scope, "like", self._literal(), at)
        token = self._next()
        if token.kind != "operator":
            raise _wrong("an operator such as = or >", token.text, token.at)
        sign: RunOperator = _SIGNS.get(token.text, token.text)  # type: ignore[assignment]
        return _checked(name, scope, sign, self._literal(), at)

    def _one_of(self, name: str, scope: RunScope, at: int) -> RunFilter:
        self._must_mark("(")
        tests: list[RunFilter] = [_checked(name, scope, "=", self._literal(), at)]
        while self._take_mark(","):
            tests.append(_checked(name, scope, "=", self._literal(), at))
        self._must_mark(")")
        return tests[0] if len(tests) == 1 else RunAny(tuple(tests))

    def _name(self) -> tuple[str, RunScope, int]:
        token = self._next()
        if token.kind != "name" or token.text.lower() in _WORDS:
            raise _wrong("the name of a field, metric or parameter", token.text, token.at)
        prefix, dot, rest = token.text.partition(".")
        scope = _SCOPES.get(prefix, "") if dot else ""
        name = rest if scope else token.text
        quoted = name[0] in '"`'
        if quoted:
            name = name[1:-1].replace('""', '"') if name[0] == '"' else name[1:-1]
        if not scope and not quoted and name in RUN_FIELDS:
            scope = "field"
        return name, scope, token.at

    def _literal(self) -> str | float | bool:
        token = self._next()
        if token.kind == "text":
            return token.text
        if token.kind == "number":
            return float(token.text)
        if token.text.lower() in ("true", "false"):
            return token.text.lower() == "true"
        raise _wrong("a number, a text in single quotes, true or false", token.text, token.at)

    def _next(self) -> _Token:
        token = self._tokens[self._place]
        if token.kind != "end":
            self._place += 1
        return token

    def _take_word(self, word: str) -> bool:
        token = self._tokens[self._place]
        if token.kind == "name" and token.text.lower() == word:
            self._place += 1
            return True
        return False

    def _take_mark(self, mark: str) -> bool:
        token = self._tokens[self._place]
        if token.kind == "mark" and token.text == mark:
            self._place += 1
            return True
        return False

    def _must_mark(self, mark: str) -> None:
        if not self._take_mark(mark):
            token = self._tokens[self._place]
            raise _wrong(repr(mark), token.text, token.at)


def _checked(name: str, scope: RunScope, sign: RunOperator, value: str | float | bool, at: int) -> RunTest:
    """Return a test whose value fits what it is compared with."""
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong("a finite number", str(value), at)
    wanted = RUN_FIELDS[name] if scope == "field" else "number" if scope == "metric" else ""
    kind = "flag" if isinstance(value, bool) else "number" if isinstance(value, float) else "text"
    if sign == "like" and (kind != "text" or wanted == "time"):
        raise _wrong("a text after 'like', for a text", f"a {wanted or kind}", at)
    if wanted == "time" and kind == "text":
        parse_time(str(value))
    elif wanted and wanted != kind:
        raise _wrong(f"{name} compared with a {wanted}", f"a {kind}", at)
    return RunTest(name, scope, sign, value)


def _wrong(expected: str, found: str, at: int) -> UsageError:
    return UsageError(
        f"The condition cannot be read at character {at + 1}",
        expected=expected,
        found=repr(found) if found else "the end",
        fix="Write it like: auc > 0.8 and estimator = 'boosting'",
    )
