"""The checker on DuckDB keeps the promises of the port."""

from __future__ import annotations

import pytest

from keelway.engines.local.checker import DuckDbChecker
from keelway.testing.checker import CheckerConformance
from keelway.testing.checker_dependencies import CheckerDependencies
from keelway.testing.checker_formats import CheckerFormats, CheckerParquet
from keelway.testing.checker_headers import CheckerHeaders
from keelway.testing.checker_rules import CheckerBatches, CheckerRules
from keelway.testing.checker_values import CheckerRepairs, CheckerTokens

SUITES = (
    CheckerConformance, CheckerFormats, CheckerParquet, CheckerRules, CheckerBatches, CheckerTokens, CheckerRepairs,
    CheckerDependencies, CheckerHeaders,
)  # fmt: skip


class TestDuckDbChecker(*SUITES):
    @pytest.fixture
    def checker(self) -> DuckDbChecker:
        return DuckDbChecker()
