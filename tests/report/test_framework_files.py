"""Frameworks are data files: what is wrong with one is told before any control is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.core import digest_file
from keelway.errors import IntegrityError, UsageError
from keelway.report import control_of, load_framework
from keelway.report.framework_files import FRAMEWORKS, framework_names

HEAD = 'title: "Ours"\nsource: "Ours 1"\ncontrols:\n'
GOOD = '  - id: "one"\n    reference: "1"\n    title: "Is it assessed?"\n    finders: [risk]\n'
ATTACH = (
    '  - id: "two"\n    reference: "2"\n    title: "Is it trained?"\n    attach: "a record"\n    applies: high_risk\n'
)


def written(folder: Path, text: str) -> Path:
    (folder / "ours.yaml").write_text(HEAD + text)
    return folder


def test_a_framework_is_what_its_file_says(tmp_path: Path) -> None:
    found = load_framework("ours", folder=written(tmp_path, GOOD + ATTACH))
    one, two = found.controls
    assert (found.name, found.title, found.source) == ("ours", "Ours", "Ours 1")
    assert (one.control_id, one.finders, one.attach, one.applies, one.organisational) == (
        "one",
        ("risk",),
        "",
        "always",
        False,
    )
    assert (two.control_id, two.finders, two.attach, two.applies, two.organisational) == (
        "two",
        (),
        "a record",
        "high_risk",
        True,
    )
    assert found.digest == digest_file(tmp_path / "ours.yaml")
    assert control_of(found, "two") is two


def test_another_word_is_another_digest(tmp_path: Path) -> None:
    before = load_framework("ours", folder=written(tmp_path, GOOD)).digest
    after = load_framework("ours", folder=written(tmp_path, GOOD.replace("assessed", "weighed"))).digest
    assert before != after


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD + GOOD, "twice"),
        (GOOD.replace("    finders: [risk]\n", ""), "is wrong"),
        (GOOD + "    applies: sometimes\n", "is wrong"),
        (GOOD + "    finder: [cards]\n", "is wrong"),
        ("  - {id: one, reference: 1, title: Cut at a comma, here, finders: [risk]}\n", "is wrong"),
    ],
)
def test_a_wrong_control_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(IntegrityError, match=told):
        load_framework("ours", folder=written(tmp_path, text))


def test_an_unknown_name_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_framework("theirs", folder=written(tmp_path, GOOD))
    assert caught.value.expected == "ours"
    assert framework_names(tmp_path) == ("ours",)


@pytest.mark.parametrize("name", framework_names())
def test_our_words_are_short_and_no_quotation(name: str) -> None:
    text = (FRAMEWORKS / f"{name}.yaml").read_text("utf8")
    assert text.startswith("# Our own short questions")
    for control in load_framework(name).controls:
        assert len(control.title) <= 90
        assert len(control.attach) <= 100
        assert not control.title.endswith((".", "?"))
