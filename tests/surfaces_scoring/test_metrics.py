"""What is counted: by model, version and arm, and over several processes that share a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import SimulatedClock, VersionName
from keelway.deploy import Deployment
from keelway.errors import OverloadedError, UnavailableError
from keelway.serve import Answer, LoadedVersion, RequestTally, together
from keelway.serve.loaded import VersionAtHand, assembled
from keelway.surfaces.scoring.metrics import BUCKETS_S, MOST_VERSIONS, SHARED_FOLDER, MetricFamilies, ScoringMetrics
from keelway.testing.serving import NOW, ONE, PROD, FixedScorer, deployment_of

COUNT_IN_A_PROCESS = """
from keelway.surfaces.scoring.metrics import MetricFamilies, ScoringMetrics
metrics = ScoringMetrics("churn", "prod")
metrics.requested(200, [0.001])
metrics.breaker("online store", "open")
"""


@pytest.fixture
def version() -> LoadedVersion:
    deployment: Deployment = deployment_of(churn_1=100)
    hand = VersionAtHand(ONE, deployment.versions[ONE], FixedScorer(0.25))
    return assembled(deployment, {ONE: hand}).stable


def answers(version: LoadedVersion, count: int) -> list[Answer]:
    return [Answer(str(number), "id", "0.25", version, True) for number in range(count)]


def test_a_request_is_counted_by_each_version_that_answered_it(version: LoadedVersion) -> None:
    metrics = ScoringMetrics("churn", "prod")
    spare = replace(version, arm="fallback:constant:0.5", fallback="constant:0.5")
    metrics.scored([([*answers(version, 3), *answers(spare, 2)], 0.002)])
    metrics.scored([(answers(version, 1), 0.002)])
    text = metrics.text().decode()
    named = 'environment="prod",model="churn",version="churn:1"'
    assert f'keelway_predictions_total{{arm="stable",{named}}} 4.0' in text
    assert f'keelway_predictions_total{{arm="fallback:constant:0.5",{named}}} 2.0' in text
    assert f'keelway_answer_seconds_count{{arm="stable",{named}}} 2.0' in text
    fallback = 'keelway_fallback_predictions_total{environment="prod",fallback="constant:0.5",model="churn"} 2.0'
    assert fallback in text


@given(st.lists(st.sampled_from(BUCKETS_S) | st.floats(0, 60), min_size=1, max_size=20))
def test_a_time_goes_into_the_bucket_that_a_histogram_puts_it_in(times: list[float]) -> None:
    metrics, plain = ScoringMetrics("churn", "prod"), MetricFamilies()
    for seconds in times:
        metrics.requested(200, [seconds])
        plain.seconds.labels("churn", "prod").observe(seconds)
    assert _of_requests(metrics.text()) == _of_requests(plain.text()) != []


def _of_requests(text: bytes) -> list[str]:
    """Return the lines of the histogram of requests, but for when it was made."""
    lines = text.decode().splitlines()
    return [line for line in lines if line.startswith("keelway_request_seconds") and "_created" not in line]


def test_models_of_one_process_share_their_families() -> None:
    families = MetricFamilies()
    churn, fraud = (ScoringMetrics(model, "prod", families) for model in ("churn", "fraud"))
    churn.unavailable(OverloadedError("much"))
    fraud.unlogged(3)
    fraud.breaker("fraud:1/0", "half-open")
    text = churn.text().decode()
    assert 'keelway_shed_requests_total{environment="prod",model="churn"} 1.0' in text
    assert 'keelway_unlogged_predictions_total{environment="prod",model="fraud"} 3.0' in text
    assert 'keelway_breaker_state{environment="prod",model="fraud",upstream="fraud:1/0"} 1.0' in text
    assert fraud.text() == churn.text()


def test_processes_that_share_a_folder_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = {**os.environ, SHARED_FOLDER: str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", COUNT_IN_A_PROCESS], check=True, env=shared)
    monkeypatch.setenv(SHARED_FOLDER, str(tmp_path))
    text = MetricFamilies().text().decode()
    assert 'keelway_requests_total{environment="prod",model="churn",status="200"} 2.0' in text
    assert 'keelway_request_seconds_count{environment="prod",model="churn"} 2.0' in text


def test_what_is_out_is_not_counted_as_too_much_work() -> None:
    metrics = ScoringMetrics("churn", "prod")
    metrics.unavailable(OverloadedError("There is too much to do"))
    for _ in range(2):
        metrics.unavailable(UnavailableError("The online store cannot be read"))
    text = metrics.text().decode()
    assert 'keelway_shed_requests_total{environment="prod",model="churn"} 1.0' in text
    assert 'keelway_unavailable_requests_total{environment="prod",model="churn"} 2.0' in text


def test_explanations_are_counted_apart_and_in_no_figure() -> None:
    tally = RequestTally(SimulatedClock(NOW))
    metrics = ScoringMetrics("churn", "prod", tally=tally)
    metrics.explained(501, 0.02)
    text = metrics.text().decode()
    assert 'keelway_explain_requests_total{environment="prod",model="churn",status="501"} 1.0' in text
    assert 'keelway_explain_seconds_count{environment="prod",model="churn"} 1.0' in text
    assert tally.take("churn", PROD) is None


def test_a_shadow_is_an_arm_with_rows_that_it_dropped(version: LoadedVersion) -> None:
    tally = RequestTally(SimulatedClock(NOW))
    metrics = ScoringMetrics("churn", "prod", tally=tally)
    shadow = replace(version, arm="shadow")
    metrics.mirrored(shadow, 3, 0.004)
    metrics.dropped(shadow, 2)
    text = metrics.text().decode()
    assert 'keelway_predictions_total{arm="shadow",environment="prod",model="churn",version="churn:1"} 3.0' in text
    assert 'keelway_shadow_dropped_rows_total{environment="prod",model="churn",version="churn:1"} 2.0' in text
    figures = tally.take("churn", PROD)
    assert figures is not None
    (arm,) = figures.arms
    assert (arm.arm, arm.answers, arm.dropped, sum(arm.counts)) == ("shadow", 3, 2, 1)
    assert together([figures, figures])[ONE, "shadow"].dropped == 4


def test_no_more_than_some_versions_have_series(version: LoadedVersion) -> None:
    """However often a model is trained anew, a process that runs for months does not grow by it."""
    metrics = ScoringMetrics("churn", "prod")
    for number in range(MOST_VERSIONS + 3):
        metrics.scored([(answers(replace(version, version=VersionName(f"churn:{number}")), 1), 0.001)])
    text = metrics.text().decode()
    told = [line for line in text.splitlines() if line.startswith("keelway_predictions_total{")]
    assert len(told) == MOST_VERSIONS
    assert 'version="churn:2"' not in "".join(told)
    assert f'version="churn:{MOST_VERSIONS + 2}"' in "".join(told)
    metrics.scored([(answers(replace(version, version=VersionName("churn:0")), 1), 0.001)])
    assert 'version="churn:0"} 1.0' in metrics.text().decode()
