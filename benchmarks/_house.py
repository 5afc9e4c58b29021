"""`keelway serve` as a user starts it, on a project that `_scoring.make_project` made."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from _programs import first_json, started
from _scoring import ENVIRONMENT, MODEL

HERE = Path(__file__).parent
TOKEN = "bench"
ENDS = (0, 4)
"""Done, or decided and recorded while a server still lags."""
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
GATE = """
package keelway.gate

rules contains "parity"

deny contains reason if some reason in data.keelway.lib.parity
"""
TOML = """
[project]
name = "bench"
module = "{module}"
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
policy = "policies"
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


def write_settings(folder: Path, serving: str = "", module: str = "_scoring_project") -> None:
    """Write what the command line needs beside the project; `serving` are lines of that section."""
    token = hashlib.sha256(TOKEN.encode()).hexdigest()
    (folder / "c.yaml").write_text(CONTRACT)
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "gate.rego").write_text(GATE)
    (folder / "keelway.toml").write_text(TOML.format(source=HERE, module=module, token=token, serving=serving))


@contextlib.contextmanager
def served(
    folder: Path, *models: str, workers: int = 1, kind: str = "logistic", prefix: Sequence[str] = ()
) -> Iterator[House]:
    """Run the server of some models; of `MODEL` where none is named.

    Args:
        prefix: A command that runs the server in its turn, under some limit.

    Raises:
        NotStartedError: It does not come to answer.
    """
    words = ["serve", *(models or (MODEL,)), "--env", ENVIRONMENT, "--port", "0", "--workers", str(workers), "--json"]
    with started([*prefix, *command(folder, *words)], folder=folder, **variables(kind)) as process:
        told = first_json(process, folder)
        yield House(process, urlsplit(told["ready"]).port or 0, told.get("workers", ()))


def keelway(folder: Path, *words: str) -> None:
    """Run a command that has to succeed; whether servers follow within its own wait is measured elsewhere."""
    ran = subprocess.run(command(folder, *words), check=False, stdout=subprocess.DEVNULL, env=_environment())
    if ran.returncode not in ENDS:
        ran.check_returncode()


def told(folder: Path, *words: str, within_s: float = 60.0) -> Mapping[str, Any]:
    """Run a command that has to succeed, and return what it says in JSON; what it says on the way is in `said.txt`."""
    with (folder / "said.txt").open("a") as said:
        ran = subprocess.run(
            command(folder, *words, "--json"), check=False, stdout=subprocess.PIPE, stderr=said, text=True,
            timeout=within_s, env=_environment(),
        )  # fmt: skip
    if ran.returncode not in ENDS:
        raise SystemExit(
            f"{' '.join(words)} ended with {ran.returncode}: {ran.stdout}{(folder / 'said.txt').read_text()}"
        )
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def take_away(folder: Path) -> None:
    """Put garbage in the place of the state and of the artifacts."""
    (folder / "state.db").rename(folder / "state.away")
    (folder / "artifacts").rename(folder / "artifacts.away")
    (folder / "state.db").write_bytes(b"no database " * 1000)
    (folder / "artifacts").write_bytes(b"")


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "keelway", *words, "--project", str(folder)]


def _environment() -> dict[str, str]:
    """Return the environment of a command, without the switch that forbids bytecode: a user's command starts from it."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**own, **variables()}


def variables(kind: str = "logistic") -> dict[str, str]:
    return {"KEELWAY_TOKEN": TOKEN, "KEELWAY_BENCH_KIND": kind}
