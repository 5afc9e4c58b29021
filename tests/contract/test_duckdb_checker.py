"""The checker on DuckDB keeps the promises of the port."""

from __future__ import annotations

import pytest

from keelway.engines.local.checker import DuckDbChecker
from keelway.testing.checker import CheckerConformance


class TestDuckDbChecker(CheckerConformance):
    @pytest.fixture
    def checker(self) -> DuckDbChecker:
        return DuckDbChecker()
