"""A slice's names are loaded when they are asked for, and mean the same as if all had been."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import keelway

SOURCE = Path(keelway.__file__).parent
OPENED = sorted(path for path in SOURCE.rglob("__init__.py") if "open_door(__name__)" in path.read_text("utf8"))


def package_of(path: Path) -> str:
    return ".".join(["keelway", *path.parent.relative_to(SOURCE).parts])


def typed_names(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield each name that type checkers see, with the module that it comes from and its name there."""
    for block in ast.parse(path.read_text("utf8")).body:
        if isinstance(block, ast.If):
            for line in block.body:
                assert isinstance(line, ast.ImportFrom)
                yield from ((each.asname or each.name, str(line.module), each.name) for each in line.names)


def test_slices_have_such_doors() -> None:
    assert {"keelway.promote", "keelway.register", "keelway.deploy", "keelway.evaluate"} <= set(map(package_of, OPENED))


@pytest.mark.parametrize("path", OPENED, ids=package_of)
def test_each_public_name_is_what_its_module_defines(path: Path) -> None:
    package, names = importlib.import_module(package_of(path)), list(typed_names(path))
    assert sorted(package.__all__) == sorted(name for name, _, _ in names)
    assert set(package.__all__) <= set(dir(package))
    for name, module, there in names:
        assert getattr(package, name) is getattr(importlib.import_module(module), there)


@pytest.mark.parametrize("path", OPENED, ids=package_of)
def test_an_unknown_name_is_an_attribute_error(path: Path) -> None:
    with pytest.raises(AttributeError, match=f"module '{package_of(path)}' has no attribute 'nonsense'"):
        _ = importlib.import_module(package_of(path)).nonsense


@pytest.mark.parametrize("first", ["keelway.deploy.deploy", "keelway.deploy"])
def test_a_function_keeps_its_name_from_the_module_of_the_same_name(first: str) -> None:
    code = f"import {first}; import keelway.deploy.assign; from keelway.deploy import assign, deploy; assert callable(deploy)"
    subprocess.run([sys.executable, "-c", f"{code}; assert callable(assign)"], check=True)


def test_a_submodule_can_still_be_imported_by_name() -> None:
    code = "from keelway.deploy import record; assert record.__name__ == 'keelway.deploy.record'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_entering_a_slice_loads_only_what_is_asked_for() -> None:
    code = "import sys; from keelway.register import ModelVersion; print([n for n in sys.modules if n.startswith('keelway.register.')])"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert ast.literal_eval(told) == ["keelway.register.records"]
