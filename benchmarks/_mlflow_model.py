"""Saves the benchmark's pipeline as an MLflow model; runs in MLflow's own environment.

python _mlflow_model.py FOLDER    reads FOLDER/pipeline.joblib, writes FOLDER/mlflow-model
"""

from __future__ import annotations

import sys
from pathlib import Path

import joblib
import mlflow.sklearn
from mlflow.models import infer_signature


def main() -> None:
    """Save the model with a signature, so that MLflow checks requests as well."""
    folder = Path(sys.argv[1])
    pipeline, frame = joblib.load(folder / "pipeline.joblib")
    numbers = frame.select_dtypes("number").columns
    wide = frame.astype(dict.fromkeys(numbers, "float64"))  # what numbers in JSON become
    mlflow.sklearn.save_model(
        pipeline,
        folder / "mlflow-model",
        signature=infer_signature(wide, pipeline.predict_proba(wide)),
        pyfunc_predict_fn="predict_proba",
        pip_requirements=[],
        serialization_format="cloudpickle",
    )


if __name__ == "__main__":
    main()
