"""The promises around the code: every setting, public name and decision is documented."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

import keelway
from keelway.app.settings import (
    EngineSettings,
    EnvironmentSettings,
    LineageSettings,
    PrincipalSettings,
    PrivacySettings,
    ProjectSettings,
    RetentionSettings,
    ServingSettings,
    SigningSettings,
)
from keelway.app.settings_requests import CallerSettings, RequestSettings
from keelway.app.settings_serving import TracingSettings

ROOT = Path(__file__).parents[1]
SETTINGS = (ROOT / "docs" / "settings.md").read_text("utf8")
SECTIONS = {
    "[project]": ProjectSettings,
    "[engines]": EngineSettings,
    "[signing]": SigningSettings,
    "[privacy]": PrivacySettings,
    "[lineage]": LineageSettings,
    "[requests]": RequestSettings,
    "[callers]": CallerSettings,
    "[retention]": RetentionSettings,
    "[serving]": ServingSettings,
    "[serving.tracing]": TracingSettings,
    "[environments.NAME]": EnvironmentSettings,
    '[principals."user:NAME"]': PrincipalSettings,
}


def section(heading: str) -> str:
    """Return the text under a heading of the settings page."""
    start = SETTINGS.index(f"## `{heading}`")
    return SETTINGS[start:].split("\n## ", 1)[0]


def plain_fields(settings: type[msgspec.Struct]) -> list[msgspec.structs.FieldInfo]:
    """Return the settings of a section, without those that have a section of their own."""
    return [each for each in msgspec.structs.fields(settings) if not isinstance(each.default, msgspec.Struct)]


@pytest.mark.parametrize(("heading", "settings"), SECTIONS.items(), ids=SECTIONS.keys())
def test_every_setting_is_documented_and_nothing_else(heading: str, settings: type[msgspec.Struct]) -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", section(heading), re.MULTILINE))
    assert told == {field.name for field in plain_fields(settings)}


@pytest.mark.parametrize(("heading", "settings"), SECTIONS.items(), ids=SECTIONS.keys())
def test_every_default_is_the_documented_one(heading: str, settings: type[msgspec.Struct]) -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", section(heading), re.MULTILINE))
    fields = plain_fields(settings)
    defaults = {field.name: field.default for field in fields if field.default is not msgspec.NODEFAULT}
    written = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in defaults.items()}
    assert told == {name: value for name, value in written.items() if value}


def test_every_public_name_is_sorted_and_documented() -> None:
    assert list(keelway.__all__) == sorted(keelway.__all__)
    for name in keelway.__all__:
        if name != "__version__":
            assert getattr(keelway, name).__doc__, name


def test_every_environment_variable_is_documented() -> None:
    used = set()
    for path in (ROOT / "src" / "keelway").rglob("*.py"):
        used |= set(re.findall(r"\"(KEELWAY_[A-Z_]+)\"", path.read_text("utf8")))
    assert used <= set(re.findall(r"`(KEELWAY_[A-Z_]+)`", SETTINGS))
