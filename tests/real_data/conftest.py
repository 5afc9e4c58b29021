"""Real data sets lie beside the repository, or where KEELWAY_DATA says; tests skip where they are absent."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from keelway.testing.pages import Page

ROOT = Path(__file__).parents[2]
collect_ignore = ["baselines"]  # modules of projects, which are loaded from where they are copied to
DATA = Path(os.environ.get("KEELWAY_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"no real data sets at {DATA}; set KEELWAY_DATA")
    return DATA


@pytest.fixture(scope="session")
def unpacked(data_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    def unpack(name: str) -> Path:
        path = data_folder / name
        if not path.is_file():
            pytest.skip(f"{name} is not among the data sets")
        folder = tmp_path_factory.mktemp(path.stem)
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        return folder

    return unpack


@pytest.fixture(scope="session")
def page() -> Page:
    return Page(ROOT / "docs" / "real-data.md", rewrite="KEELWAY_WRITE_PAGES" in os.environ)
