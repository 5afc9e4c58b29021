"""A small shop, a small project of it trained once, and a command line to use it with."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import http.client
import io
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from keelway.surfaces.cli.main import main
from keelway.surfaces.cli.start import equip
from keelway.template import copy_example

FIRST = "1998-01-02T00:00:00Z"
LATER = "1998-07-02T12:00:00Z"
AS_OF = "1998-01-01T00:00:00Z"
RELEASE = ("--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token")
CUSTOMERS = 600
START, END = date(1997, 1, 1), date(1998, 6, 30)
HEADER = ("order_id", "customer_id", "order_date", "units", "amount")
TIMEOUT_S = 60


def orders() -> list[tuple[str, str, str, int, str]]:
    """Return every order of a shop in which half of the customers stop coming at some day; always the same."""
    rng = random.Random(7)
    bought: list[tuple[date, str, int, str]] = []
    for number in range(CUSTOMERS):
        mean_gap_d = rng.choice((12, 25, 45))
        day = START + timedelta(days=rng.randrange(60))
        last = day + timedelta(days=rng.randrange(200 if rng.random() < 0.35 else 1100))
        while day <= min(last, END):
            bought.append((day, f"{number:05d}", rng.randint(1, 5), f"{rng.uniform(5, 60):.2f}"))
            day += timedelta(days=1 + int(rng.expovariate(1 / mean_gap_d)))
    bought.sort()
    return [(f"o{i:06d}", who, day.isoformat(), units, paid) for i, (day, who, units, paid) in enumerate(bought)]


def upload(root: Path, *, until: str) -> list[Path]:
    """Put the shop's files into the object store: one a week, uploaded at 03:00 on the day after the week's last."""
    weeks: dict[date, list[tuple[str, str, str, int, str]]] = {}
    for order in orders():
        day = date.fromisoformat(order[2])
        weeks.setdefault(START + timedelta(days=(day - START).days // 7 * 7 + 6), []).append(order)
    written = []
    for last, rows in sorted(weeks.items()):
        moment = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1, hours=3)
        if moment >= datetime.fromisoformat(until):
            continue
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
        path = root / "raw" / "transactions" / f"dt={last}" / f"transactions-{last:%Y%m%d}.csv"
        if not path.exists():
            path.parent.mkdir(parents=True)
            path.write_text(text.getvalue())
            os.utime(path, (moment.timestamp(), moment.timestamp()))
        written.append(path)
    return written


@dataclass
class Server:
    """A running `keelway serve`."""

    process: subprocess.Popen[str]
    address: str

    def connect(self) -> http.client.HTTPConnection:
        host = urlsplit(self.address)
        return http.client.HTTPConnection(host.hostname or "", host.port, timeout=TIMEOUT_S)

    def ask(
        self, path: str, body: bytes | str | None = None, *, over: http.client.HTTPConnection | None = None
    ) -> tuple[int, bytes]:
        """Send one request and return status and body."""
        connection = over or self.connect()
        connection.request("GET" if body is None else "POST", path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        if over is None:
            connection.close()
        return answer.status, data

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode


@dataclass
class Desk:
    """A project and a command line at some moment."""

    root: Path
    now: str = FIRST
    started: list[Server] = field(default_factory=list)

    def at(self, now: str) -> Desk:
        return replace(self, now=now)

    def call(self, *words: str, json_wanted: bool = True) -> Result:
        """Run a command and return what came of it; nothing but a clean exit may leave a command."""
        line = [*words, "--now", self.now, *(("--json",) if json_wanted else ())]
        if "--project" not in words:
            line += ["--project", str(self.root)]
        result = CliRunner().invoke(main, line)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def __call__(self, *words: str) -> Any:
        """Run a command that must succeed and return its answer."""
        result = self.call(*words)
        assert result.exit_code == 0, f"{' '.join(words)}: {result.stderr}"
        return json.loads(result.stdout)

    def refused(self, *words: str) -> dict[str, Any]:
        """Run a command that must fail, and return the error it tells."""
        result = self.call(*words)
        assert result.exit_code != 0, f"{' '.join(words)}: {result.stdout}"
        assert result.stdout == ""
        told: dict[str, Any] = json.loads(result.stderr)
        assert told["what"]
        return told

    def upload(self, until: str) -> list[Path]:
        return upload(self.root, until=until)

    @property
    def database(self) -> Path:
        return self.root / ".keelway" / "state.db"

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement on the state database, as somebody with a hex editor could."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def standing(self) -> dict[str, Any]:
        """Return what a refused command may not change: records, pointers, ledger."""
        tables = [row[0] for row in self.sql("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(map(repr, self.sql(f'SELECT * FROM "{name}"'))) for name in tables}

    def ledger_size(self) -> int:
        return int(self("status")["ledger_size"])

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        text = path.read_text("utf8")
        assert old in text, f"{name} lacks {old!r}"
        path.write_text(text.replace(old, new), "utf8")

    def through_the_door(self, version: str = "churn:1") -> None:
        """Let a version into staging and production, as three people do."""
        self("risk", "assess", "churn", "--as", "user:olga")
        self("promote", version, "--to", "staging", *RELEASE)
        self("promote", version, "--to", "prod", "--request")
        self("approve", version, "--to", "prod", "--as", "user:bo")
        self("promote", version, "--to", "prod", *RELEASE)

    def artifact(self, digest: str) -> Path:
        """Return the file of an artifact."""
        hexadecimal = digest.removeprefix("sha256:")
        for path in (self.root / ".keelway" / "artifacts").rglob("*"):
            if path.is_file() and path.as_posix().replace("/", "").endswith(hexadecimal):
                return path
        raise AssertionError(f"no file of {digest}")

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "keelway", *words, "--project", str(self.root), "--now", self.now, "--json"]

    def serve(self, *words: str) -> Server:
        """Start `keelway serve` in a process of its own and wait until it is ready."""
        process = subprocess.Popen(
            self.command("serve", "churn", "--port", "0", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            if line.rstrip() == "}":
                server = Server(process, json.loads(text)["ready"])
                self.started.append(server)
                return server
        raise AssertionError(f"the server did not start: {process.communicate()[1]}")

    def rows(self, count: int) -> list[dict[str, Any]]:
        """Return request bodies of real customers."""
        from keelway.app import App

        app = App.open(self.root)
        try:
            return app.traffic.requests("churn", as_of=datetime.fromisoformat(AS_OF), limit=count)
        finally:
            app.close()


def flip_byte(path: Path, at: int | None = None) -> None:
    """Change one byte of a file in its middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


@pytest.fixture(autouse=True)
def nobody_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the machine's own environment says about Keelway."""
    for name in [name for name in os.environ if name.startswith("KEELWAY_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def flip() -> Callable[..., None]:
    return flip_byte


@pytest.fixture(scope="session")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's project of the small shop: quick to train, and without MLflow."""
    root = tmp_path_factory.mktemp("small") / "churn"
    copy_example(root)
    equip(root)
    desk = Desk(root)
    toml = root / "keelway.toml"
    toml.write_text(re.sub(r"^tracking = .*$", 'tracking = ""', toml.read_text("utf8"), flags=re.MULTILINE), "utf8")
    desk.edit("src/churn/project.py", '"max_iter": 150', '"max_iter": 20')
    desk.edit("src/churn/project.py", '"min_samples_leaf": 100', '"min_samples_leaf": 20')
    desk.edit("src/churn/project.py", "min_rows=500", "min_rows=100")
    desk.edit("src/churn/project.py", "min_outcomes=500", "min_outcomes=100")
    tolerant = "onnx_tolerance=1e-3,  # extremes that cancel each other need more than 32 bits"
    desk.edit("src/churn/project.py", "    features=[activity],", f"    features=[activity],\n    {tolerant}")
    desk.edit("policies/production/gate.rego", "positives_at_least(200)", "positives_at_least(50)")
    desk.upload(FIRST)
    return root


@pytest.fixture(scope="session")
def trained_project(small_project: Path) -> Path:
    """The small project with one snapshot and one model version."""
    desk = Desk(small_project)
    desk("ingest")
    desk("run")
    return small_project


@pytest.fixture(scope="session")
def live_project(trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project with version 1 behind the door and in charge of all traffic."""
    root = tmp_path_factory.mktemp("live") / "churn"
    shutil.copytree(trained_project, root)
    desk = Desk(root)
    desk.through_the_door()
    desk("deploy", "churn:1", *RELEASE)
    return root


def _copy(source: Path, folder: Path) -> Iterator[Desk]:
    shutil.copytree(source, folder / "churn")
    desk = Desk(folder / "churn")
    yield desk
    for server in desk.started:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()


@pytest.fixture(scope="session")
def served_twice_project(live_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The live project with version 2 in charge of all traffic and version 1 before it; nothing was served yet."""
    root = tmp_path_factory.mktemp("twice") / "churn"
    shutil.copytree(live_project, root)
    desk = Desk(root, LATER)
    desk.upload(LATER)
    desk("ingest")
    desk("run")
    desk.through_the_door("churn:2")
    desk("deploy", "churn:2", *RELEASE)
    return root


@pytest.fixture
def served_twice(served_twice_project: Path, tmp_path: Path) -> Iterator[Desk]:
    """A copy of the project whose traffic moved from version 1 to version 2."""
    yield from _copy(served_twice_project, tmp_path)


@pytest.fixture(scope="session")
def served_before_project(served_twice_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project whose traffic moved from version 1 to version 2, after a server was there and ended."""
    root = tmp_path_factory.mktemp("before") / "churn"
    shutil.copytree(served_twice_project, root)
    assert Desk(root).serve(*RELEASE).stop() == 0
    return root


@pytest.fixture
def served_before(served_before_project: Path, tmp_path: Path) -> Iterator[Desk]:
    """A copy of the project that a server left behind."""
    yield from _copy(served_before_project, tmp_path)


@pytest.fixture
def trained(trained_project: Path, tmp_path: Path) -> Iterator[Desk]:
    """A copy of the trained project, to be used as one likes."""
    yield from _copy(trained_project, tmp_path)


@pytest.fixture
def live(live_project: Path, tmp_path: Path) -> Iterator[Desk]:
    """A copy of the project with live traffic, to be used as one likes."""
    yield from _copy(live_project, tmp_path)


@pytest.fixture
def desk_at() -> Callable[[Path], Desk]:
    """Make a desk of a folder."""
    return Desk


@pytest.fixture(scope="session")
def desk_of() -> Callable[[Path], Desk]:
    """Make a desk of a folder, also for what a whole module shares."""
    return Desk


@pytest.fixture
def digest_of_file() -> Callable[[Path], str]:
    return lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
