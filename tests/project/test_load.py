"""Loading a project finds today's code of the right folder, or says what is wrong."""

from pathlib import Path

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
