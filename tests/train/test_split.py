"""Splits never let a model see labels that were unknown at its test cut, unless told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keelway.errors import TrainingError
from keelway.train import Split, forward_split

CUTS = tuple(datetime(2025, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4))


def test_only_cuts_with_known_labels_train() -> None:
    assert forward_split(CUTS, timedelta(days=59)) == Split(CUTS[:2], CUTS[3], 0)


def test_overlap_is_refused_or_recorded() -> None:
    with pytest.raises(TrainingError, match="No training cut"):
        forward_split(CUTS, timedelta(days=180))
    assert forward_split(CUTS, timedelta(days=180), "when_unavoidable") == Split(CUTS[:3], CUTS[3], 149)


def test_one_cut_is_not_enough() -> None:
    with pytest.raises(TrainingError, match="nothing to hold out"):
        forward_split(CUTS[:1], timedelta(days=1))
