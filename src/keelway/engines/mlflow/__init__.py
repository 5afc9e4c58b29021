"""The MLflow engine: runs, versions and aliases as MLflow's users expect to see them."""

from keelway.engines.mlflow.tracker import MlflowTracker

__all__ = ["MlflowTracker"]
