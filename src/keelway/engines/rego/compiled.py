"""A policy as a program of Rego, what it is asked, and how its answers are read.

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
from functools import lru_cache
from typing import Any

from keelway.engines.rego import answering
from keelway.engines.rego.processes import (
    ENDED,
    AnsweringProcesses,
    EvaluationLimits,
    RegoProgram,
    RegoReply,
    processes,
)
from keelway.engines.rego.unasked import LIBRARY

Texts = dict[str, tuple[str, ...] | None]
"""The sets of a gate by name; None for one that is no set of texts. A name that nothing defines is left out."""
Bindings = Mapping[str, Any]
"""What a query found for its variables."""

_STRAY_QUOTE = re.compile(r'(\\.)|"', re.DOTALL)
_PARAGRAPH = re.compile(r"^([A-Za-z_]\w*)", re.MULTILINE)
_GATE = "data.keelway.gate"


class UnansweredError(Exception):
    """A policy gave no answer that can be read; the text says why, for people."""


class EndedError(UnansweredError):
    """A policy ended the process that asked it; another time it might not."""


class CompiledPolicy:
    """Policy files and a query for sets, which answer for any evidence; any thread may ask.

    Args:
        name: The policy's name, for reasons.
        files: File name to text.
        sets: The names in package `keelway.gate` to ask for.
        among: Who asks rego-cpp; None for processes with the usual limits.
    """

    def __init__(
        self, name: str, files: Mapping[str, str], sets: Sequence[str], among: AnsweringProcesses | None = None
    ) -> None:
        self.sets = tuple(sets)
        query = "; ".join(asking(set_name) for set_name in self.sets) or "true"
        self.program = program_of(name, files, query)
        self._among = among or processes(EvaluationLimits())

    def fault(self) -> str:
        """Return why it cannot be asked whatever the evidence is, or empty text."""
        try:
            must_be(answering.BUILT, self.program.name, built(self.program, among=self._among))
        except UnansweredError as error:
            return str(error)
        return ""

    def ask(self, evidence: str) -> Texts:
        """Return the sets for evidence in JSON, which holds no null.

        Raises:
            UnansweredError: The policy failed, or answers what nobody can read.
        """
        return self.read(bindings_of(self.program, evidence, among=self._among))

    def read(self, bindings: Bindings) -> Texts:
        """Return the sets with their texts as they were meant.

        Raises:
            UnansweredError: Nobody can read them.
        """
        answer: Texts = {}
        try:
            for name in self.sets:
                for kind, texts, others in bindings[name]:
                    members = tuple(sorted(text_of(text) for text in texts))
                    proper = kind in ("set", "array") and not others and all(text.strip() for text in members)
                    answer[name] = members if proper else None
        except (LookupError, TypeError, ValueError) as error:
            raise _unreadable(self.program.name, error) from error
        return answer


def asking(name: str) -> str:
    """Return a query for one set: its kind, its texts, and how many members are no texts; nothing where undefined."""
    return f"""{name} := [[type_name(value), texts, others] |
    value := {_GATE}.{name}
    texts := [base64.encode(text) | some text in value; is_string(text)]
    others := count([other | some other in value; not is_string(other)])
]"""


def program_of(name: str, files: Mapping[str, str], query: str) -> RegoProgram:
    """Return files and a query as a program, without the ready rules that nothing names."""
    return RegoProgram(name, _reachable(files), query)


def built(program: RegoProgram, *, among: AnsweringProcesses) -> RegoReply:
    """Compile a program, and return what came of it."""
    try:
        return among.build(program)
    except UnicodeError:
        return RegoReply(answering.NO_UNICODE, "")


def bindings_of(program: RegoProgram, document: str, *, among: AnsweringProcesses) -> Bindings:
    """Return what a program's query finds for one document in JSON.

    Raises:
        UnansweredError: It finds nothing that can be read.
    """
    try:
        (reply,) = among.ask(program, [document.encode()])
    except UnicodeError:
        reply = RegoReply(answering.NO_UNICODE, "")
    return bindings_in(program.name, reply)


def bindings_in(name: str, reply: RegoReply) -> Bindings:
    """Return what stands in an answer.

    Raises:
        UnansweredError: It is none.
    """
    must_be(answering.ANSWERED, name, reply)
    try:
        found = json.loads(reply.text)
        bindings: Bindings = (found[0] if isinstance(found, list) else found)["bindings"]
    except (LookupError, TypeError, ValueError) as error:
        raise _unreadable(name, error) from error
    return bindings


def must_be(kind: bytes, name: str, reply: RegoReply) -> None:
    """Check that an answer of a policy is of a kind.

    Raises:
        UnansweredError: It is another.
    """
    if reply.kind == kind:
        return
    if reply.kind == ENDED:
        raise EndedError(f"the policy {name} ended the process that judged it: {reply.text}")
    if reply.kind == answering.FAILED:
        told = f"the policy {name} failed while it was evaluated: a built-in failed, or a name has two values"
    elif reply.kind == answering.NO_UNICODE:
        told = f"the policy {name} or the evidence holds text that is no Unicode"
    elif reply.kind == answering.ERROR:
        told = f"the policy {name} cannot be evaluated: {_told(reply.text)}"
    else:
        told = f"the policy {name} cannot be evaluated: an unknown function, or a rule that rests on itself"
    raise UnansweredError(told)


@lru_cache(4096)
def text_of(encoded: str) -> str:
    """Return a text as it was meant; a quote that is no part of it has no backslash before it."""
    raw = base64.b64decode(encoded, validate=True).decode()
    if (len(raw) - len(raw.rstrip("\\"))) % 2:  # a stray quote before and a true one behind: rego-cpp took off both
        raw += '"'
    text: str = json.loads('"' + _STRAY_QUOTE.sub(r"\1", raw) + '"', strict=False)
    return text


def without_nulls(value: Any) -> Any:
    """Return plain JSON without the fields that are null: rego-cpp finds null greater than any number."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def _unreadable(name: str, error: Exception) -> UnansweredError:
    return UnansweredError(
        f"the policy {name} answers what nobody can read ({type(error).__name__}): build reasons simpler"
    )


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
    named = words_reached(set(re.findall(r"\w+", " ".join(own.values()))), [text for _, text in paragraphs])
    kept: dict[str, list[str]] = {}
    for name, paragraph in paragraphs:
        if _head(paragraph) in named or _head(paragraph) == "package":
            kept.setdefault(name, []).append(paragraph)
    return own | {name: "\n\n".join(texts) + "\n" for name, texts in kept.items()}


def words_reached(words: set[str], paragraphs: Sequence[str]) -> set[str]:
    """Return words with those of every paragraph whose head is one of them, and so on."""
    reached, found = set(words), True
    while found:
        found = False
        for paragraph in paragraphs:
            if _head(paragraph) in reached and not (own := set(re.findall(r"\w+", paragraph))) <= reached:
                reached |= own
                found = True
    return reached


def _head(paragraph: str) -> str:
    found = _PARAGRAPH.search(paragraph)
    return found.group(1) if found else ""


def _told(error: str) -> str:
    """Return the messages of a Rego error, on one line."""
    messages = re.findall(r"\(errormsg \d+:(.*?)\)", error)
    return "; ".join(dict.fromkeys(messages)) or " ".join(error.split())[:200] or "RegoError"
