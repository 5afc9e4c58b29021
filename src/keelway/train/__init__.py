"""Training: forward splits in time, a pipeline from the feature schema, and a record of everything it came from."""

from keelway.train.code_state import code_state, environment_digest
from keelway.train.fit import fit, model_definition, training_key, training_rows
from keelway.train.frame import frame_of, labels_of, ordered
from keelway.train.ports import Tracker
from keelway.train.record import TrainedModel
from keelway.train.split import Split, forward_split
from keelway.train.stored import load_pipeline

__all__ = [
    "Split",
    "Tracker",
    "TrainedModel",
    "code_state",
    "environment_digest",
    "fit",
    "forward_split",
    "frame_of",
    "labels_of",
    "load_pipeline",
    "model_definition",
    "ordered",
    "training_key",
    "training_rows",
]
