"""The commands of the command line inside a notebook: carried out in its process, shown in its page."""

from __future__ import annotations

import shlex

from keelway.errors import KeelwayError, UsageError
from keelway.surfaces.notebook.display import NotebookStage


def run_command(line: str) -> object:
    """Carry out a command, such as `runs --metric auc`, and return its answer as a value.

    Raises:
        KeelwayError: What the command raises, or where it ends with another exit code than 0.
    """
    from click import ClickException

    from keelway.surfaces.cli import main
    from keelway.surfaces.cli.session import staged

    stage = NotebookStage()
    try:
        with staged(stage):
            code = main.main(args=_words(line), prog_name="keelway", standalone_mode=False) or 0
    except ClickException as error:
        raise _plainly(UsageError(error.format_message(), fix="%keelway --help")) from None
    except KeelwayError as error:
        raise _plainly(error) from error.__cause__
    except SystemExit as ended:
        code = ended.code
    if code:
        raise _plainly(KeelwayError(f"keelway {line.strip()}", expected="exit code 0", found=f"exit code {code}"))
    return stage.answered


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:  # a quotation mark without its other half
        raise _plainly(UsageError("The command cannot be read", found=str(error))) from None


def _plainly(error: KeelwayError) -> KeelwayError:
    """Let IPython show an error as the command line does: it says what is wrong, so nobody needs the way there."""
    error._render_traceback_ = lambda: told(error)  # type: ignore[attr-defined]  # IPython asks the error for it
    return error


def told(error: KeelwayError) -> list[str]:
    """Return an error in lines, without what names a person."""
    from keelway.privacy import scrub

    parts = (("expected", error.expected), ("found", error.found), ("fix", error.fix))
    lines = [f"  {name + ':':<10}{scrub(text)}" for name, text in parts if text]
    return [f"{type(error).__name__}: {scrub(error.what)}", *lines]
