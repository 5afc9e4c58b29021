"""A choice among words, checked when it is declared."""

from __future__ import annotations

from keelway.errors import ProjectError


def check_choice(value: object, choices: tuple[object, ...], *, what: str) -> None:
    """Refuse a value that is not among the choices.

    Raises:
        ProjectError: It is not.
    """
    if value not in choices:
        raise ProjectError(f"Unknown {what}", expected=", ".join(map(repr, choices)), found=repr(value))
