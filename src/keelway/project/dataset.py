"""Dataset: raw files that belong together, and the contract they keep."""

from __future__ import annotations

from dataclasses import dataclass, field

from keelway.core import Digest, checked_name, digest_of
from keelway.errors import ProjectError
from keelway.project.paths import checked_relative


@dataclass(frozen=True, slots=True)
class Dataset:
    """Raw files that belong together.

    Attributes:
        name: What people, tables and records call it.
        contract: Path of the data contract (ODCS), relative to the root of the project.
        source: Glob of the raw files, relative to the root of the object store.
        event_time: The column that says when a row happened; empty for a static table, whose rows carry no time: all
            that became known before a cut date may be seen at it.
        keys: The columns that name a row; empty where rows have no key.
        marker: A file, such as `_SUCCESS`, without which the files of its folder are not taken yet; empty for none.
        settle_s: Files younger than this many seconds are left for the next pull: they may still be growing.
        schedule: When new files are due, as a cron expression in UTC (`5 * * * *`); empty for no schedule.

    Raises:
        ProjectError: A path leaves the project or store, or a name is missing or given twice.

    >>> Dataset("orders", contract="contracts/orders.odcs.yaml", source="raw/*.csv", event_time="ordered_at").name
    'orders'
    """

    name: str
    contract: str = field(kw_only=True)
    source: str = field(kw_only=True)
    event_time: str = field(kw_only=True)
    keys: tuple[str, ...] = field(default=(), kw_only=True)
    marker: str = field(default="", kw_only=True)
    settle_s: int = field(default=0, kw_only=True)
    schedule: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        checked_name(self.name, what="dataset")
        object.__setattr__(self, "keys", tuple(self.keys))
        checked_relative(self.contract, what=f"contract of dataset {self.name!r}")
        checked_relative(self.source, what=f"source of dataset {self.name!r}")
        if len(set(self.keys)) != len(self.keys) or not all(self.keys):
            raise ProjectError(
                f"The keys of dataset {self.name!r} are wrong", expected="column names, each once", found=str(self.keys)
            )
        if self.settle_s < 0:
            found = str(self.settle_s)
            raise ProjectError(f"settle_s of dataset {self.name!r} is wrong", expected="0 or more", found=found)
        if "/" in self.marker or self.marker in (".", ".."):
            raise ProjectError(
                f"The marker of dataset {self.name!r} is wrong", expected="a file's name", found=self.marker
            )

    @property
    def is_static(self) -> bool:
        """Whether rows carry no time."""
        return not self.event_time

    def definition(self) -> Digest:
        """Return the digest of everything declared here."""
        return digest_of(self)
