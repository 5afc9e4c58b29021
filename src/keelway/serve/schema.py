"""The request of a model version: a typed decoder made from its features, which names the field it refuses.

    {"entity": "00042", "as_of": "1998-01-01T00:00:00Z", "features": {"recency_d": 12.5, "plan": "gold"}}
    {"instances": [{...}, {...}]}

Nothing is guessed: an unknown, missing, repeated or wrongly typed field is refused, and so is a number that a
32-bit model cannot hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from keelway.errors import BadRequestError
from keelway.features import FeatureColumn

MAX_ROWS = 1_000
MAX_TEXT = 1_000  # characters of a category
MAX_ENTITY = 200  # characters
LARGEST = 3.4028234e38  # of a 32-bit float

_PLACE = re.compile(r" - at `(?P<path>[^`]*)`$")
_GOT = re.compile(r"^Expected (?P<expected>.*), got `?(?P<found>[^`]*)`?$")

Row = tuple[str, datetime, list[Any]]
"""Entity, as-of time in UTC, and the features in the model's order."""


class RequestSchema:
    """Reads the requests for one list of features."""

    def __init__(self, features: Sequence[FeatureColumn]) -> None:
        number = Annotated[float, msgspec.Meta(ge=-LARGEST, le=LARGEST)] | None
        category = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] | None
        kinds: dict[str, Any] = {"numeric": number, "categorical": category}
        # Feature names may be any text, so the attributes are numbered and renamed.
        names = {f"f{index}": feature.name for index, feature in enumerate(features)}
        row = msgspec.defstruct(
            "FeatureValues",
            [(f"f{index}", kinds[feature.kind]) for index, feature in enumerate(features)],
            rename=names,
            forbid_unknown_fields=True,
        )
        instance = msgspec.defstruct(
            "Instance",
            [
                ("entity", Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ENTITY)]),
                ("features", row),
                ("as_of", Annotated[datetime, msgspec.Meta(tz=True)] | None | msgspec.UnsetType, msgspec.UNSET),
            ],
            forbid_unknown_fields=True,
        )
        rows = Annotated[list[instance], msgspec.Meta(min_length=1, max_length=MAX_ROWS)]  # type: ignore[valid-type]
        many = msgspec.defstruct("Instances", [("instances", rows)], forbid_unknown_fields=True)
        self._one: msgspec.json.Decoder[Any] = msgspec.json.Decoder(instance)
        self._many: msgspec.json.Decoder[Any] = msgspec.json.Decoder(many)
        self.names = tuple(feature.name for feature in features)
        self._astuple = msgspec.structs.astuple

    def read(self, body: bytes, *, now: datetime) -> tuple[list[Row], bool]:
        """Return the rows of a request, and whether it asked for many.

        Raises:
            BadRequestError: The body is refused.
        """
        many = body.lstrip()[:40].replace(b" ", b"").startswith(b'{"instances"')
        try:
            found = self._many.decode(body).instances if many else [self._one.decode(body)]
        except msgspec.ValidationError as error:
            raise _refusal(str(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequestError(
                "The body is not JSON", expected="one JSON object in UTF-8", found=str(error)[:200], status=400
            ) from error
        rows = [self._row(instance, now) for instance in found]
        self._refuse_repeats(body, found, rows, many)
        return rows, many

    def _row(self, instance: Any, now: datetime) -> Row:
        as_of = instance.as_of or now
        try:
            as_of = as_of.astimezone(UTC)
        except OverflowError as error:
            raise BadRequestError(
                "This time does not exist in UTC", expected="a year from 1 to 9999", found=str(as_of), field="$.as_of"
            ) from error
        return instance.entity, as_of, list(self._astuple(instance.features))

    def _refuse_repeats(self, body: bytes, found: list[Any], rows: list[Row], many: bool) -> None:
        """Refuse a key that is given twice, which a decoder would pass over.

        All keys are known by now, so the quotes of the body can be counted; only a body with escapes is read again.
        """
        if b"\\" in body:
            json.loads(body, object_pairs_hook=_unique)
            return
        texts = 1 if many else 0
        for instance, (_, _, values) in zip(found, rows, strict=True):
            texts += 3 + len(values) + sum(1 for value in values if value.__class__ is str)
            if instance.as_of is not msgspec.UNSET:
                texts += 1 if instance.as_of is None else 2
        if body.count(b'"') != 2 * texts:
            json.loads(body, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadRequestError("A field is given twice", expected="each field once", found=repr(twice), field=twice)
    return found


def _refusal(message: str) -> BadRequestError:
    """Return what a decoder's message means, with the field it is about."""
    place = _PLACE.search(message)
    field = place["path"] if place else "$"
    text = message[: place.start()] if place else message
    named = re.search(r"field `(?P<name>.*)`$", text)
    if named:
        missing = "missing" in text
        return BadRequestError(
            "A field is missing" if missing else "A field is not known",
            expected=f"field {named['name']}" if missing else "only the fields of the schema",
            found="nothing" if missing else named["name"][:100],
            field=f"{field}.{named['name'][:100]}",
        )
    got = _GOT.match(text)
    expected = got["expected"] if got else text.removeprefix("Expected ")
    return BadRequestError(
        "A field has a wrong value",
        expected=expected.replace("`", ""),
        found=got["found"] if got else "another value",
        field=field,
    )
