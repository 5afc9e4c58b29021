"""Servers as processes: started in a session of their own, measured with all that they start, and ended by their ids (Linux)."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_S, ANSWER_S, STOP_S = 120.0, 20.0, 20.0
OUTPUT, ERRORS = "output.txt", "errors.txt"
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class NotStartedError(Exception):
    """A server did not come to answer."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tree of processes has taken: processor time since its start, and memory now."""

    cpu_s: float
    resident_mb: float


@contextlib.contextmanager
def started(command: Sequence[str], *, folder: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run a server, one at a time in a folder, and end it and all it started whatever happens.

    What it writes goes into `output.txt` and `errors.txt`: into a pipe that nobody reads, a server that writes a line for each
    request stops for ever after some hundred of them.
    """
    folder.mkdir(exist_ok=True)
    with (folder / OUTPUT).open("w") as output, (folder / ERRORS).open("a") as errors:
        server = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, text=True, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        )  # fmt: skip
    try:
        yield server
    finally:
        end(server)


def end(server: subprocess.Popen[str]) -> None:
    """Ask a server to end, and make it and what it left end; at once where somebody interrupts the waiting."""
    family = {pid: _born(pid) for pid in tree(server.pid)}
    server.terminate()
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_S)
    finally:
        server.kill()
        server.wait()
        family |= {pid: _born(pid) for pid in _of_session(server.pid)}
        for pid, born in family.items():
            if born and _born(pid) == born:  # not another one that has its number by now
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def ends_tidily() -> None:
    """Have this program end like after Ctrl-C, and so with all servers, when it is asked to end or its terminal closes."""
    for asked in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(asked, signal.default_int_handler)


def tree(root: int) -> list[int]:
    """Return a process and all that it and those started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _of_session(leader: int) -> list[int]:
    """Return the processes of a session, also those whose parent ended before them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(_stat(int(entry.name))[3]) == leader:
                found.append(int(entry.name))
    return found


def usage(root: int) -> Usage:
    """Return what a process and all that it started have taken; of those that ended, what their parents waited for."""
    ticks = pages = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            stat = _stat(pid)
            ticks += sum(map(int, stat[11:15]))
            pages += int(stat[21])
    return Usage(ticks * _TICK_S, pages * _PAGE / 1e6)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on (field 3 of proc(5) is place 0)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _born(pid: int) -> str:
    """Return when a process began, in ticks since the machine did; empty where it is gone."""
    try:
        return _stat(pid)[19]
    except OSError:
        return ""


def alone(file: str, folder: Path, way: str, rows: int) -> dict[str, Any]:
    """Return the JSON that a benchmark's file prints of one way, in a fresh process, so that its memory is its own."""
    command = [sys.executable, file, "--way", way, "--rows", str(rows), "--folder", str(folder)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def wait_for(server: subprocess.Popen[str], port: int, path: str, body: str, folder: Path) -> None:
    """Wait until a server gives its first answer.

    Raises:
        NotStartedError: It ended, or gives none in time.
    """
    deadline, last = time.monotonic() + START_S, "no connection"
    while time.monotonic() < deadline and server.poll() is None:
        try:
            post(port, path, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            last = f"{type(error).__name__}: {error}"
            time.sleep(0.2)
        else:
            return
    raise NotStartedError(f"It did not answer ({last}). It wrote: {_written(folder)}")


def post(port: int, path: str, body: str) -> Any:
    """Return the JSON answer to one request.

    Raises:
        ValueError: The answer is not one of status 200 in JSON.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        connection.request("POST", path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise ValueError(f"{answer.status}: {data[:500].decode(errors='replace')}")
        return json.loads(data)
    finally:
        connection.close()


def first_json(server: subprocess.Popen[str], folder: Path) -> Mapping[str, Any]:
    """Return the JSON object that a server prints when it is ready.

    Raises:
        NotStartedError: It ended without, or prints none in time.
    """
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        has_ended = server.poll() is not None
        with contextlib.suppress(ValueError):  # not whole yet
            found: tuple[dict[str, Any], int] = json.JSONDecoder().raw_decode((folder / OUTPUT).read_text())
            return found[0]
        if has_ended:
            break
        time.sleep(0.02)
    raise NotStartedError(f"It did not get ready. It wrote: {_written(folder)}")


def _written(folder: Path) -> str:
    return ((folder / OUTPUT).read_text() + (folder / ERRORS).read_text())[-2000:]
