"""What the repository promises about its own files."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("deb", "debian", "org"),
    )
)
OPTIONS = tuple("--" + name for name in ("index" + "-url", "extra-index" + "-url", "find" + "-links"))
PLACES = tuple(
    "/" + "/".join(parts) for parts in (("work", "main"), ("work", "shared"), ("tmp", "kw"), ("opt", "pypi"))
)


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("not a git repository")
    return [path for name in done.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def makefile_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf8"), re.MULTILINE))


def test_no_file_names_a_package_registry_or_a_place_of_one_machine() -> None:
    wrong = []
    for path in tracked():
        text = path.read_bytes().decode("utf8", "ignore")
        wrong += [f"{path.relative_to(ROOT)}: {word}" for word in (*REGISTRIES, *PLACES) if word in text]
        if path.is_relative_to(ROOT / "requirements"):
            wrong += [f"{path.relative_to(ROOT)}: {word}" for word in OPTIONS if word in text]
    assert wrong == []


def test_no_cache_key_or_state_is_tracked() -> None:
    bad = ("__pycache__", ".keelway", ".pem", ".token", ".db")
    assert [path for path in tracked() if any(part.endswith(bad) for part in path.relative_to(ROOT).parts)] == []


def test_every_architecture_decision_is_listed() -> None:
    listing = (ROOT / "docs/arc42/index.md").read_text("utf8")
    pages = [path.name for path in (ROOT / "docs/adr").glob("*.md") if not path.name.startswith("0000")]
    assert pages
    assert [page for page in pages if page not in listing] == []


def test_changelog_fragments_have_an_issue_and_a_kind() -> None:
    names = [path.name for path in (ROOT / "changelog.d").glob("*.md") if path.name != "README.md"]
    assert [
        name for name in names if not re.fullmatch(r"\d+(\.[a-z-]+)?\.(added|changed|fixed|removed|security)\.md", name)
    ] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_command_in_the_documentation_exists(page: str) -> None:
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", (ROOT / page).read_text("utf8"), re.MULTILINE))
    assert named
    assert named <= makefile_targets()


def test_every_link_between_pages_leads_somewhere() -> None:
    wrong = []
    for page in [path for path in tracked() if path.suffix == ".md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf8")):
            if not (page.parent / target).exists():
                wrong += [f"{page.relative_to(ROOT)}: {target}"]
    assert wrong == []


@pytest.mark.parametrize("name", ["run", "dev", "bench", "data", "docs", "lock"])
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text("utf8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert lines
    assert [line[:60] for line in lines if "==" not in line or "--hash=sha256:" not in line] == []


def test_every_core_dependency_is_locked() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]["dependencies"]
    names = {re.split(r"[\[<>=!; ]", line)[0].lower().replace("_", "-") for line in declared}
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements/run.txt").read_text("utf8"), re.MULTILINE))
    assert names - locked == set()
