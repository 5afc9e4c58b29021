"""What docs/training.md shows as an example trains as it is written."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np

from keelway.testing.static import StaticWorld
from keelway.train import labels_of

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
EXAMPLE = re.compile(r"<!-- example -->\n```python\n(.*?)```", re.DOTALL)


def test_the_example_trains(tmp_path: Path) -> None:
    [text] = EXAMPLE.findall(PAGE.read_text(encoding="utf-8"))
    (tmp_path / "sorting_example.py").write_text(text, encoding="utf-8")
    found = importlib.util.spec_from_file_location("sorting_example", tmp_path / "sorting_example.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)

    draw = np.random.default_rng(0)
    word = draw.integers(0, 3, 200)
    columns = {
        "letter": [f"l{number:03}" for number in range(200)],
        "pages": draw.integers(1, 9, 200).tolist(),
        "kind": draw.choice(["card", "sheet"], 200).tolist(),
        "body": [["please pay soon", "we met today", "kindly help us"][each] for each in word],
        "dark": draw.normal(size=200),
        "pale": draw.normal(size=200),
        "part": ["test"] * 50 + ["train"] * 150,
        "answer": [["bill", "note", "plea"][each] for each in word],
    }
    world = StaticWorld(tmp_path / "world", module.project.model("sorting"), columns)
    trained = world.fit()
    answers = world.predicted(trained).argmax(axis=1)

    assert [each.kind for each in trained.features] == ["numeric", "categorical", "text", "array"]
    assert (np.array(trained.classes)[answers] == labels_of(world.held_out(), "multiclass")).all()
