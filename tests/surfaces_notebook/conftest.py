"""IPython in this process, without a kernel, that keeps what is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("IPython", reason="the extra for notebooks is not installed")


@dataclass
class Page:
    """A shell of IPython and what it showed.

    Attributes:
        shown: Each thing shown, as text by kind, with the id it can be written anew by.
    """

    shell: Any
    shown: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)

    def __call__(self, source: str) -> Any:
        """Execute a cell and return its result."""
        return self.shell.run_cell(source)

    def publish(self, data: dict[str, str], metadata: Any = None, **told: Any) -> None:
        """Take what is shown, as a page would."""
        self.shown.append((data, told))

    @property
    def html(self) -> str:
        return "\n".join(data.get("text/html", "") for data, _ in self.shown)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    for name in [name for name in os.environ if name.startswith("KEELWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(tmp_path)
    settings = Config()
    settings.HistoryManager.enabled = False
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=settings)
    page = Page(shell)
    monkeypatch.setattr(shell.display_pub, "publish", page.publish)
    yield page
    InteractiveShell.clear_instance()
