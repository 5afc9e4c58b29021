"""Reads an Open Data Contract Standard (ODCS) file strictly: nothing in it is passed over without a word.

The standard's own model ignores keys it does not know, so a rule that is misspelt would silently do nothing; here
each key that the model did not take is refused with its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.errors import ContractError

if TYPE_CHECKING:
    from open_data_contract_standard.model import CustomProperty, OpenDataContractStandard
    from yaml import SafeLoader

NOT_CHECKED = "Keelway does not check this: take it out of the contract, so that nobody relies on it."


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a contract's file, such as `schema orders, column amount`, which errors name."""

    path: Path
    where: str = ""

    def at(self, more: str) -> Place:
        """Return a place within this one."""
        return Place(self.path, f"{self.where}, {more}" if self.where else more)

    def wrong(self, field: str, expected: str, found: str, fix: str = "") -> ContractError:
        """Return the error that says what is wrong with a field here."""
        named = f"{self.where}: {field}" if self.where else field
        return ContractError(
            f"{self.path.name}: {named}", expected=expected, found=found, fix=fix or f"Mend {self.path}."
        )


class Properties:
    """Keelway's own `customProperties` of one place; one that is misspelt or misplaced is refused."""

    def __init__(self, items: list[CustomProperty] | None, known: tuple[str, ...], place: Place) -> None:
        self._place = place
        self._values = {item.property or "": item.value for item in items or () if item.vendor in (None, "keelway")}
        for name in self._values:
            if name not in known:
                fix = "Mend the name, or give a property of another tool its `vendor`."
                raise place.wrong("customProperties", f"one of {', '.join(known) or 'none'}", name, fix)

    def value(self, name: str) -> Any:
        """Return a value as YAML gave it; None where it is not given."""
        return self._values.get(name)

    def one_of(self, name: str, choices: tuple[Any, ...], default: Any) -> Any:
        """Return a value that must be one of a few."""
        value = self._values.get(name, default)
        if value not in choices or isinstance(value, bool) != isinstance(choices[0], bool):
            raise self.wrong(name, " or ".join(str(choice) for choice in choices))
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, none of them empty."""
        value = self._values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.wrong(name, "a list of texts")
        return tuple(value)

    def text(self, name: str, default: str = "") -> str:
        """Return a text."""
        value = self._values.get(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "a text")
        return value

    def number(self, name: str) -> float | None:
        """Return a number that is not true or false; None where it is not given."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(name, "a number")
        return float(value)

    def wrong(self, name: str, expected: str) -> ContractError:
        """Return the error that says what a property must be."""
        return self._place.wrong(name, expected, f"{self._values.get(name)!r:.80}")


def text_of(place: Place) -> str:
    """Return the text of a contract's file.

    Raises:
        ContractError: There is none, it cannot be read, or it is not UTF-8.
    """
    try:
        return place.path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ContractError(
            "There is no contract",
            expected="an ODCS file",
            found=str(place.path),
            fix="Write it, or mend the dataset's path.",
        ) from error
    except OSError as error:
        raise ContractError(f"{place.path.name} cannot be read", found=error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise place.wrong("encoding", "UTF-8", f"byte {error.start} is not") from error


def document_of(text: str, place: Place) -> OpenDataContractStandard:
    """Return the parsed document.

    Raises:
        ContractError: It is no YAML, no ODCS, or has a key that the standard does not know.
    """
    from open_data_contract_standard.model import OpenDataContractStandard
    from pydantic import ValidationError

    value = _mapping(text, place)
    try:
        document = OpenDataContractStandard.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        found = f"{first['input']!r:.80}"
        raise place.wrong(field, f"ODCS {value.get('apiVersion', 'v3.1.0')} ({first['msg']})", found) from error
    _nothing_is_lost(value, document.model_dump(by_alias=True, exclude_unset=True), "", place)
    return document


def _mapping(text: str, place: Place) -> dict[str, Any]:
    import yaml

    try:
        value = yaml.load(text, Loader=_strict_loader())  # noqa: S506 - it is a safe loader that refuses more
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        raise place.wrong(line, "YAML", error.problem or "something else") from error
    except yaml.YAMLError as error:
        raise place.wrong("the file", "YAML", str(error).splitlines()[0]) from error
    except ValueError as error:  # such as a date 2026-02-30, which YAML reads by itself
        raise place.wrong("the file", "YAML", str(error)) from error
    if not isinstance(value, dict):
        raise place.wrong("the file", "a mapping at the top", type(value).__name__)
    return value


def _strict_loader() -> type[SafeLoader]:
    """Return YAML's safe loader, which refuses a key that stands twice: the last would silently win."""
    from yaml import MappingNode, SafeLoader
    from yaml.constructor import ConstructorError

    class StrictLoader(SafeLoader):
        def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen: set[str] = set()
            for key, _ in node.value:
                if key.value in seen and isinstance(key.value, str):
                    raise ConstructorError(None, None, f"{key.value} twice in one mapping", key.start_mark)
                seen.add(str(key.value))
            return super().construct_mapping(node, deep)

    return StrictLoader


def _nothing_is_lost(given: Any, taken: Any, path: str, place: Place) -> None:
    """Refuse a key that the model did not take."""
    if isinstance(given, list) and isinstance(taken, list):
        for index, (one, other) in enumerate(zip(given, taken, strict=True)):
            name = one.get("name", one.get("property", index)) if isinstance(one, dict) else index
            _nothing_is_lost(one, other, f"{path}[{name}]", place)
    if not isinstance(given, dict) or not isinstance(taken, dict):
        return
    for key, value in given.items():
        if key not in taken:
            raise place.wrong(f"{path}.{key}".lstrip("."), "a key of ODCS", str(key), "Mend its name or its place.")
        _nothing_is_lost(value, taken[key], f"{path}.{key}".lstrip("."), place)
