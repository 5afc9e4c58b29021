"""Reads the controls of a framework from the data files in the folder frameworks: questions in our own words, no quotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keelway.core import digest_bytes
from keelway.errors import IntegrityError, UsageError
from keelway.report.records import Control, Framework

FRAMEWORKS = Path(__file__).parent / "frameworks"
APPLIES = ("always", "high_risk", "personal_data", "health_data")


def framework_names(folder: Path = FRAMEWORKS) -> tuple[str, ...]:
    """Return the names of the frameworks that there are, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def load_framework(name: str, *, folder: Path = FRAMEWORKS) -> Framework:
    """Return a framework by its name.

    Raises:
        UsageError: There is none of that name.
        IntegrityError: Its file is wrong.
    """
    if name not in framework_names(folder):
        raise UsageError("Unknown framework", expected=", ".join(framework_names(folder)), found=name)
    import yaml

    data = (folder / f"{name}.yaml").read_bytes()
    told = yaml.safe_load(data)
    controls = tuple(_control(each) for each in told["controls"])
    ids = [control.control_id for control in controls]
    if len(set(ids)) != len(ids):
        raise IntegrityError(f"The framework {name} has a control twice", expected="each id once")
    return Framework(name, told["title"], told["source"], controls, digest_bytes(data))


def control_of(framework: Framework, control_id: str) -> Control:
    """Return a control by its id. Raises UsageError where there is none."""
    for control in framework.controls:
        if control.control_id == control_id:
            return control
    raise UsageError(
        f"{framework.name} has no control {control_id!r}",
        expected=", ".join(control.control_id for control in framework.controls),
        found=control_id,
    )


def _control(told: dict[str, Any]) -> Control:
    control = Control(
        control_id=told["id"],
        reference=told["reference"],
        title=told["title"],
        finders=tuple(told.get("finders", ())),
        attach=told.get("attach", ""),
        applies=told.get("applies", "always"),
    )
    strange = told.keys() - {"id", "reference", "title", "finders", "attach", "applies"}
    if strange or control.applies not in APPLIES or not (control.finders or control.attach):
        raise IntegrityError(
            f"The control {control.control_id} is wrong", expected="finders or attach, and when it applies"
        )
    return control
