"""A contest: several models on the same rows, each against the first, with a verdict in words, plots and a page."""

from keelway.evaluate.contest.contest import contest
from keelway.evaluate.contest.page import contest_page
from keelway.evaluate.contest.plots import contest_plots
from keelway.evaluate.contest.records import Contest, Contestant, ContestSlice, ContestWord, Duel
from keelway.evaluate.contest.words import chance_of, sentence_of, word_of

__all__ = [
    "Contest",
    "ContestSlice",
    "ContestWord",
    "Contestant",
    "Duel",
    "chance_of",
    "contest",
    "contest_page",
    "contest_plots",
    "sentence_of",
    "word_of",
]
