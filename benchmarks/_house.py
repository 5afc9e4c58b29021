"""`keelway serve` as a user starts it, on a project that `_scoring.make_project` made."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from _programs import first_json, started
from _scoring import ENVIRONMENT, MODEL

HERE = Path(__file__).parent
TOKEN = "bench"
CONTRACT = """
apiVersion: v3.0.2
kind: DataContract
id: rows
name: rows
version: 1.0.0
status: active
schema:
  - name: rows
    properties:
      - {name: entity, logicalType: string, required: true, primaryKey: true}
      - {name: at, logicalType: timestamp, required: true}
"""
TOML = """
[project]
name = "bench"
module = "_scoring_project"
source = "{source}"
actor = "sp:bench"
[engines]
state = "sqlite:state.db"
artifacts = "artifacts"
tracking = ""
journals = "journals"
[signing]
name = "bench"
key = "file:key.pem"
public_key = "key.pub"
[serving]
last_good = "last-good"
{serving}
[environments.prod]
[principals."sp:bench"]
roles = ["deployer"]
token_sha256 = "{token}"
"""


@dataclass(frozen=True, slots=True)
class House:
    """A running server: its address, its supervisor (or only process), and its workers where there are several."""

    process: subprocess.Popen[str]
    port: int
    workers: Sequence[int]


def write_settings(folder: Path, serving: str = "") -> None:
    """Write what the command line needs beside the project; `serving` are lines of that section."""
    token = hashlib.sha256(TOKEN.encode()).hexdigest()
    (folder / "c.yaml").write_text(CONTRACT)
    (folder / "keelway.toml").write_text(TOML.format(source=HERE, token=token, serving=serving))


@contextlib.contextmanager
def served(folder: Path, *, workers: int = 1, kind: str = "logistic", prefix: Sequence[str] = ()) -> Iterator[House]:
    """Run the server.

    Args:
        prefix: A command that runs the server in its turn, under some limit.

    Raises:
        NotStartedError: It does not come to answer.
    """
    words = ["serve", MODEL, "--env", ENVIRONMENT, "--port", "0", "--workers", str(workers), "--json"]
    with started([*prefix, *command(folder, *words)], folder=folder, **variables(kind)) as process:
        told = first_json(process, folder)
        yield House(process, urlsplit(told["ready"]).port or 0, told.get("workers", ()))


def keelway(folder: Path, *words: str) -> None:
    """Run a command that has to succeed."""
    subprocess.run(command(folder, *words), check=True, stdout=subprocess.DEVNULL, env={**os.environ, **variables()})


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "keelway", *words, "--project", str(folder)]


def variables(kind: str = "logistic") -> dict[str, str]:
    return {"KEELWAY_TOKEN": TOKEN, "KEELWAY_BENCH_KIND": kind}
