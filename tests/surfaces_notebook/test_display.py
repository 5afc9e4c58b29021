"""Progress is written anew in one place, and nothing that is shown can act."""

from __future__ import annotations

import threading
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from keelway.surfaces.notebook.display import MOST_LINES, NotebookProgress, NotebookStage, escaped_table


def test_progress_is_shown_once_and_then_written_anew(page: Any) -> None:
    progress = NotebookProgress()
    for line in ("  ingest <orders>", "train 0.1 s"):
        progress(line)
    (first, told), (second, again) = page.shown
    assert first["text/plain"] == "ingest <orders>"
    assert "ingest &lt;orders&gt; <small>(1)</small>" in first["text/html"]
    assert "train 0.1 s <small>(2)</small>" in second["text/html"]
    assert "<pre>ingest &lt;orders&gt;</pre>" in second["text/html"]
    assert told["transient"] == again["transient"]
    assert again["update"] is True


def test_long_progress_keeps_its_end_and_says_what_it_left_out(page: Any) -> None:
    progress = NotebookProgress()
    for number in range(MOST_LINES + 5):
        progress(f"line {number}")
    html = page.shown[-1][0]["text/html"]
    assert "(5 lines before)" in html
    assert "line 4\n" not in html
    assert "line 5\n" in html


def test_progress_may_be_told_from_several_threads(page: Any) -> None:
    progress = NotebookProgress()
    threads = [threading.Thread(target=progress, args=(f"step {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "<small>(8)</small>" in page.shown[-1][0]["text/html"]
    assert len({told["transient"]["display_id"] for _, told in page.shown}) == 1


def test_a_table_is_shown_for_the_page_and_for_a_terminal(page: Any) -> None:
    stage = NotebookStage()
    stage.table(["name", "value"], [["loss", "<0.5"]])
    stage.answer(3)
    ((shown, _),) = page.shown
    assert shown["text/plain"] == "name  value\nloss  <0.5"
    assert "<td>&lt;0.5</td>" in shown["text/html"]
    assert stage.answered == 3


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5), st.text())
def test_no_text_becomes_markup(rows: list[tuple[str, str]], caption: str) -> None:
    plain = escaped_table("x", ["a", "b"], [["y", "y"]] * len(rows))
    shown = escaped_table(caption, ["a", "b"], rows)
    assert shown.count("<") == plain.count("<")
    assert shown == escaped_table(caption, ["a", "b"], rows)
