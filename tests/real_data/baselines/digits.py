"""Which digit is on an image of 8 x 8 pixels? 1,797 images, drawn at random for the test."""

from __future__ import annotations

from typing import Any

from keelway import Dataset, Estimator, Evaluation, Label, Model, Project, RandomSplit, Range, feature_set

from .usual import LOGISTIC, searched

PIXELS = 64
images = Dataset(
    "images", contract="contracts/images.odcs.yaml", source="raw/images/*.csv", event_time="", keys=("row",)
)


@feature_set(entity="row", sources=[images], arrays={"pixels": PIXELS})
def ink(images: Any, as_of: Any) -> Any:
    """Return the pixels of an image as one array."""
    import ibis

    return images.select("row", pixels=ibis.array([images[f"p{place}"] for place in range(PIXELS)]))


@Label.define(entity="row", source=images)
def digit(images: Any, as_of: Any) -> Any:
    """Return which digit it is."""
    return images.select("row", "digit")


TREES = Estimator(
    "trees",
    "sklearn.ensemble.ExtraTreesClassifier",
    {"n_estimators": 100, "max_features": 0.125, "min_samples_leaf": 1},
    space={"max_features": Range(0.05, 0.5), "min_samples_leaf": Range(1, 5)},
)
model = Model(
    "digits",
    features=[ink],
    label=digit,
    task="multiclass",
    cuts=None,
    split=RandomSplit(folds=3),
    estimators=[LOGISTIC, TREES],
    metrics=["accuracy", "log_loss"],
    evaluation=Evaluation(bootstrap=100),
)
project = Project("digits", models=searched(model), policies="policies/")
