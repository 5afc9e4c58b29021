"""What comes back from the processes that ask rego-cpp, and what people are told when it is no answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.engines.rego import answering
from keelway.engines.rego.compiled import (
    CompiledPolicy,
    EndedError,
    UnansweredError,
    asking,
    bindings_in,
    bindings_of,
    built,
    must_be,
    program_of,
    text_of,
    words_reached,
)
from keelway.engines.rego.processes import ENDED, AnsweringProcesses, EvaluationLimits, RegoProgram, RegoReply

HEAD = "package keelway.gate\n"


@pytest.fixture(scope="module")
def among() -> Iterator[AnsweringProcesses]:
    made = AnsweringProcesses(EvaluationLimits(), most=1)
    yield made
    made.stop()


def program(text: str) -> RegoProgram:
    return program_of("gate", {"gate.rego": HEAD + text}, asking("deny"))


@pytest.mark.parametrize(
    ("text", "document", "kind"),
    [
        ('deny contains "x"', b"{}", answering.ANSWERED),
        ('deny contains "x" if 5 % input.a == 1', b'{"a":0}', answering.FAILED),
        ("deny if {", b"{}", answering.ERROR),
        ('deny contains "x"', b"{", answering.ERROR),
        ('deny contains "x"', b'"\xff"', answering.NO_UNICODE),
        ("deny contains x if x := nothing_like_it(1)", b"{}", answering.NO_ANSWER),
        ("f(x) := f(x + 1)\ndeny contains f(1)", b"{}", answering.NO_ANSWER),
    ],
    ids=["an answer", "a built-in failed", "no policy", "no document", "no Unicode", "no such function", "recursion"],
)
def test_an_answer_says_of_what_kind_it_is(among: AnsweringProcesses, text: str, document: bytes, kind: bytes) -> None:
    (reply,) = among.ask(program(text), [document])
    assert reply.kind == kind
    assert among.ask(program('deny contains "x"'), [b"{}"])[0].kind == answering.ANSWERED


def test_a_text_with_half_a_character_is_told_and_not_sent(among: AnsweringProcesses) -> None:
    half = "\ud800"
    assert built(program(f'deny contains "{half}"'), among=among).kind == answering.NO_UNICODE
    with pytest.raises(UnansweredError, match="no Unicode"):
        bindings_of(program('deny contains "x"'), json.dumps({"a": half}, ensure_ascii=False), among=among)


def test_documents_are_answered_in_their_order(among: AnsweringProcesses) -> None:
    asked = program('deny contains sprintf("%v", [input.n])')
    replies = among.ask(asked, [b'{"n":%d}' % number for number in range(150)])
    found = [bindings_in("gate", reply)["deny"][0][1] for reply in replies]
    assert [base64.b64decode(text).decode() for (text,) in found] == [str(number) for number in range(150)]


@settings(max_examples=20, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)))
def test_texts_come_back_as_they_went_in(texts: list[str]) -> None:
    policy = CompiledPolicy("gate", {"gate.rego": HEAD + "deny contains text if some text in input.texts"}, ("deny",))
    kept = {text for text in texts if text.strip()}
    found = policy.ask(json.dumps({"texts": sorted(kept)}, ensure_ascii=False))
    assert found == {"deny": tuple(sorted(kept))}


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (RegoReply(ENDED, "it ended by signal 9 (SIGKILL)"), "ended the process that judged it: it ended by signal 9"),
        (RegoReply(answering.FAILED, ""), "failed while it was evaluated"),
        (RegoReply(answering.NO_UNICODE, ""), "holds text that is no Unicode"),
        (RegoReply(answering.NO_ANSWER, ""), "an unknown function, or a rule that rests on itself"),
        (RegoReply(answering.ERROR, "(errormsg 4:oops)(errormsg 4:oops)"), "cannot be evaluated: oops"),
        (RegoReply(answering.ERROR, " a \n b "), "cannot be evaluated: a b"),
        (RegoReply(answering.ERROR, ""), "cannot be evaluated: RegoError"),
        (RegoReply(answering.ANSWERED, "undefined"), "answers what nobody can read"),
        (RegoReply(answering.ANSWERED, "{}"), "answers what nobody can read"),
        (RegoReply(answering.ANSWERED, "3"), "answers what nobody can read"),
    ],
)
def test_what_is_no_answer_is_told_in_a_sentence(reply: RegoReply, told: str) -> None:
    with pytest.raises(UnansweredError, match="the policy gate") as caught:
        bindings_in("gate", reply)
    assert told in str(caught.value)
    assert isinstance(caught.value, EndedError) == (reply.kind == ENDED)


def test_the_right_kind_is_no_error() -> None:
    must_be(answering.BUILT, "gate", RegoReply(answering.BUILT, ""))


def test_a_program_is_known_by_what_it_says() -> None:
    assert program("a := 1").key == program("a := 1").key
    assert program("a := 1").key != program("a := 2").key
    assert program_of("gate", {"gate.rego": HEAD}, "true").key != program_of("gate", {"gate.rego": HEAD}, "false").key


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("plain", "plain"),
        ('a \\"word\\"', 'a "word"'),
        ('"stray" and \\"true\\"', 'stray and "true"'),
        ("a\\nb", "a\nb"),
    ],
)
def test_stray_quotes_are_taken_out_of_texts(raw: str, text: str) -> None:
    assert text_of(base64.b64encode(raw.encode()).decode()) == text


def test_words_reach_what_their_paragraphs_name() -> None:
    paragraphs = ["a := b", "b if c", "d := a", "c := 1"]
    assert {"a", "b", "c"} <= words_reached({"a"}, paragraphs)
    assert "d" not in words_reached({"a"}, paragraphs)
