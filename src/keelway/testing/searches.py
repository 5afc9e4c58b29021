"""Searches in processes of their own: what is killed, and what races.

Each is forked from one server that has imported what a search needs, so that many of them import it once. What runs
there has to be importable, and therefore stands here.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from keelway.testing.tuning import CountingScore, TuningWorld

HEAVY = (
    "optuna",
    "pandas",
    "pyarrow.parquet",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sqlalchemy",
)
"""Libraries that a search imports within its functions."""


def begun(function: Callable[..., object], *arguments: object) -> BaseProcess:
    """Begin a function of this module in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *HEAVY])
    made: BaseProcess = context.Process(target=function, args=arguments, daemon=True)
    made.start()
    return made


def search_until(folder: Path, after: int, said: Path) -> None:
    """Search nine trials, but say so and hang in the call of the score that follows so many."""
    TuningWorld.of(folder, trials=9).tune(score=CountingScore(hang_after=after, said=said))


def race(folder: Path, trials: int, workers: int, told: Path) -> None:
    """Search beside others, and tell the name of the study."""
    world = TuningWorld.of(folder, trials=trials, pruner="none", workers=workers)
    told.write_text(world.tune(score=CountingScore(sleep_s=0.05)).study)
