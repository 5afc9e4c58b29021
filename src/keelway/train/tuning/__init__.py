"""Tuning: parameters searched for over the folds of the training rows, resumably, with an optimiser behind a port."""

from keelway.train.tuning.apply import tuned
from keelway.train.tuning.key import metric_of, study_name, tuning_key
from keelway.train.tuning.objective import Score
from keelway.train.tuning.plots import history_plot, parameter_plot, slice_plot
from keelway.train.tuning.ports import Asked, Space, Studies, Study, StudyTerms, within
from keelway.train.tuning.record import Tuning, TuningTrial, trials_of
from keelway.train.tuning.runs import TrialOrigin, record_trials, trial_run_id
from keelway.train.tuning.stopping import UNCOUNTED, best_of, considered
from keelway.train.tuning.tune import tune

__all__ = [
    "UNCOUNTED",
    "Asked",
    "Score",
    "Space",
    "Studies",
    "Study",
    "StudyTerms",
    "TrialOrigin",
    "Tuning",
    "TuningTrial",
    "best_of",
    "considered",
    "history_plot",
    "metric_of",
    "parameter_plot",
    "record_trials",
    "slice_plot",
    "study_name",
    "trial_run_id",
    "trials_of",
    "tune",
    "tuned",
    "tuning_key",
    "within",
]
