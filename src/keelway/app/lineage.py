"""Lineage of the project's runs, for catalogues outside: as a file, or sent to a server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.wire import Workspace
from keelway.core import canonical_json
from keelway.errors import UsageError

if TYPE_CHECKING:
    from keelway.flow import LineageTarget


@dataclass(frozen=True, slots=True)
class LineageExport:
    """What was told of the runs.

    Attributes:
        events: How many events.
        to: The file or the server.
    """

    events: int
    to: str


class LineageRoom:
    """Use cases of those who keep a lineage catalogue."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def export(self, path: Path, *, since: datetime | None = None) -> LineageExport:
        """Write the events of all runs, one JSON object a line; the file appears whole or not at all."""
        from keelway.flow import lineage_events
        from keelway.ledger import write_atomically

        with self._at.state.snapshot() as tx:
            lines = [canonical_json(event) for event in lineage_events(tx, namespace=self._namespace(), since=since)]
        write_atomically(path, b"".join(line + b"\n" for line in lines))
        return LineageExport(len(lines), str(path))

    def send(self, *, since: datetime | None = None, target: LineageTarget | None = None) -> LineageExport:
        """Send the events of all runs to the server that the settings name, or to another target.

        Raises:
            UsageError: The settings name none.
            EngineError: The server did not take an event; those before it were taken.
        """
        from keelway.flow import lineage_events

        chosen = target or self._target()
        sent = 0
        with self._at.state.snapshot() as tx:
            for event in lineage_events(tx, namespace=self._namespace(), since=since):
                chosen.send(event)
                sent += 1
        return LineageExport(sent, self._at.settings.lineage.url)

    def _namespace(self) -> str:
        settings = self._at.settings
        return settings.lineage.namespace or settings.project.name

    def _target(self) -> LineageTarget:
        from keelway.engines.openlineage import HttpLineage
        from keelway.identity import resolve_secret

        settings = self._at.settings.lineage
        if not settings.url:
            raise UsageError(
                "No lineage server is named",
                expected="lineage.url in keelway.toml",
                found="nothing",
                fix='Name one: [lineage] url = "https://HOST"; or write a file: keelway lineage export --out FILE',
            )
        token = resolve_secret(settings.token, root=self._at.root) if settings.token else ""
        return HttpLineage(settings.url, token=token)
