"""Loading a project finds today's code of the right folder, or says what is wrong."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from keelway.errors import ProjectError
from keelway.project import load_project, project_digest

GOOD = (
    "from keelway.project import Project\nfrom shop_under_test import names\nproject = Project(names.NAME, models=())\n"
)


def write(root: Path, text: str = GOOD, *, name: str = "shop") -> Path:
    package = root / "src" / "shop_under_test"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "names.py").write_text(f"NAME = {name!r}\n")
    (package / "project.py").write_text(text)
    return root


def load(root: Path, module: str = "shop_under_test.project") -> str:
    return load_project(root, module=module, source="src").name


def test_two_projects_of_one_name_do_not_mix(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", name="one"), write(tmp_path / "b", name="two")

    assert [load(first), load(second), load(first)] == ["one", "two", "one"]


def test_an_edited_helper_is_seen_at_once(tmp_path: Path) -> None:
    assert load(write(tmp_path, name="one")) == "one"
    assert load(write(tmp_path, name="two")) == "two"


@pytest.mark.parametrize("through_a_link", [False, True])
def test_modules_of_another_folder_are_left_alone_and_those_behind_a_link_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through_a_link: bool
) -> None:
    """A package that came by a link into the project, as an editable install may make one, is the project's own."""
    first, second = write(tmp_path / "a", name="one"), write(tmp_path / "b", name="two")
    beside = tmp_path / "ab" / "src"  # its name only begins like the first one's
    beside.mkdir(parents=True)
    (beside / "left_alone.py").write_text("")
    (tmp_path / "link").symlink_to(first / "src" / "shop_under_test")
    where = tmp_path / "link" if through_a_link else beside
    known, link = ModuleType("known_by_link"), ModuleType("namespace_by_link")
    known.__file__ = str(where / "names.py")
    link.__path__ = [str(where)]
    monkeypatch.setitem(sys.modules, known.__name__, known)
    monkeypatch.setitem(sys.modules, link.__name__, link)
    assert [load(first), load(second)] == ["one", "two"]
    assert [each in sys.modules for each in (known.__name__, link.__name__)] == [not through_a_link] * 2


def test_modules_of_any_form_hinder_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, place in enumerate(["", "relative.py", "with/../parts.py", "zero\0byte.py", b"bytes.py", 7]):
        odd = ModuleType(f"odd_{number}")
        odd.__file__ = place  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, odd.__name__, odd)
    assert [load(write(tmp_path / name, name=name)) for name in ("one", "two")] == ["one", "two"]
    assert all(f"odd_{number}" in sys.modules for number in range(6))


def test_an_unchanged_project_is_not_imported_again(tmp_path: Path) -> None:
    write(tmp_path)
    first = load_project(tmp_path, module="shop_under_test.project", source="src")

    assert load_project(tmp_path, module="shop_under_test.project", source="src") is first


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 / 0\n", "ZeroDivisionError"),
        ("x = 1\n", "declares no project"),
        ("project = 3\n", "found int"),
        ("import no_such_thing\n", "no_such_thing"),
        ("def (\n", "SyntaxError"),
    ],
)
def test_a_broken_module_is_a_project_error(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ProjectError, match=says):
        load(write(tmp_path, text))


def test_a_missing_module_or_folder_is_a_project_error(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no source folder"):
        load(tmp_path)
    write(tmp_path)
    with pytest.raises(ProjectError, match="There is no module"):
        load(tmp_path, "shop_under_test.nothing")
    with pytest.raises(ProjectError, match="somewhere else"):
        load(tmp_path, "json.decoder")


def test_the_digest_covers_sources_contracts_policies_and_settings(tmp_path: Path) -> None:
    write(tmp_path)
    seen = {project_digest(tmp_path, "src")}
    for name in ("src/extra.py", "contracts/a.yaml", "policies/deep/b.rego", "keelway.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
        seen.add(project_digest(tmp_path, "src"))
    (tmp_path / "notes.txt").write_text("not part of it")
    seen.add(project_digest(tmp_path, "src"))

    assert len(seen) == 5


@pytest.mark.parametrize("absolute", [False, True])
def test_the_digest_covers_sources_that_lie_beside_the_project_wherever_both_are(
    tmp_path: Path, absolute: bool
) -> None:
    seen = set()
    for place in ("here", "there"):
        root, shared = tmp_path / place / "project", tmp_path / place / "shared"
        for folder in (root, shared):
            folder.mkdir(parents=True)
            (folder / "extra.py").write_text("x = 1")
        source = str(shared) if absolute else "../shared"
        seen.add(project_digest(root, source))
        (shared / "extra.py").write_text("x = 2")
        seen.add(project_digest(root, source))
    assert len(seen) == 2
