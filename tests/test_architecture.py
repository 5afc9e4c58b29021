"""A slice is entered only through its `__init__`, and a class name is defined once."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "keelway"
SLICES = {
    "core", "ledger", "project", "identity", "privacy", "ingest", "contract", "snapshot", "features", "train", "evaluate", "register",
    "promote", "deploy", "serve", "monitor", "retrain", "report", "flow",
}  # fmt: skip
DOORS = {
    "keelway.deploy.analysis",
    "keelway.ledger.ports",
    "keelway.ledger.merkle",
    "keelway.ledger.keys",
    "keelway.features.blocks",
    "keelway.monitor.rollout",
    "keelway.serve.wire",
    "keelway.train.networks",
    "keelway.train.stages",
    "keelway.train.tracking",
    "keelway.train.tuning",
}
"""Public modules beside an `__init__`: ports, the pure Merkle tree, what users import by name, and a part with a door."""
FILES = sorted(path for path in SOURCE.rglob("*.py") if not path.is_relative_to(SOURCE / "template" / "plain"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text("utf8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_slice_is_entered_only_through_its_door(path: Path) -> None:
    home = path.relative_to(SOURCE).parts[0]
    wrong = [
        f"line {line}: {module}"
        for line, module in imports(path)
        if module.count(".") > 1
        and module.startswith("keelway.")
        and (inside := module.split(".")[1]) in SLICES
        and inside != home
        and module not in DOORS
    ]
    assert not wrong


def test_a_class_name_is_defined_once() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        for node in ast.parse(path.read_text("utf8")).body:
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(path.relative_to(SOURCE).as_posix())
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def test_every_duckdb_is_opened_in_utc_and_silent() -> None:
    opened = {path for path in FILES if re.search(r"\bduckdb\.connect\(", path.read_text("utf8"))}
    told = {path for path in FILES if "DUCKDB_SESSION" in path.read_text("utf8")}
    assert opened <= told
