"""A folder as the place where checkpoints are published: another disk, a mounted share, a folder that is backed up.

A text is written beside its place, forced to the disk, and linked to its name, which fails where the name is taken: so
nothing is ever overwritten from here. Whoever may write to the folder by other means still can.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.errors import MissingRecordError, RecordExistsError, StorageError

if TYPE_CHECKING:
    from keelway.ledger import CheckpointTarget


class FolderCheckpoints:
    """Checkpoints as files of a folder.

    Args:
        root: The folder; made when the first text arrives.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(root)

    @property
    def where(self) -> str:
        """The folder's path."""
        return str(self._root)

    def put(self, name: str, text: str) -> None:
        """Keep a text; the same text again does nothing."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._write(self._root / name, text.encode())
        except FileExistsError:
            if self.get(name) != text:
                raise RecordExistsError(
                    f"There is another text under {name} in {self.where}", expected="a free name", found="other bytes"
                ) from None
        except OSError as error:
            raise StorageError(
                f"The checkpoint {name} cannot be written to {self.where}",
                found=str(error),
                fix="Check the disk and the rights of the folder.",
            ) from error

    def names(self) -> list[str]:
        """Return the names that hold a text, sorted."""
        try:
            found = [path.name for path in self._root.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"The folder {self.where} cannot be listed", found=str(error)) from error
        return sorted(name for name in found if not name.startswith("."))

    def get(self, name: str) -> str:
        """Return a text."""
        try:
            return (self._root / name).read_bytes().decode(errors="replace")
        except FileNotFoundError as error:
            raise MissingRecordError(f"Nothing is published in {self.where}", expected=name, found="nothing") from error
        except OSError as error:
            raise StorageError(f"The checkpoint {name} in {self.where} cannot be read", found=str(error)) from error

    def _write(self, place: Path, data: bytes) -> None:
        descriptor, temporary = tempfile.mkstemp(prefix=".part-", dir=self._root)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                os.fchmod(stream.fileno(), 0o444)
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(temporary, place)
        finally:
            Path(temporary).unlink(missing_ok=True)


if TYPE_CHECKING:
    _: CheckpointTarget = FolderCheckpoints(Path())
