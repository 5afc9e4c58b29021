"""When and where checkpoints of the ledger are published, and which published ones an audit looks at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.settings import SigningSettings
from keelway.core import parse_duration, parse_time, time_text
from keelway.errors import IntegrityError, KeelwayError, SettingsError, StorageError

if TYPE_CHECKING:
    from keelway.app.wire import Workspace
    from keelway.ledger import Checkpoint, Publication, PublishedNote, Quorum

HINT = ".keelway/published.json"
"""When this machine published last, and how many entries; only to know when the next time is, never to be believed."""
_ENTRIES = re.compile(r"(?P<count>[1-9]\d*) entries")


@dataclass(frozen=True, slots=True)
class Published:
    """A checkpoint, and what came of publishing it."""

    checkpoint: Checkpoint
    places: tuple[Publication, ...]

    @property
    def ok(self) -> bool:
        """Whether every target holds it."""
        return not any(place.failed for place in self.places)


@dataclass(frozen=True, slots=True)
class PublishInterval:
    """How often checkpoints are published: after a time, or after so many entries; one of the two is None."""

    after: timedelta | None = None
    entries: int | None = None

    @classmethod
    def parse(cls, text: str) -> PublishInterval:
        """Return the interval that text such as `1h` or `100 entries` names.

        Raises:
            SettingsError: It names none.
        """
        match = _ENTRIES.fullmatch(text.strip())
        if match is not None:
            return cls(entries=int(match["count"]))
        try:
            return cls(after=parse_duration(text))
        except KeelwayError as error:
            raise SettingsError(
                "signing.publish_every is wrong",
                expected="a time such as 1h, or a number of entries such as '100 entries'",
                found=repr(text),
            ) from error

    def is_over(self, *, entries: int, since: timedelta) -> bool:
        """Say whether it is time again, so many entries and so long after the last time."""
        if self.entries is not None:
            return entries >= self.entries
        return entries > 0 and self.after is not None and since >= self.after


def publish(at: Workspace) -> Checkpoint:
    """Publish a signed checkpoint of the ledger to every target, telling of those that fail.

    Raises:
        IntegrityError: The ledger does not agree with what was published before, or the key was retired.
        StorageError: No target took it.
    """
    done = publish_everywhere(at)
    failed = [place for place in done.places if place.failed]
    for place in failed:
        at.progress(f"no checkpoint in {place.where}: {place.failed}")
    if failed and len(failed) == len(done.places):
        raise StorageError(
            "No checkpoint could be published",
            expected=", ".join(place.where for place in failed),
            found=failed[0].failed,
            fix="Mend the target and run `keelway audit publish`; the ledger itself is as it should be.",
        )
    return done.checkpoint


def publish_everywhere(at: Workspace) -> Published:
    """Publish a signed checkpoint of the ledger to every target, and say what came of each."""
    from keelway.ledger import must_be_current, publish_checkpoint

    origin, key = at.settings.signing.name, at.signing.key
    with at.state.snapshot() as tx:
        must_be_current(key.public, tx=tx)
        checkpoint, places = publish_checkpoint(tx.log, origin=origin, key=key, targets=at.signing.targets)
    if not all(place.failed for place in places):
        _remember(at.root / HINT, at.now(), checkpoint.size)
    return Published(checkpoint, places)


def publish_when_due(at: Workspace, *, since: int) -> None:
    """Publish a checkpoint where this process found `since` entries, left more, and the interval is over.

    A target that cannot be reached, or a key that is not here, is told and stops nothing.

    Raises:
        IntegrityError: The ledger does not agree with what was published before.
    """
    with at.state.snapshot() as tx:
        size = tx.log.size()
    last, published = _last(at.root / HINT)
    interval = PublishInterval.parse(at.settings.signing.publish_every)
    elapsed = at.now() - last if last is not None else timedelta.max
    if size == since or not interval.is_over(entries=size - published, since=elapsed):
        return
    try:
        publish(at)
    except IntegrityError:
        raise
    except KeelwayError as error:
        at.progress(f"no checkpoint was published: {error}")


def kept_notes(at: Workspace, others: Sequence[str] = ()) -> Iterator[PublishedNote]:
    """Yield the checkpoints of all targets, then those that somebody kept: a file, a folder, a URL."""
    from keelway.app.stores import checkpoint_target
    from keelway.ledger import PublishedNote, published

    yield from published(at.signing.targets)
    for place in others:
        path = Path(place)
        if path.is_file():
            yield _note_in(path)
        elif "://" not in place and not place.startswith("git:") and not path.is_dir():
            raise StorageError(
                "There is no checkpoint",
                expected="a file, a folder or a target",
                found=place,
                fix="Name what you kept: a .note file, a folder of them, or a place as `signing.publish` names them.",
            )
        else:
            notes = list(published([checkpoint_target(place, at.settings, root=Path())]))
            yield from notes or [PublishedNote(place, "", problem="there is no checkpoint in it")]


def quorum_of(settings: SigningSettings, root: Path, *, keys: Sequence[Path] = (), needed: int | None = None) -> Quorum:
    """Return the witnesses that are asked for: those of the settings, unless others are named."""
    from keelway.ledger import PublicKey, Quorum

    files = [*keys] or [root / name for name in settings.witnesses]
    default = len(keys) or settings.witness_quorum
    return Quorum(tuple(PublicKey.load(path) for path in files), default if needed is None else needed)


def keep_witnessed(text: str, out: Path) -> Path:
    """Write a checkpoint with its new line to a file, or under its own name to a folder; return the file."""
    from keelway.engines.local.checkpoints import FolderCheckpoints
    from keelway.ledger import note_name, write_atomically

    if not out.is_dir():
        write_atomically(out, text.encode())
        return out
    name = note_name(text)
    FolderCheckpoints(out).put(name, text)
    return out / name


def _note_in(path: Path) -> PublishedNote:
    """Return the checkpoint in a file, with the hashes that lie beside it."""
    from keelway.engines.local.checkpoints import FolderCheckpoints
    from keelway.ledger import PublishedNote, published_leaves

    folder = FolderCheckpoints(path.resolve().parent)
    return PublishedNote(str(path), folder.get(path.name), lambda: published_leaves(folder, path.name))


def _remember(path: Path, at: datetime, size: int) -> None:
    from keelway.ledger import write_atomically

    write_atomically(path, json.dumps({"at": time_text(at), "size": size}).encode())


def _last(path: Path) -> tuple[datetime | None, int]:
    try:
        told = json.loads(path.read_bytes())
        return parse_time(str(told["at"])), int(told["size"])
    except (OSError, ValueError, KeyError, TypeError, KeelwayError):
        return None, 0  # never published from here, or nobody knows when
