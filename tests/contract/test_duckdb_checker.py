"""The checker on DuckDB keeps the promises of the port."""

from __future__ import annotations

import pytest

from keelway.engines.local.checker import DuckDbChecker
from keelway.testing.checker import CheckerConformance
from keelway.testing.checker_formats import CheckerFormats, CheckerParquet


class TestDuckDbChecker(CheckerConformance, CheckerFormats, CheckerParquet):
    @pytest.fixture
    def checker(self) -> DuckDbChecker:
        return DuckDbChecker()
