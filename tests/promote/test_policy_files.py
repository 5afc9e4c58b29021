"""Policy files come from inside the project, tests left out, ready rules along where they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.core import digest_of
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.errors import SettingsError
from keelway.promote import load_policy, store_policy

GATE = 'package keelway.gate\nrules contains "a"\ndeny contains "x" if false\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "policies/staging").mkdir(parents=True)
    (root / "policies/staging/gate.rego").write_text(GATE)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/gate.rego").write_text(GATE)
    return root


@pytest.mark.parametrize(
    "path",
    ["../outside", "policies/../../outside", "{parent}/outside", "link"],
    ids=["up", "down and up", "absolute", "link"],
)
def test_a_policy_folder_outside_the_project_is_refused(root: Path, path: str) -> None:
    (root / "link").symlink_to(root.parent / "outside")
    with pytest.raises(SettingsError, match="The policy folder lies outside the project"):
        load_policy(path.format(parent=root.parent), root=root)


@pytest.mark.parametrize(
    "path",
    ["nowhere", "../nowhere", "policies/staging/gate.rego", "../outside/gate.rego"],
    ids=["nothing there", "nothing there outside", "a file", "a file outside"],
)
def test_a_policy_folder_that_is_none_is_refused(root: Path, path: str) -> None:
    with pytest.raises(SettingsError, match="There is no such policy folder"):
        load_policy(path, root=root)


def test_a_policy_file_that_is_a_link_to_the_outside_is_refused(root: Path) -> None:
    (root / "policies/staging/more.rego").symlink_to(root.parent / "outside/gate.rego")
    with pytest.raises(SettingsError, match="outside the project"):
        load_policy("policies/staging", root=root)


def test_a_policy_file_that_is_no_text_is_refused(root: Path) -> None:
    (root / "policies/staging/more.rego").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_policy("policies/staging", root=root)


def test_a_policy_holds_its_files_without_their_tests(root: Path) -> None:
    (root / "policies/staging/gate_test.rego").write_text("package keelway.gate\n")
    (root / "policies/staging/notes.txt").write_text("nothing")
    policy = load_policy("policies/staging", root=root)
    assert policy.files == {"gate.rego": GATE}


def test_ready_rules_come_along_where_a_file_asks_for_them(root: Path) -> None:
    gate = "package keelway.gate\nimport data.keelway.lib\ndeny contains reason if some reason in lib.{rule}\n"
    more = root / "policies/staging/more.rego"
    more.write_text(gate.format(rule="signed"))
    signed = load_policy("policies/staging", root=root)
    assert set(signed.files) == {"gate.rego", "more.rego", "library/figures.rego", "library/model.rego"}
    more.write_text(gate.format(rule="fresh_within_days(3)"))
    fresh = load_policy("policies/staging", root=root)
    assert set(fresh.files) == {"gate.rego", "more.rego", "library/figures.rego", "library/data.rego"}
    assert digest_of(fresh) != digest_of(signed)


def test_a_policy_is_stored_under_the_digest_that_decisions_name(root: Path, tmp_path: Path) -> None:
    policy = load_policy("policies/staging", root=root)
    artifacts = LocalArtifacts(tmp_path / "artifacts")
    assert store_policy(policy, artifacts=artifacts) == digest_of(policy)
    assert GATE in artifacts.get(digest_of(policy)).decode().replace("\\n", "\n").replace('\\"', '"')
