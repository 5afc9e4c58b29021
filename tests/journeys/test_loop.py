"""The whole loop by single commands, each answering in JSON."""

from __future__ import annotations

import pytest


def test_x(live) -> None:
    print(live("status"))
