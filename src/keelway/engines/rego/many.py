"""Asks one policy about many documents: what is alike in them is asked once, in several processes.

A gate that can be taken to pieces (`units.py`) is asked piece by piece: each piece once for all documents that are the
same in what it reads. Pieces that a document needs answers of travel together, in a program that holds nothing else.
Whatever comes of it that is not a plain answer is asked again of the whole policy, for that document alone, so every
answer is that of single judging.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from keelway.engines.rego import answering
from keelway.engines.rego.compiled import (
    CompiledPolicy,
    EndedError,
    Texts,
    UnansweredError,
    bindings_in,
    built,
    without_nulls,
)
from keelway.engines.rego.needed import Needed, needed_together
from keelway.engines.rego.processes import MOST_ENDED, AnsweringProcesses, RegoProgram, RegoReply, available_processors
from keelway.engines.rego.units import GateUnit, GateUnits
from keelway.errors import EngineError

CHUNK = 200
"""So many documents go to a process at a time."""
PAYS_FROM = 100
"""From so many documents on, asking piece by piece in several processes saves more time than it costs."""
_OWN_PROGRAM_FROM = 40
"""So many documents have to need the same pieces for a program of these alone."""
KEPT_UNITS = 256
_KEPT_ANSWERS = 50_000
_written = json.JSONEncoder(ensure_ascii=False).encode

_Answers = dict[str, Any]
"""What a piece answered, by what it was shown."""


class UnitAnswers:
    """What pieces of gates answered before; for one thread at a time."""

    def __init__(self) -> None:
        self._units: OrderedDict[str, _Answers] = OrderedDict()

    def of(self, unit: GateUnit) -> _Answers:
        """Return the answers of a piece, to be added to."""
        answers = self._units.setdefault(unit.key, {})
        self._units.move_to_end(unit.key)
        while len(self._units) > KEPT_UNITS:
            self._units.popitem(last=False)
        if len(answers) > _KEPT_ANSWERS:
            answers.clear()
        return answers


@dataclass(slots=True)
class _Asked:
    """Documents that need the same pieces: what each is shown, by what its answers are kept, and what came back."""

    units: tuple[GateUnit, ...]
    numbers: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    keys: list[list[str]] = field(default_factory=list)
    replies: Future[list[RegoReply]] | None = None


class ManyDocuments:
    """One policy, and many documents that it is asked about.

    Args:
        whole: The policy as it is asked about one document.
        gate: The policy in pieces.
        needed: What the whole policy can read.
        kept: Answers of earlier times, to which new ones are added.
        load: Returns a document by its number, as it may be shown to a policy.
    """

    def __init__(
        self,
        whole: CompiledPolicy,
        gate: GateUnits,
        needed: Needed,
        *,
        kept: UnitAnswers,
        among: AnsweringProcesses,
        load: Callable[[int], Any],
    ) -> None:
        self._whole, self._gate, self._among, self._load = whole, gate, among, load
        self._all_needed = needed
        self._in_pieces = bool(gate.units) and built(gate.program(gate.units), among=among).kind == answering.BUILT
        # Otherwise the whole policy is the only piece.
        self._units = gate.units if self._in_pieces else (GateUnit("", "", frozenset(), needed, ""),)
        self._answers: dict[GateUnit, _Answers] = {unit: kept.of(unit) if unit.key else {} for unit in self._units}
        self._unions: dict[tuple[GateUnit, ...], Needed] = {}
        self._waiting: dict[tuple[GateUnit, ...], _Asked] = {}
        self._sent: list[_Asked] = []
        self._ended: dict[int, EndedError] = {}

    def ask(self, documents: Iterable[tuple[int, Any]], *, workers: int) -> dict[int, Texts | UnansweredError]:
        """Return the policy's sets for documents by number, or why there are none.

        Raises:
            EngineError: The policy ended so many processes that it is given up.
        """
        shown: dict[int, list[str]] = {}
        known = {unit: set(answers) for unit, answers in self._answers.items()}
        pool = ThreadPoolExecutor(workers or available_processors())
        try:
            for number, document in documents:
                shown[number] = [repr(unit.needed.part(document)) for unit in self._units]
                self._wait(number, document, shown[number], known, pool)
            self._send_rest(shown, pool)
            for asked in self._sent:
                self._take_in(asked)
        finally:
            pool.shutdown(cancel_futures=True)
        return {number: self._told(number, keys) for number, keys in shown.items()}

    def _wait(
        self, number: int, document: Any, keys: list[str], known: dict[GateUnit, set[str]], pool: ThreadPoolExecutor
    ) -> None:
        """Put a document to those that need the same pieces, unless other documents get all the answers that it needs."""
        missed = {unit: key for unit, key in zip(self._units, keys, strict=True) if key not in known[unit]}
        if not missed:
            return
        for unit, key in missed.items():
            known[unit].add(key)
        units = tuple(missed)
        asked = self._waiting.setdefault(units, _Asked(units))
        self._add(asked, number, document, list(missed.values()))
        if len(asked.numbers) == CHUNK:
            self._send(self._waiting.pop(units), pool)

    def _send_rest(self, shown: dict[int, list[str]], pool: ThreadPoolExecutor) -> None:
        """Send what did not fill a chunk: where few need the same pieces, they are asked for all of them."""
        own = {asked.units for asked in self._sent}
        few = _Asked(self._units)
        for units, asked in self._waiting.items():
            if units in own or len(asked.numbers) >= _OWN_PROGRAM_FROM:
                self._send(asked, pool)
                continue
            for number in asked.numbers:
                self._add(few, number, self._load(number), shown[number])
        if few.numbers:
            self._send(few, pool)

    def _add(self, asked: _Asked, number: int, document: Any, keys: list[str]) -> None:
        if asked.units not in self._unions:
            self._unions[asked.units] = needed_together(unit.needed for unit in asked.units)
        asked.numbers.append(number)
        asked.texts.append(_shown(self._unions[asked.units], document))
        asked.keys.append(keys)

    def _send(self, asked: _Asked, pool: ThreadPoolExecutor) -> None:
        program = self._gate.program(asked.units) if self._in_pieces else self._whole.program
        asked.replies = pool.submit(_replies, self._among, program, asked.texts)
        self._sent.append(asked)

    def _take_in(self, asked: _Asked) -> None:
        """Keep the answers that came; what is none is left out."""
        assert asked.replies is not None
        for number, keys, reply in zip(asked.numbers, asked.keys, asked.replies.result(), strict=True):
            try:
                bindings = bindings_in(self._whole.program.name, reply)
                for unit, key in zip(asked.units, keys, strict=True):
                    self._answers[unit][key] = bindings[unit.name] if self._in_pieces else bindings
            except EndedError as error:
                self._has_ended(number, error)
            except (UnansweredError, LookupError):
                continue

    def _told(self, number: int, keys: list[str]) -> Texts | UnansweredError:
        """Return the sets for a document: from the answers of the pieces, or asked for it alone."""
        if number in self._ended:
            return self._ended[number]
        try:
            found = {unit: self._answers[unit][key] for unit, key in zip(self._units, keys, strict=True)}
            if not self._in_pieces:
                return self._whole.read(found[self._units[0]])
            texts = self._whole.read(self._gate.bindings(found))
        except (UnansweredError, LookupError, TypeError):
            return self._alone(number)
        reasons = texts.get("deny")
        # Two clauses may give one sentence with and without the stray quotes that are taken out.
        return texts if reasons is not None and len(set(reasons)) == len(reasons) else self._alone(number)

    def _alone(self, number: int) -> Texts | UnansweredError:
        try:
            return self._whole.ask(_shown(self._all_needed, self._load(number)))
        except EndedError as error:
            self._has_ended(number, error)
            return error
        except UnansweredError as error:
            return error

    def _has_ended(self, number: int, error: EndedError) -> None:
        """Remember a document on which a process ended.

        Raises:
            EngineError: It is not the first one.
        """
        self._ended[number] = error
        if len(self._ended) >= MOST_ENDED:
            raise EngineError(
                f"The policy {self._whole.program.name} ended the process that judged it",
                expected="an answer",
                found=f"{len(self._ended)} ended processes, the last: {error}",
                fix="Look it through: keelway policy check",
            ) from error


def _shown(needed: Needed, document: Any) -> str:
    """Return what is needed of a document, in JSON without nulls."""
    return _written(without_nulls(needed.part(document)))


def _replies(among: AnsweringProcesses, program: RegoProgram, texts: Sequence[str]) -> list[RegoReply]:
    """Return a program's answers to documents in JSON; none of them holds half a character, as canonical JSON cannot."""
    return among.ask(program, [text.encode() for text in texts])
