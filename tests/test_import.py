"""`import keelway` costs next to nothing, and every public name is there."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import keelway

HEAVY = {"pandas", "numpy", "pyarrow", "mlflow", "sqlalchemy", "duckdb", "ibis", "fastapi"}
PROBE = "import sys; {}; print(len(sys.modules)); print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"


@pytest.mark.parametrize(("statement", "most"), [("import keelway", 150), ("import keelway.project", 250)])
def test_importing_is_light(statement: str, most: int) -> None:
    run = [sys.executable, "-c", PROBE.format(statement)]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}  # it loads modules
    count, names = subprocess.run(run, capture_output=True, text=True, check=True, env=alone).stdout.splitlines()

    assert int(count) <= most
    assert HEAVY & set(names.split()) == set()


def test_public_names_are_sorted_and_known_to_the_type_checker() -> None:
    tree = ast.parse(Path(keelway.__file__).read_text())
    typed = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert keelway.__all__ == sorted(keelway.__all__)
    assert set(keelway.__all__) - {"__version__"} == typed - {"annotations", "TYPE_CHECKING"}


@pytest.mark.parametrize("name", keelway.__all__)
def test_each_public_name_can_be_imported(name: str) -> None:
    assert getattr(keelway, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = keelway.nonsense  # type: ignore[attr-defined]
