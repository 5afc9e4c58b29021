"""Who will say yes on the telephone? The campaign of a Portuguese bank, May 2008 to November 2010, month by month.

At the start of a month the bank has a list of whom to call; what they answer comes in during the month. The same rows
are learnt from forward in time, and shuffled. The file as it came, with the length of each call, is a dataset of its own.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from keelway import Cuts, Dataset, Evaluation, Label, Model, Project, RandomSplit, TimeSplit, feature_set

from .usual import BOOSTING, LOGISTIC

lists, calls = (
    Dataset(name, contract=f"contracts/{name}.odcs.yaml", source=f"raw/{name}/*.csv", event_time=moment, keys=("row",))
    for name, moment in (("lists", "listed_at"), ("calls", "called_at"))
)
campaign = Dataset(
    "campaign", contract="contracts/campaign.odcs.yaml", source="raw/campaign/*.csv", event_time="", keys=("row",)
)
MONTHS = ((2008, 8), (2008, 11), (2009, 5), (2009, 8), (2009, 11), (2010, 5), (2010, 8), (2010, 11))
"""The middle month of each quarter; nobody was called in February."""


@feature_set(entity="row", sources=[lists])
def listed(lists: Any, as_of: Any) -> Any:
    """Return what is known of those who are to be called in the month that begins."""
    import ibis

    return lists.filter(lists.listed_at >= as_of - ibis.interval(days=1)).drop("listed_at", "month")


@Label.define(entity="row", source=calls, horizon="28d")
def agreed(calls: Any, as_of: Any) -> Any:
    """Who said yes."""
    return calls.select("row", agreed=calls.y == "yes")


@feature_set(entity="row", sources=[campaign])
def as_it_came(campaign: Any, as_of: Any) -> Any:
    """Return every column of the file."""
    return campaign


@Label.define(entity="row", source=campaign)
def said_yes(campaign: Any, as_of: Any) -> Any:
    """Who said yes."""
    return campaign.select("row", said_yes=campaign.y == "yes")


FIRST = datetime(2008, 5, 1, tzinfo=UTC)
bank = Model(
    "bank",
    features=[listed],
    label=agreed,
    cuts=Cuts(FIRST, last=datetime(2010, 11, 1, tzinfo=UTC)),
    split=TimeSplit(),
    estimators=[LOGISTIC, BOOSTING],
    evaluation=Evaluation(bootstrap=100),
)
in_time = tuple(
    replace(bank, name=f"bank_{year}_{month:02}", cuts=Cuts(FIRST, last=datetime(year, month, 1, tzinfo=UTC)))
    for year, month in MONTHS
)
shuffled = replace(bank, name="shuffled", split=RandomSplit(despite_time=True))
with_duration = replace(
    bank, name="with_duration", features=(as_it_came,), label=said_yes, cuts=None, split=RandomSplit()
)
project = Project("bank", models=(*in_time, shuffled, with_duration), policies="policies/")
