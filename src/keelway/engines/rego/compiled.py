"""A policy compiled once and asked many times.

A gate is asked for sets of texts by name. rego-cpp keeps texts as they stand in JSON, without the outer quotes, but
leaves these around a constant that travels through a function into `sprintf`, and then prints JSON that nobody can
read. So texts are asked for in base64, and a quote without a backslash before it is taken out: a true one always has a
backslash there.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keelway.engines.rego.unasked import LIBRARY

if TYPE_CHECKING:
    from regopy import Bundle, Interpreter

Texts = dict[str, tuple[str, ...] | None]
"""The sets of a gate by name; None for one that is no set of texts. A name that nothing defines is left out."""

_STRAY_QUOTE = re.compile(r'(\\.)|"', re.DOTALL)
_PARAGRAPH = re.compile(r"^([A-Za-z_]\w*)", re.MULTILINE)
_GATE = "data.keelway.gate"


class UnansweredError(Exception):
    """A policy gave no answer that can be read; the text says why, for people."""


class CompiledPolicy:
    """Policy files compiled into a bundle that answers for any evidence; not to be shared between threads.

    Args:
        name: The policy's name, for reasons.
        files: File name to text.
        sets: The names in package `keelway.gate` to ask for.

    Raises:
        UnansweredError: The files do not compile.
    """

    def __init__(self, name: str, files: Mapping[str, str], sets: Sequence[str]) -> None:
        self._name = name
        self._sets = tuple(sets)
        query = "; ".join(_asking(number, each) for number, each in enumerate(self._sets)) or "true"
        self._interpreter, self._bundle = built(name, files, query)

    def ask(self, evidence: str) -> Texts:
        """Return the sets for evidence in JSON, which holds no null.

        Raises:
            UnansweredError: The policy failed, or answers what nobody can read.
        """
        from regopy import RegoError

        try:
            # As a term: `set_input` would keep six decimals of each number (rego-cpp 1.5).
            self._interpreter.set_input_term(evidence)
            output = self._interpreter.query_bundle(self._bundle)
        except RegoError as error:
            raise UnansweredError(f"the policy {self._name} cannot be evaluated: {_told(error)}") from error
        except UnicodeError as error:
            raise UnansweredError(f"the policy {self._name} or the evidence holds text that is no Unicode") from error
        except ValueError as error:  # an answer of no characters, where one is expected in JSON
            raise UnansweredError(_no_answer(self._name)) from error
        if not output.ok():
            raise UnansweredError(
                f"the policy {self._name} failed while it was evaluated: a built-in failed, or a name has two values"
            )
        try:
            return self._read(output.results[0].bindings)
        except (LookupError, TypeError, ValueError) as error:
            raise UnansweredError(
                f"the policy {self._name} answers what nobody can read ({type(error).__name__}): build reasons simpler"
            ) from error

    def _read(self, bindings: Mapping[str, list[tuple[str, list[str], int]]]) -> Texts:
        """Return the sets with their texts as they were meant."""
        answer: Texts = {}
        for number, name in enumerate(self._sets):
            for kind, texts, others in bindings[f"answer_{number}"]:
                members = tuple(sorted(_text(text) for text in texts))
                proper = kind in ("set", "array") and not others and all(text.strip() for text in members)
                answer[name] = members if proper else None
        return answer


def _asking(number: int, name: str) -> str:
    """Return a query for one set: its kind, its texts, and how many members are no texts; nothing where undefined."""
    return f"""answer_{number} := [[type_name(value), texts, others] |
    value := {_GATE}.{name}
    texts := [base64.encode(text) | some text in value; is_string(text)]
    others := count([other | some other in value; not is_string(other)])
]"""


def built(name: str, files: Mapping[str, str], query: str) -> tuple[Interpreter, Bundle]:
    """Return files compiled together with a query.

    Raises:
        UnansweredError: They do not compile.
    """
    from regopy import Interpreter, LogLevel, RegoError

    interpreter = Interpreter()
    interpreter.log_level = LogLevel.NONE
    interpreter.strict_built_in_errors = True
    try:
        for file, text in sorted(_reachable(files).items()):
            interpreter.add_module(file, text)
        bundle = interpreter.build(query)
    except RegoError as error:
        raise UnansweredError(f"the policy {name} cannot be evaluated: {_told(error)}") from error
    except UnicodeError as error:
        raise UnansweredError(f"the policy {name} or the evidence holds text that is no Unicode") from error
    except ValueError as error:
        raise UnansweredError(_no_answer(name)) from error
    if not bundle.ok():
        raise UnansweredError(_no_answer(name))
    return interpreter, bundle


def _reachable(files: Mapping[str, str]) -> Mapping[str, str]:
    """Return policy files without the ready rules that nothing names: compiling them would take most of the time.

    In the library's files every rule is a paragraph that starts with its name, maybe after comments.
    """
    own = {name: text for name, text in files.items() if not name.startswith(LIBRARY)}
    paragraphs = [
        (name, paragraph)
        for name, text in files.items()
        if name.startswith(LIBRARY)
        for paragraph in re.split(r"\n\n+", text)
        if _PARAGRAPH.search(paragraph)
    ]
    named, found = set(re.findall(r"\w+", " ".join(own.values()))), True
    while found:
        found = False
        for _, paragraph in paragraphs:
            words = set(re.findall(r"\w+", paragraph))
            if _head(paragraph) in named and not words <= named:
                named |= words
                found = True
    kept: dict[str, list[str]] = {}
    for name, paragraph in paragraphs:
        if _head(paragraph) in named or _head(paragraph) == "package":
            kept.setdefault(name, []).append(paragraph)
    return own | {name: "\n\n".join(texts) + "\n" for name, texts in kept.items()}


def _head(paragraph: str) -> str:
    found = _PARAGRAPH.search(paragraph)
    return found.group(1) if found else ""


def _no_answer(name: str) -> str:
    return f"the policy {name} cannot be evaluated: an unknown function, or a rule that rests on itself"


def _text(encoded: str) -> str:
    """Return a text as it was meant; a quote that is no part of it has no backslash before it."""
    raw = base64.b64decode(encoded, validate=True).decode()
    if (len(raw) - len(raw.rstrip("\\"))) % 2:  # a stray quote before and a true one behind: rego-cpp took off both
        raw += '"'
    text: str = json.loads('"' + _STRAY_QUOTE.sub(r"\1", raw) + '"', strict=False)
    return text


def _told(error: object) -> str:
    """Return the messages of a Rego error, on one line."""
    messages = re.findall(r"\(errormsg \d+:(.*?)\)", str(error))
    return "; ".join(dict.fromkeys(messages)) or " ".join(str(error).split())[:200] or type(error).__name__


def without_nulls(value: Any) -> Any:
    """Return plain JSON without the fields that are null: rego-cpp finds null greater than any number."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
