"""The source that the tests of pulling use keeps the promises of a real one."""

from __future__ import annotations

from datetime import datetime

import pytest

from keelway.testing.objects import MemoryObjects, ObjectSourceConformance


class TestMemoryObjects(ObjectSourceConformance):
    @pytest.fixture
    def source(self) -> MemoryObjects:
        return MemoryObjects()

    def upload(self, source: MemoryObjects, name: str, data: bytes, modified_at: datetime) -> None:  # type: ignore[override]
        source.upload(name, data, modified_at)

    def remove(self, source: MemoryObjects, name: str) -> None:  # type: ignore[override]
        del source.objects[name]
