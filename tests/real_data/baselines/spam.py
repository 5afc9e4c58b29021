"""Which short messages are spam? 5,574 texts; rows are drawn at random, because messages carry no time."""

from __future__ import annotations

from typing import Any

from keelway import (
    Dataset,
    Estimator,
    Evaluation,
    Label,
    Model,
    Preprocessing,
    Project,
    RandomSplit,
    Range,
    feature_set,
)

from .usual import LOGISTIC, searched

messages = Dataset(
    "messages", contract="contracts/messages.odcs.yaml", source="raw/messages/*.tsv", event_time="", keys=("row",)
)


@feature_set(entity="row", sources=[messages], texts=["body"])
def content(messages: Any, as_of: Any) -> Any:
    """Return the text and its length."""
    from keelway.features.blocks import text_length

    return messages.mutate(length=text_length(messages.body))


@Label.define(entity="row", source=messages)
def spam(messages: Any, as_of: Any) -> Any:
    """What was marked as spam."""
    return messages.select("row", spam=messages.kind == "spam")


BAYES = Estimator(
    "bayes", "sklearn.naive_bayes.MultinomialNB", {"alpha": 1.0}, space={"alpha": Range(0.003, 3.0, log=True)}
)
model = Model(
    "spam",
    features=[content],
    label=spam,
    cuts=None,
    split=RandomSplit(folds=3),
    estimators=[LOGISTIC, BAYES],
    preprocessing=Preprocessing(scale="minmax"),  # naive Bayes counts, and nothing counts below 0
    evaluation=Evaluation(bootstrap=100),
)
project = Project("spam", models=searched(model), policies="policies/")
