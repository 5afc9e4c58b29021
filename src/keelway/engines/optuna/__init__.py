"""The Optuna engine: studies that outlive the process which searches."""

from keelway.engines.optuna.studies import OptunaStudies

__all__ = ["OptunaStudies"]
