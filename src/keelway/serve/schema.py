"""The request of a model version: a typed decoder made from its features, which names the field it refuses.

    {"entity": "00042", "as_of": "1998-01-01T00:00:00Z", "features": {"recency_d": 12.5, "plan": "gold"}}
    {"instances": [{...}, {...}]}

Nothing is guessed: an unknown, missing, repeated or wrongly typed field is refused, and so is a number that a
32-bit model cannot hold. An instance without `features` asks for those that an online store holds of the entity.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Annotated, Any

import msgspec

from keelway.features import FeatureColumn
from keelway.serve.wire.columns import (
    TEXT_KINDS,
    EntityText,
    Moment,
    Row,
    WireLimits,
    checked_entity,
    in_utc_or,
    value_type,
)
from keelway.serve.wire.refusal import decoded, refuse_repeats

__all__ = ["RequestSchema", "Row"]

_MANY = re.compile(rb'\s*\{\s*"instances"')
_MANY_BRIEFLY = b'{"instances"'


class RequestSchema:
    """Reads the requests for one list of features.

    Args:
        limits: How many rows a request may have.
        from_store: Whether an instance may leave its features to the online store; its row then has no values.
    """

    def __init__(
        self, features: Sequence[FeatureColumn], *, limits: WireLimits | None = None, from_store: bool = False
    ) -> None:
        # Feature names may be any text, so the attributes are numbered and renamed.
        row = msgspec.defstruct(
            "FeatureValues",
            [(f"f{index}", value_type(feature)) for index, feature in enumerate(features)],
            rename={f"f{index}": feature.name for index, feature in enumerate(features)},
            forbid_unknown_fields=True,
            gc=False,
        )
        instance = msgspec.defstruct(
            "Instance",
            [
                ("entity", EntityText),
                ("features", row | msgspec.UnsetType, msgspec.UNSET) if from_store else ("features", row),
                ("as_of", Moment | None | msgspec.UnsetType, msgspec.UNSET),
            ],
            forbid_unknown_fields=True,
            gc=False,
        )
        most = (limits or WireLimits()).rows
        rows = Annotated[list[instance], msgspec.Meta(min_length=1, max_length=most)]  # type: ignore[valid-type]
        many = msgspec.defstruct("Instances", [("instances", rows)], forbid_unknown_fields=True)
        self._one: msgspec.json.Decoder[Any] = msgspec.json.Decoder(instance)
        self._many: msgspec.json.Decoder[Any] = msgspec.json.Decoder(many)
        self.names = tuple(feature.name for feature in features)
        self._astuple = msgspec.structs.astuple
        texts = [at for at, each in enumerate(features) if each.kind in TEXT_KINDS]
        self._texts: Callable[[list[Any]], tuple[Any, ...]] = lambda values: tuple([values[at] for at in texts])
        if len(texts) > 1:
            self._texts = itemgetter(*texts)
        self._most_texts = 3 + len(self.names) + len(texts)

    def read(self, body: bytes, *, now: datetime) -> tuple[list[Row], bool]:
        """Return the rows of a request, and whether it asked for many; a row to be looked up has no values.

        Raises:
            BadRequestError: The body is refused.
        """
        many = body.startswith(_MANY_BRIEFLY) or (not body.startswith(b'{"') and _MANY.match(body) is not None)
        found = decoded(self._many, body).instances if many else (decoded(self._one, body),)
        if not "".join([instance.entity for instance in found]).isprintable():
            for instance in found:
                checked_entity(instance.entity)
        rows: list[Row] = []
        texts = int(many)  # its keys and texts
        for instance in found:
            given, as_of = instance.features, instance.as_of
            values = [] if given is msgspec.UNSET else list(self._astuple(given))
            texts += self._most_texts if values else 2
            if values and not all(self._texts(values)):  # some are null or empty
                texts -= self._texts(values).count(None)
            if as_of is not msgspec.UNSET:
                texts += 1 if as_of is None else 2
            rows.append((instance.entity, in_utc_or(as_of, now) if as_of else now, values))
        refuse_repeats(body, texts)
        return rows, many
