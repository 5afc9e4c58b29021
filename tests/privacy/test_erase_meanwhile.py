"""An erasure and an ingest at once, in every order, and one after the other was killed: nobody erased comes back."""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keelway.app import App
from keelway.app.traces import text_pattern
from keelway.contract import CheckedBatch
from keelway.core import digest_bytes
from keelway.errors import ConflictError, UsageError
from keelway.ingest import Batch
from keelway.privacy import Erasure, Keyring, KeyVault, Tokens, unfinished
from keelway.snapshot import newest, read, snapshots, take
from keelway.testing import people
from keelway.testing.crash import EXIT_CODE, CrashingArtifacts, CrashingState, CrashingTables, CrashPoint, swept

WHO = "ana"
OTHERS = "bo,bo@x.org,2026-01-01,1\n"
FIRST = f"ana,ana@x.org,2026-01-01,1\n{OTHERS}"
SECOND = "ana,ana@second.org,2026-01-02,2\ncy,cy@x.org,2026-01-02,2\nana,ana@third.org,2026-01-02,-2\n"
THIRD = "bo,bo@x.org,2026-01-03,3\nana,ana@x.org,2026-01-03,3\n"


class Instants(CrashPoint):
    """Counts instants like a crash point, and lets something happen at the chosen one."""

    def __init__(self, at: int, happening: Callable[[], None]) -> None:
        super().__init__(at)
        self._happening = happening

    def pass_by(self) -> None:
        self.count += 1
        if self.count == self.at:
            self._happening()


class WatchedVault:
    """A key vault with an instant before and after each change."""

    def __init__(self, inner: KeyVault, instants: CrashPoint) -> None:
        self._inner, self._instants = inner, instants

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in ("add_value_keys", "add_artifact_key", "destroy_values", "destroy_artifacts"):
            return found

        def watched(*values: Any, **named: Any) -> Any:
            self._instants.pass_by()
            done = found(*values, **named)
            self._instants.pass_by()
            return done

        return watched


def watch(app: App, instants: CrashPoint) -> None:
    """Let every write of an app pass by instants."""
    at = app.workspace
    ring = at.safe.keyring
    at.safe.__dict__["keyring"] = watched = Keyring(ring.tenant, WatchedVault(ring.vault, instants))
    sealed = at.safe.personal.artifacts
    sealed._inner = CrashingArtifacts(sealed._inner, instants)
    at.safe.personal.tokens._vault = watched.vault
    at.__dict__["state"] = CrashingState(at.state, instants)
    at.__dict__["tables"] = CrashingTables(at.tables, instants)


def filled(root: Path) -> Path:
    """Make a project with one version, and a file that waits in the object store."""
    people.make(root)
    people.upload(root, "1.csv", FIRST)
    with people.opened(root) as app:
        app.data.ingest()
    people.upload(root, "2.csv", SECOND)
    return root


def readable_texts(app: App) -> list[bytes]:
    """Return the plain bytes of everything sealed that can still be opened."""
    artifacts = app.workspace.artifacts
    return [artifacts.get(digest) for digest in sorted(app.workspace.safe.keyring.vault.live_artifacts())]


def holding(app: App) -> int:
    return sum(bool(text_pattern(WHO).search(text)) for text in readable_texts(app))


def tokens_by_version(app: App) -> dict[int, list[str]]:
    """Return the people of each version, in the order of the rows."""
    import duckdb

    at = app.workspace
    with at.state.snapshot() as tx:
        every = snapshots("visits", tx)
    found = {}
    for each in every:
        paths = [str(path) for path in read(each, tables=at.tables, artifacts=at.artifacts)]
        query = "SELECT person FROM read_parquet($paths) ORDER BY day, _row"
        with duckdb.connect() as connection:
            found[each.number] = [row[0] for row in connection.execute(query, {"paths": paths}).fetchall()]
    return found


def mails(app: App) -> list[str]:
    known = app.workspace.personal.tokens.known
    return [each for name in ("ana", "second", "third") for each in known(f"ana@{name}.org", "direct")]


def facts(root: Path) -> dict[str, Any]:
    """Return how things stand."""
    with people.opened(root) as app:
        at = app.workspace
        with at.state.snapshot() as tx:
            erasures, left = tx.newest(Erasure), len(unfinished(tx))
        return {
            "known": at.personal.tokens.known(WHO) + mails(app),
            "holding": holding(app),
            "versions": tokens_by_version(app),
            "listed": sorted(used.name for erasure in erasures for used in erasure.uses.snapshots),
            "left": left,
            "problems": app.evidence.audit().problems,
        }


def old_tokens(root: Path) -> list[str]:
    with people.opened(root) as app:
        return app.workspace.personal.tokens.known(WHO)


def proven(before: dict[str, Any], after: dict[str, Any], old: str) -> list[str]:
    """Return what does not hold: right after an erasure, and after the next ingest."""
    wrong = []
    if before["known"] or before["holding"] or before["left"]:
        wrong.append(f"the erasure is not whole: {before}")
    with_old = [number for number, names in before["versions"].items() if old in names]
    if before["listed"] != [f"visits {number}" for number in sorted(with_old)]:
        wrong.append(f"the list is {before['listed']}, the versions are {with_old}")
    inherited = max(names.count(old) for names in before["versions"].values())
    made = after["versions"].keys() - before["versions"].keys()
    more = [number for number in sorted(made) if after["versions"][number].count(old) > inherited]
    wrong += [f"version {number} has new rows under the old token" for number in more]
    if after["problems"] or after["left"]:
        wrong.append(f"the audit finds {after['problems']}")
    return wrong


# At once: an erasure begins at each instant of an ingest that goes on.


def begun_at(root: Path, instant: int) -> tuple[int, Exception | None]:
    """Ingest, and let an erasure begin at an instant; return how many instants there are and how the ingest ended."""
    ended: list[Exception] = []

    def erase() -> None:
        try:
            with people.opened(root) as app:
                app.privacy.erase(WHO)
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=erase)

    def happening() -> None:
        thread.start()
        for _ in range(
            100
        ):  # no longer: inside a transaction of the ingest it waits for the state, and not at the door
            if not thread.is_alive() or waits_at_the_door(root):
                return
            time.sleep(0.01)

    instants = Instants(instant, happening)
    failed: Exception | None = None
    with people.opened(root) as app:
        watch(app, instants)
        try:
            app.data.ingest()
        except ConflictError as error:
            failed = error
    if instant:
        thread.join()
    assert ended == []
    return instants.count, failed


def waits_at_the_door(root: Path) -> bool:
    with (root / ".keelway/keys/door.lock").open("rb") as door:
        try:
            fcntl.flock(door, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.crash
def test_an_erasure_that_begins_at_any_instant_of_an_ingest_is_whole(tmp_path: Path) -> None:
    made = filled(tmp_path / "made")
    [old] = old_tokens(made)
    shutil.copytree(made, tmp_path / "counted")
    count, _ = begun_at(tmp_path / "counted", 0)
    assert count > 15
    wrong = []
    for instant in swept(count):
        root = tmp_path / str(instant)
        shutil.copytree(made, root)
        _, failed = begun_at(root, instant)
        before = facts(root)
        people.upload(root, "3.csv", THIRD, at="2026-02-03T00:00:00Z")
        with people.opened(root) as app:
            app.data.ingest()
        wrong += [f"{instant}: {each}" for each in proven(before, facts(root), old)]
        wrong += [f"{instant}: {failed}"] * (failed is not None)
    assert wrong == []


def test_an_ingest_that_comes_while_an_erasure_is_at_it_waits(tmp_path: Path) -> None:
    root = filled(tmp_path / "people")
    [old] = old_tokens(root)
    done: list[str] = []

    def ingest() -> None:
        with people.opened(root) as app:
            app.data.ingest()
            done.append("ingest")

    thread = threading.Thread(target=ingest)
    with people.opened(root) as app:
        watch(app, Instants(1, thread.start))
        app.privacy.erase(WHO)
        done.append("erase")
    thread.join()
    assert done == ["erase", "ingest"]
    after = facts(root)
    assert after["versions"][2].count(old) == 1, "the row of the first version, which nobody is behind any more"
    assert old not in after["known"]


def test_the_next_file_gives_the_person_a_new_token(tmp_path: Path) -> None:
    root = filled(tmp_path / "people")
    [old] = old_tokens(root)
    with people.opened(root) as app:
        app.privacy.erase(WHO)
        app.data.ingest()
        [new] = app.workspace.personal.tokens.known(WHO)
        assert new != old
        assert tokens_by_version(app)[2].count(new) == 1


def test_a_version_that_appears_during_the_search_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = filled(tmp_path / "people")
    with people.opened(root) as app:
        app.data.ingest()
    once = [True]

    def compacted() -> None:
        if once and once.pop():
            with people.opened(root) as other:
                other.snapshots.compact("visits")

    with people.opened(root) as app:
        at = app.workspace
        at.__dict__["state"] = CrashingState(at.state, Instants(1, compacted))
        answer = app.privacy.erase(WHO)
    assert [used.name for used in answer.erasure.uses.snapshots] == ["visits 1", "visits 2", "visits 3"]
    assert answer.erasure.number == 1


def test_an_erasure_gives_up_where_versions_never_stop(tmp_path: Path) -> None:
    root = filled(tmp_path / "people")

    class Endless(CrashPoint):
        def pass_by(self) -> None:
            self.count += 1
            with people.opened(root) as other:
                at = other.workspace
                with at.state.transaction() as tx:
                    number = tx.count(Batch) + 1
                    tx.insert(f"other/{number}", Batch("other", number, (), (), at.now(), None), at=at.now())

    with people.opened(root) as app:
        at = app.workspace
        at.__dict__["state"] = CrashingState(at.state, Endless())
        with pytest.raises(UsageError, match="keeps coming in"):
            app.privacy.erase(WHO)
    with people.opened(root) as app, app.workspace.state.snapshot() as tx:
        assert tx.count(Erasure) == 0


# Killed: an ingest that died anywhere leaves nothing that an erasure does not find.


def test_rows_that_were_checked_before_the_erasure_are_in_no_version_after_it(tmp_path: Path) -> None:
    root = filled(tmp_path / "people")
    with people.opened(root) as app:
        app.workspace.__dict__["tables"] = Broken()
        with pytest.raises(KeyboardInterrupt):
            app.data.ingest()
    with people.opened(root) as app:
        at = app.workspace
        with at.state.snapshot() as tx:
            [stale] = [item for item in tx.newest(CheckedBatch) if item.rows_quarantined]
        answer = app.privacy.erase(WHO)
        assert digest_bytes((root / "raw/2.csv").read_bytes()) in answer.erasure.artifacts
        assert mails(app) == [], "also of what stands beside the person in rows that are in no version"
        with pytest.raises(ConflictError, match="was erased meanwhile"):
            take(stale, tables=at.tables, artifacts=at.artifacts, state=at.state, now=at.now(), actor=at.principal.id)
        app.data.ingest()
        with at.state.snapshot() as tx:
            assert newest("visits", tx).number == 1, "the file is left out, and nothing else was in the batch"
    people.upload(root, "3.csv", THIRD, at="2026-02-03T00:00:00Z")
    with people.opened(root) as app:
        app.data.ingest()
        assert len(tokens_by_version(app)[2]) == 4


class Broken:
    """Tables of a machine that is switched off when rows are staged."""

    def stage(self, *_: Any, **__: Any) -> None:
        raise KeyboardInterrupt


def test_an_ingest_finishes_an_erasure_that_was_killed_before_it_takes_anything_in(tmp_path: Path) -> None:
    root = filled(tmp_path / "people")
    [old] = old_tokens(root)
    with people.opened(root) as app:
        at = app.workspace
        ring = at.safe.keyring
        at.safe.__dict__["keyring"] = Keyring(ring.tenant, WatchedVault(ring.vault, Instants(1, interrupted)))
        with pytest.raises(KeyboardInterrupt):
            app.privacy.erase(WHO)
        assert app.privacy.unfinished() == (1,)
        assert Tokens(ring.tenant, ring.vault).known(WHO) == [old]
    with people.opened(root) as app:
        app.data.ingest()
        assert app.privacy.unfinished() == ()
        assert app.workspace.personal.tokens.known(WHO) != [old]
        assert tokens_by_version(app)[2].count(old) == 1


def interrupted() -> None:
    raise KeyboardInterrupt


def forked(work: Callable[[], object], told: Path) -> int:
    """Run something in a child, which writes down what it gives; return how the child ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            told.write_text(json.dumps(work()))
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def ingest_and_die(root: Path, at: int) -> int:
    crash = CrashPoint(at)
    with people.opened(root) as app:
        watch(app, crash)
        app.data.ingest()
    return crash.count


def erase_and_go_on(root: Path) -> list[str]:
    [old] = old_tokens(root)
    with people.opened(root) as app:
        app.privacy.erase(WHO)
    before = facts(root)
    people.upload(root, "3.csv", THIRD, at="2026-02-03T00:00:00Z")
    with people.opened(root) as app:
        app.data.ingest()
    return proven(before, facts(root), old)


def killed_anywhere(folder: Path) -> tuple[int, list[str]]:
    """Kill an ingest at each write, erase, ingest again; return how many writes there are, and what went wrong."""
    for module in ("deltalake", "duckdb", "pyarrow.parquet", "sqlalchemy", "open_data_contract_standard.model"):
        importlib.import_module(module)  # once, not in every child; none of them starts a thread when imported
    made, told = folder / "made", folder / "told.json"
    assert forked(lambda: str(filled(made)), told) == 0
    shutil.copytree(made, folder / "whole")
    assert forked(lambda: ingest_and_die(folder / "whole", 0), told) == 0
    count = json.loads(told.read_text())
    wrong = []
    for at in swept(count):
        root = folder / f"at-{at}"
        shutil.copytree(made, root)
        if forked(lambda root=root, at=at: ingest_and_die(root, at), told) != EXIT_CODE:
            wrong.append(f"{at}: did not die")
        if forked(lambda root=root: erase_and_go_on(root), told) != 0:
            wrong.append(f"{at}: could not go on")
        else:
            wrong += [f"{at}: {each}" for each in json.loads(told.read_text())]
    return count, wrong


@pytest.mark.crash
def test_killed_at_any_write_an_ingest_leaves_nothing_that_an_erasure_does_not_find(tmp_path: Path) -> None:
    start = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom pathlib import Path\n"
    code = start + "import json, test_erase_meanwhile as t\nprint(json.dumps(t.killed_anywhere(Path(sys.argv[1]))))"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    writes, wrong = json.loads(done.stdout)
    assert wrong == []
    assert writes > 15
