"""Fallbacks as they are declared, and how answers that they gave are marked."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keelway.core import VersionName
from keelway.errors import SettingsError
from keelway.serve import LoadedDeployment, answer_rows, parse_fallback
from keelway.serve.fallback import ConstantScorer, Fallback
from keelway.serve.loaded import VersionAtHand, assembled
from keelway.testing.serving import ONE, TWO, FixedScorer, MemoryLog, deployment_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)
AT = "2026-03-01T00:00:00Z"


def loaded(answer: float, *chain: str, previous: float | None = None) -> LoadedDeployment:
    deployment = deployment_of(churn_2=100)
    hand = VersionAtHand(TWO, deployment.versions[TWO], FixedScorer(answer))
    before = VersionAtHand(ONE, deployment.versions[TWO], FixedScorer(previous)) if previous is not None else None
    return assembled(deployment, {TWO: hand}, chain=tuple(map(parse_fallback, chain)), previous=before)


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("previous", Fallback("previous")),
        ("baseline:churn:1", Fallback("baseline", VersionName("churn:1"))),
        ("constant:0.05", Fallback("constant", value=0.05)),
        ("constant:-3", Fallback("constant", value=-3.0)),
    ],
)
def test_a_link_is_read_as_it_is_written(text: str, link: Fallback) -> None:
    assert parse_fallback(text) == link


@pytest.mark.parametrize(
    "text", ["", "next", "previous:1", "baseline:churn", "baseline:", "constant", "constant:x", "constant:nan"]
)
def test_what_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="constant:NUMBER"):
        parse_fallback(text)


def test_a_version_that_gives_no_number_is_answered_for_and_the_answer_and_the_log_say_so() -> None:
    log = MemoryLog()
    (answer,) = answer_rows(
        [("7", NOW, [1.0, "gold"])], loaded(float("nan"), "previous", "constant:0.5", previous=0.25), log=log, at=AT
    )
    assert (answer.value, answer.version.fallback) == ("0.25", "previous:churn:1")
    assert (log.lines[0]["version"], log.lines[0]["arm"]) == ("churn:1", "fallback:previous:churn:1")


def test_the_next_link_answers_where_the_first_cannot_either() -> None:
    chain = loaded(float("nan"), "previous", "constant:0.5", previous=float("inf"))
    (answer,) = answer_rows([("7", NOW, [1.0, "gold"])], chain, log=MemoryLog(), at=AT)
    assert (answer.value, answer.version.fallback) == ("0.5", "constant:0.5")


def test_a_version_that_can_answer_answers() -> None:
    (answer,) = answer_rows([("7", NOW, [1.0, "gold"])], loaded(0.75, "constant:0.5"), log=MemoryLog(), at=AT)
    assert (answer.value, answer.version.fallback) == ("0.75", "")


def test_a_constant_takes_the_rows_of_the_version_it_answers_for() -> None:
    scorer = ConstantScorer(0.5, like=FixedScorer(0.1))
    assert scorer.features == FixedScorer(0.1).features
    assert scorer.predictions([[1.0, "a"]] * 3) == [0.5] * 3
