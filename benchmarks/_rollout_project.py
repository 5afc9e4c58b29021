"""The models of `bench_rollouts.py`: one for each way in which a version comes to answer, with holds of seconds."""

from __future__ import annotations

from dataclasses import replace

from _scoring import declared

from keelway.project import Analysis, BusinessMetric, Guardrail, Metric, Model, Project, Rollout

ENVIRONMENT, LAYER, STEPS = "prod", "prices", (5, 25, 50)
LOOSE = Analysis(
    (
        Guardrail("error_rate", margin=0.05),
        Guardrail("not_a_number", margin=0.05),
        Guardrail("latency", "quantile", quantile=0.75, margin=1.0),
        Guardrail("predictions", "distribution", margin=0.3),
    ),
    planned=500,
)
"""Margins that a version which is as good as its control is shown to be within by some hundred requests."""
BUYING = Analysis((Guardrail("error_rate", margin=0.05),), (Metric("bought", goal="better"),), planned=500)
ROLLOUTS = {
    "steps": Rollout.canary(ENVIRONMENT, steps=STEPS, hold="5s", analysis=LOOSE),
    "shadow": Rollout.shadow(ENVIRONMENT, hold="5s", analysis=LOOSE),
    "green": Rollout.blue_green(ENVIRONMENT, hold="5s", keep="5s", analysis=LOOSE),
    "arms": Rollout.ab(ENVIRONMENT, hold="5s", analysis=BUYING),
    "bandit": Rollout.bandit(ENVIRONMENT, hold="40s", analysis=BUYING),
    "left": Rollout.canary(ENVIRONMENT, steps=(20,), hold="5s", analysis=LOOSE, layer=LAYER),
    "right": Rollout.canary(ENVIRONMENT, steps=(25,), hold="5s", analysis=LOOSE, layer=LAYER),
    "kept": Rollout.blue_green(ENVIRONMENT, hold="0s", keep="1h", mirror=False),
    "challenger": Rollout.champion_challenger(ENVIRONMENT, percent=20),
}


def model(name: str, strength: float | None = None) -> Model:
    """Return the declaration of a model; the strength of regularisation tells its versions apart."""
    bought = BusinessMetric("bought", stream=name, window="3s")
    return replace(declared(strength=strength), name=name, rollouts=(ROLLOUTS[name],), business=(bought,))


project = Project("bench", models=tuple(model(name) for name in ROLLOUTS))
