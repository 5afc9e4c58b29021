"""Business metrics are pure data of a model, and change no version."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from keelway.errors import ProjectError, UsageError
from keelway.project import BusinessMetric


def test_a_metric_reads_the_stream_of_its_name_unless_another_is_named() -> None:
    assert BusinessMetric("purchases").stream == "purchases"
    found = BusinessMetric("revenue", stream="purchases", window="14d", delay="36h", cap=500)
    assert (found.stream, found.window_time, found.delay_time) == ("purchases", timedelta(days=14), timedelta(hours=36))


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"window": "0d"}, "a window above 0"),
        ({"cap": 0}, "a cap above 0"),
        ({"cap": float("nan")}, "a cap above 0"),
        ({"cap": float("inf")}, "a cap above 0"),
    ],
)
def test_what_is_out_of_range_is_refused(declared: dict[str, Any], told: str) -> None:
    with pytest.raises(ProjectError) as caught:
        BusinessMetric("revenue", **declared)
    assert told in caught.value.expected


@pytest.mark.parametrize(
    "declared", [{"window": "two weeks"}, {"delay": "-1d"}, {"stream": "../x"}, {"name": "Revenue"}, {"name": ""}]
)
def test_what_cannot_be_read_is_refused(declared: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        BusinessMetric(**({"name": "revenue"} | declared))
