"""The records of a bill of materials: what was installed, and which bill belongs to a version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from keelway.core import Digest, VersionName


@dataclass(frozen=True, slots=True)
class PackageList:
    """What an environment digest stands for: its canonical JSON has that very digest.

    Attributes:
        python: Python's version.
        packages: Version of every installed package, by its normalised name.
    """

    python: str
    packages: dict[str, str]


@dataclass(frozen=True, slots=True)
class BillOfMaterials:
    """The bill of a version, as it was registered.

    Attributes:
        version: Digest of the ModelVersion.
        data: The artifact: CycloneDX in JSON.
        components: How many components it lists.
        libraries: How many of them are installed packages; 0 where the training environment is not known.
    """

    name: VersionName
    version: Digest
    data: Digest
    components: int
    libraries: int
    at: datetime
