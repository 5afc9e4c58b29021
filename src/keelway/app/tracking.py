"""Tracking from a script or a notebook: `keelway.run` and `keelway.autolog`, inside a project's folder or anywhere.

    with keelway.run("baseline", parameters={"depth": 3}) as run:
        run.log("loss", 0.3, step=1)

Without a project, runs are kept in the folder `.keelway` of the present folder, which ignores itself in git.
"""

from __future__ import annotations

import functools
import getpass
import importlib
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.app.settings import PrincipalSettings, ProjectSettings, Settings, SigningSettings
from keelway.app.wire import Workspace
from keelway.core import Clock, CodeState, Digest, RunId, SystemClock, digest_bytes, digest_file, sortable_id
from keelway.errors import EngineError, KeelwayError, ProjectError

if TYPE_CHECKING:
    from keelway.engines.local.run_journals import FileRunJournals
    from keelway.train.tracking import ActiveRun, Autolog, RunJournal, TrackedKind, TrackedRun

JOURNALS = ".keelway/runs"
CODE_SEEN_S = 5.0
"""How long the state of the code is taken to stay as it was seen: a loop of fits need not ask git each time."""
_LOG = logging.getLogger("keelway.runs")
_lock = threading.Lock()
_seen: dict[tuple[Path, Path | None], tuple[float, CodeState]] = {}
_mirroring: dict[Path, threading.Thread] = {}
_wanted: set[Path] = set()
"""Folders with runs that the thread of that folder has not looked at yet."""


def run(
    name: str,
    *,
    parameters: Mapping[str, object] | None = None,
    model: str = "",
    folder: Path | str | None = None,
    clock: Clock | None = None,
    seed: int | None = None,
    actor: str = "",
) -> ActiveRun:
    """Open a tracked run; log to it inside its `with` block, or call `close` at the end.

    Args:
        name: What people call it; need not be unique.
        parameters: What it is given; more can follow.
        model: The model it is about, to be found by.
        folder: Where to look for the project; the present folder, or `KEELWAY_PROJECT`, by default.
        clock: Tells the time; the machine's clock by default.
        seed: The seed of everything random; that of the run around it by default, else 0. It is recorded, not set.
        actor: Who acts; `KEELWAY_ACTOR` or the project's default where empty.

    Raises:
        IdentityError: The project does not know the actor.
        StorageError: The journal cannot be written.
    """
    at = workspace_for(folder, clock=clock, actor=actor)
    opened = open_run(at, name, kind="script", model=model, seed=seed)
    opened.parameters(parameters or {})
    return opened


def autolog(
    *, on: bool = True, folder: Path | str | None = None, clock: Clock | None = None, actor: str = ""
) -> Autolog | None:
    """Record every fit of scikit-learn, LightGBM and XGBoost from now on, or inside a `with` block.

    Args:
        on: False switches all autologging of this process off, and returns None.
        folder: Where to look for the project, as for `keelway.run`.
        clock: Tells the time; the machine's clock by default.
        actor: Who acts; `KEELWAY_ACTOR` or the project's default where empty.
    """
    from keelway.train.tracking import Autolog, autolog_off

    if not on:
        autolog_off()
        return None
    at = workspace_for(folder, clock=clock, actor=actor)

    def open_fit(name: str, estimator: str) -> ActiveRun:
        return open_run(at, name, kind="autolog", estimator=estimator, flush_s=0)

    return Autolog(open_fit)


def open_run(
    at: Workspace,
    name: str,
    *,
    kind: TrackedKind,
    model: str = "",
    estimator: str = "",
    seed: int | None = None,
    flush_s: float = 1.0,
    script: Path | None = None,
) -> ActiveRun:
    """Open a run of a workspace, inside the run that is open around it.

    Args:
        script: The file that is executed, where it is not that of this process.
    """
    from keelway.train.tracking import ActiveRun, RunOpening, current_run, machine, parent_run, requirements

    around = current_run()
    opening = RunOpening(
        run_id=RunId(sortable_id()),
        name=name,
        kind=kind,
        experiment=at.settings.project.name,
        model=model or (around.opening.model if around else ""),
        estimator=estimator,
        parent=parent_run(),
        principal=at.principal.id,
        seed=seed if seed is not None else around.seed if around else int(os.environ.get("KEELWAY_SEED", "0")),
        started_at=at.now(),
        code=_code(at, script),
        machine=machine(),
        script=(_told(at, script),) if script else _script(),
        requirements=requirements(),
    )
    journal = journals_of(at).create(opening.run_id)
    record = functools.partial(_record, at)
    return ActiveRun(opening, journal=journal, artifacts=at.artifacts, clock=at.clock, record=record, flush_s=flush_s)


def workspace_for(
    folder: Path | str | None = None, *, clock: Clock | None = None, actor: str = "", token: str = "", **told: Any
) -> Workspace:
    """Return the project at or above a folder, or a bare place for runs in the folder where there is none."""
    where = Path(folder or os.environ.get("KEELWAY_PROJECT") or ".")
    clock, actor = clock or SystemClock(), actor or os.environ.get("KEELWAY_ACTOR", "")
    try:
        return Workspace.open(where, clock=clock, actor=actor, token=token, **told)
    except ProjectError:
        return _bare(where.resolve(), clock=clock, actor=actor or f"user:{_login()}", **told)


def holds_runs(folder: Path) -> bool:
    """Say whether a folder without a project holds runs."""
    return (folder / JOURNALS).is_dir()


def journals_of(at: Workspace) -> FileRunJournals:
    """Return where the journals of a workspace's runs are."""
    from keelway.engines.local.run_journals import FileRunJournals

    return FileRunJournals(at.root / JOURNALS)


def sync(at: Workspace) -> list[str]:
    """Show every run that is not shown yet in the tracker; one process does so at a time.

    Raises:
        EngineError: The tracker failed; what is not shown yet stays waiting.
    """
    from keelway.engines.local.tracker import PatientTracker
    from keelway.train.tracking import mirror_waiting

    tracker = at.tracker.strict if isinstance(at.tracker, PatientTracker) else at.tracker
    with journals_of(at).mirror_turn():
        return mirror_waiting(
            state=at.state, artifacts=at.artifacts, tracker=tracker, experiment=at.settings.project.name
        )


def sync_patiently(at: Workspace) -> None:
    """Show every run that is not shown yet; while the tracker fails, runs wait for another time."""
    if not at.settings.engines.tracking:
        return
    try:
        sync(at)
    except EngineError as error:
        _LOG.warning("runs are kept, and wait to be mirrored (keelway runs sync): %s", error)


def finish_mirroring(at: Workspace) -> None:
    """Wait until what this process shows in the tracker is shown."""
    with _lock:
        thread = _mirroring.get(at.root)
    if thread is not None:
        thread.join()


def _record(at: Workspace, journal: RunJournal) -> TrackedRun:
    from keelway.train.tracking import settle

    recorded = settle(journal, artifacts=at.artifacts, state=at.state)
    if at.settings.engines.tracking:
        _mirror_soon(at)
    return recorded


def _mirror_soon(at: Workspace) -> None:
    """Mirror beside the user's work; a script that ends waits for it, a notebook goes on."""
    with _lock:
        _wanted.add(at.root)
        if at.root not in _mirroring:  # else the thread at work looks once more before it ends
            importlib.import_module("concurrent.futures.thread")  # MLflow loads it, and it cannot be once a script ends
            _mirroring[at.root] = threading.Thread(target=_mirror_wanted, args=(at,), name="keelway-mirror")
            _mirroring[at.root].start()


def _mirror_wanted(at: Workspace) -> None:
    while True:
        with _lock:
            if at.root not in _wanted:
                del _mirroring[at.root]
                return
            _wanted.remove(at.root)
        try:
            sync(at)
        except KeelwayError as error:  # the edge of a thread: the runs are kept, and shown another time
            _LOG.warning("runs are kept, and wait to be mirrored (keelway runs sync): %s", error)


def _bare(folder: Path, *, clock: Clock, actor: str, progress: Callable[[str], None] | None = None) -> Workspace:
    """Return a place for runs in a folder without a project."""
    from keelway.app.wire import silent

    ignore = folder / ".keelway" / ".gitignore"
    ignore.parent.mkdir(parents=True, exist_ok=True)
    if not ignore.exists():
        ignore.write_text("*\n", "utf8")
    name = re.sub(r"[^a-z0-9_-]+", "-", folder.name.lower()).strip("-_")[:50]
    name = name if name[:1].isalpha() else f"runs-{name}".rstrip("-")
    settings = Settings(
        project=ProjectSettings(name=name, module="", actor=actor),
        signing=SigningSettings(name=name),
        principals={actor: PrincipalSettings(roles=("data-scientist",))},
    )
    return Workspace(folder, settings, clock=clock, actor=actor, progress=progress or silent)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user, as in some containers
        return "nobody"


def _code(at: Workspace, script: Path | None) -> CodeState:
    """Return what is executed now; it may have changed since the workspace was opened."""
    from keelway.train import code_state

    now = time.monotonic()
    with _lock:
        seen = _seen.get((at.root, script))
    if seen is not None and now - seen[0] < CODE_SEEN_S:
        return seen[1]
    found = code_state(at.root, _project_digest(at, script))
    with _lock:
        _seen[at.root, script] = (now, found)
    return found


def _project_digest(at: Workspace, script: Path | None) -> Digest:
    """Return the digest of a project's code; without a project that of the script."""
    from keelway.project import project_digest

    if at.settings.project.module:
        return project_digest(at.root, at.settings.project.source)
    path = script or _main_file()
    return digest_file(path) if path is not None else digest_bytes(b"")


def _main_file() -> Path | None:
    found = getattr(sys.modules.get("__main__"), "__file__", None)
    path = Path(found) if found else None
    return path if path is not None and path.is_file() else None


def _told(at: Workspace, script: Path) -> str:
    """Return the path of a script as seen from the project, or its name alone where it is elsewhere."""
    path = script.resolve()
    return path.relative_to(at.root).as_posix() if path.is_relative_to(at.root) else path.name


def _script() -> tuple[str, ...]:
    """Return the command of a script; empty in a notebook or a prompt, which have none."""
    path = _main_file()
    return (str(path), *sys.argv[1:]) if path is not None else ()
