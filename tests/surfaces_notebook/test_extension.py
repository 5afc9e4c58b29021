"""`%load_ext keelway` in a shell of IPython: commands, a project, tables, and errors in a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import keelway
from keelway.errors import KeelwayError, MissingRecordError, UsageError
from keelway.surfaces.notebook import NotebookProject, open_project
from keelway.surfaces.notebook.magic import run_command, told

TOML = """
[project]
name = "churn"
module = "churn.project"
actor = "user:ana"
[signing]
name = "churn"
[engines]
tracking = ""
[principals."user:ana"]
roles = ["data-scientist"]
"""
MODULE = """
from datetime import UTC, datetime
from keelway import Cuts, Dataset, Estimator, Label, Model, Project, feature_set

orders = Dataset("orders", contract="contracts/orders.odcs.yaml", source="raw/*.csv", event_time="at", keys=("id",))

@feature_set(entity="customer", sources=[orders])
def spend(orders, as_of):
    return orders.group_by("customer").agg(total=orders.amount.sum())

@Label.define(entity="customer", source=orders, horizon="30d", absent=1)
def gone(orders, as_of):
    return orders.select("customer").distinct().mutate(gone=0)

lr = Estimator("lr", "sklearn.linear_model.LogisticRegression", {})
cuts = Cuts(first=datetime(2026, 1, 1, tzinfo=UTC), every="month")
project = Project("churn", models=[Model("churn", features=[spend], label=gone, estimators=[lr], cuts=cuts)])
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "src" / "churn").mkdir(parents=True)
    (tmp_path / "src" / "churn" / "project.py").write_text(MODULE)
    (tmp_path / "keelway.toml").write_text(TOML)
    for name, loss in (("first", 0.5), ("<b>second</b>", 0.25)):
        with keelway.run(name, parameters={"depth": 3}, folder=tmp_path) as run:
            run.log("loss", loss)
    return tmp_path


@pytest.fixture
def loaded(root: Path, page: Any) -> Any:
    page.shell.extension_manager.load_extension("keelway")
    return page


def test_loading_gives_a_magic_and_the_project(loaded: Any) -> None:
    assert "keelway" in loaded.shell.magics_manager.magics["line"]
    assert isinstance(loaded.shell.user_ns["project"], NotebookProject)
    assert loaded.shell.user_ns["open_project"] is open_project


def test_loading_takes_no_name_from_a_user_and_unloading_takes_everything_out(root: Path, page: Any) -> None:
    page("project = 'mine'")
    formatter = page.shell.display_formatter.formatters["text/html"]
    before = (set(formatter.type_printers), set(formatter.deferred_printers))
    page.shell.extension_manager.load_extension("keelway")
    assert page.shell.user_ns["project"] == "mine"
    page("open_project().runs.list()")
    page.shell.extension_manager.unload_extension("keelway")
    assert (set(formatter.type_printers), set(formatter.deferred_printers)) == before
    assert "keelway" not in page.shell.magics_manager.magics["line"]


def test_outside_a_project_there_is_none(page: Any) -> None:
    page.shell.extension_manager.load_extension("keelway")
    assert "project" not in page.shell.user_ns
    elsewhere = page("open_project()").result
    assert "no project at" in repr(elsewhere)
    assert "no project at" in elsewhere._repr_html_()


def test_a_command_shows_its_table_and_keeps_its_answer(loaded: Any) -> None:
    assert loaded("%keelway runs --metric loss").success
    assert [entry.metrics["loss"] for entry in loaded.shell.user_ns["answer"]] == [0.25, 0.5]
    assert loaded.html.count("<table>") == 1
    assert "&lt;b&gt;second&lt;/b&gt;" in loaded.html
    assert "<b>" not in loaded.html


def test_what_a_command_says_in_words_is_printed(loaded: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert loaded("%keelway runs sync").success
    assert "0 interrupted runs recorded" in capsys.readouterr().out
    assert loaded("which = 'loss'\n%keelway runs --metric {which} --json").success
    assert '"loss": 0.25' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("runs show nothing", ["MissingRecordError: There is no such run", "fix:", "keelway runs"]),
        ("runs --top x", ["UsageError: Invalid value for '--top'"]),
        ("no-such-command", ["UsageError: No such command 'no-such-command'"]),
        ("runs 'open", ["UsageError: The command cannot be read", "No closing quotation"]),
        ("notebook lint --no-execute", ["UsageError: There are no notebooks"]),
    ],
)
def test_an_error_is_told_in_a_few_lines_and_fails_the_cell(
    loaded: Any, capsys: pytest.CaptureFixture[str], line: str, said: list[str]
) -> None:
    result = loaded(f"%keelway {line}\nafter = 1")
    printed = capsys.readouterr().out
    assert isinstance(result.error_in_exec, KeelwayError)
    assert "after" not in loaded.shell.user_ns
    assert [part for part in said if part not in printed] == []
    assert "Traceback" not in printed


def test_a_command_that_says_no_by_its_exit_code_fails_the_cell(loaded: Any, root: Path) -> None:
    (root / "a.ipynb").write_text("{")
    result = loaded("%keelway notebook lint --no-execute")
    assert result.error_in_exec.found == "exit code 1"
    assert "unreadable" in loaded.html


def test_help_is_no_failure(loaded: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert loaded("%keelway --help").success
    assert "notebook" in capsys.readouterr().out


def test_the_terminal_is_left_as_it_was(loaded: Any, root: Path) -> None:
    from click.testing import CliRunner

    from keelway.surfaces.cli import main

    run_command("runs")
    with pytest.raises(MissingRecordError):
        run_command("runs show nothing")
    done = CliRunner().invoke(main, ["runs", "show", "nothing", "--project", str(root)])
    assert (done.exit_code, "MissingRecordError" in done.stderr) == (1, True)


def test_an_error_names_nobody() -> None:
    error = UsageError("ana@example.org is no number", found="ben@example.org")
    assert told(error) == ["UsageError: [e-mail] is no number", "  found:    [e-mail]"]


def test_the_project_tells_what_it_declares_and_offers_every_room(loaded: Any) -> None:
    project = loaded.shell.user_ns["project"]
    assert repr(project) == "project churn"
    html = project._repr_html_()
    assert "<dt>models</dt><dd>churn</dd>" in html
    assert "<dt>you act as</dt><dd>user:ana</dd>" in html
    assert {"runs", "lab", "gate", "scorecard", "features"} <= set(dir(project))
    assert {entry.name for entry in project.runs.list()} == {"first", "<b>second</b>"}
    with pytest.raises(AttributeError, match=r"no 'runz'; it has .*runs"):
        project.runz


def test_an_edited_project_counts_at_once(loaded: Any, root: Path) -> None:
    project = loaded.shell.user_ns["project"]
    (root / "src" / "churn" / "project.py").write_text(MODULE.replace('Model("churn"', 'Model("leaving"'))
    assert "<dd>leaving</dd>" in project._repr_html_()


def test_what_is_not_there_yet_is_told(loaded: Any) -> None:
    project = loaded.shell.user_ns["project"]
    for ask in (project.feature_table, project.features, project.scorecard):
        with pytest.raises(MissingRecordError):
            ask("churn")


def test_records_are_shown_as_tables_and_other_lists_as_ever(loaded: Any) -> None:
    html = loaded.shell.display_formatter.formatters["text/html"]
    runs = loaded.shell.user_ns["project"].runs
    listed = runs.list()
    assert html(listed).count("<tr>") == 3
    assert html(tuple(listed)) == html(listed)
    assert "Parameters" in html(runs.show(listed[0].run_id))
    assert "*" in html(runs.compare([entry.run_id for entry in listed]))
    assert html([1, 2]) is None
    assert html([]) is None
    assert html([listed[0], 1]) is None
