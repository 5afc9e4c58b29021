"""Writes predictions as canonical JSON, the same bytes as `canonical_json(prediction)`, from parts made once."""

from __future__ import annotations

from datetime import datetime
from json.encoder import encode_basestring
from typing import Any

from keelway.core import Digest, canonical_json, parse_json, time_text


def number_text(value: float) -> str:
    """Return a finite number as RFC 8785 writes it."""
    text = repr(float(value))
    if "e" in text or text == "-0.0":
        return canonical_json(float(value)).decode()
    return text.removesuffix(".0")


def value_text(value: float | str | None) -> str:
    """Return a feature's value as RFC 8785 writes it."""
    if value is None:
        return "null"
    return encode_basestring(value) if isinstance(value, str) else number_text(value)


class LineWriter:
    """Writes the lines of one version in one arm of one deployment."""

    def __init__(
        self, *, model: str, version: str, version_digest: Digest, deployment: Digest, environment: str, arm: str,
        features: tuple[str, ...],
    ) -> None:  # fmt: skip
        order = list(parse_json(canonical_json(dict.fromkeys(features))))
        self._features = [(f"{encode_basestring(name)}:", features.index(name)) for name in order]
        self._head = f'{{"arm":{encode_basestring(arm)},"as_of":"'
        self._deployment = f'","deployment":"{deployment}","entity":'
        self._environment = f',"environment":{encode_basestring(environment)},"event_time":"'
        self._model = f'}},"model":{encode_basestring(model)},"prediction_id":"'
        self._version = f',"version":{encode_basestring(version)},"version_digest":"{version_digest}"}}\n'

    def line(
        self, *, prediction_id: str, entity: str, as_of: datetime, values: list[Any], probability: str, at: str
    ) -> str:
        """Return a prediction's line with its line feed; `probability` and `at` are written already."""
        features = ",".join([name + value_text(values[index]) for name, index in self._features])
        return (
            f"{self._head}{time_text(as_of)}{self._deployment}{encode_basestring(entity)}{self._environment}{at}"
            f'","features":{{{features}{self._model}{prediction_id}","probability":{probability}{self._version}'
        )
