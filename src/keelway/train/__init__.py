"""Training: splits and folds, a pipeline from the feature schema, and a record of everything it came from."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
    from keelway.train.code_state import code_state, environment_digest, installed_packages
    from keelway.train.fit import fit, model_definition, training_key
    from keelway.train.folds import Fold, folds
    from keelway.train.frame import encoded, frame_of, labels_of, ordered
    from keelway.train.lesson import Lesson, fitted_pipeline
    from keelway.train.manifest import EnsembleManifest, EnsembleMember, EnsemblePipeline
    from keelway.train.parts import Parts, held_out_rows, parts_of, training_rows
    from keelway.train.ports import Tracker
    from keelway.train.predict import predictions
    from keelway.train.preprocess import TextVectors, vectors_from, vectors_told
    from keelway.train.record import TrainedModel
    from keelway.train.shown import signature_text
    from keelway.train.split import Split, forward_split
    from keelway.train.stored import load_pipeline, member_pipelines, trust_type

__all__ = [
    "EnsembleManifest",
    "EnsembleMember",
    "EnsemblePipeline",
    "Fold",
    "Lesson",
    "Parts",
    "Split",
    "TextVectors",
    "Tracker",
    "TrainedModel",
    "code_state",
    "encoded",
    "environment_digest",
    "fit",
    "fitted_pipeline",
    "folds",
    "forward_split",
    "frame_of",
    "held_out_rows",
    "installed_packages",
    "labels_of",
    "load_pipeline",
    "member_pipelines",
    "model_definition",
    "ordered",
    "parts_of",
    "predictions",
    "signature_text",
    "training_key",
    "training_rows",
    "trust_type",
    "vectors_from",
    "vectors_told",
]

open_door(__name__)
