"""Journals in files keep the promises of the port."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.engines.local.journal import FileJournals
from keelway.testing.journals import JournalsConformance


class TestFileJournals(JournalsConformance):
    @pytest.fixture
    def journals(self, tmp_path: Path) -> FileJournals:
        return FileJournals(tmp_path)

    @pytest.fixture
    def again(self, tmp_path: Path) -> FileJournals:
        return FileJournals(tmp_path)
