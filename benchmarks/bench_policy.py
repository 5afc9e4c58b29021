"""Policies: decisions per second one by one and in batches, a replay of 10,000, and what else they could cost.

The gate is that of production in examples/churn: eight ready rules. The documents are as long as those of the demo, and
no two are the same. Compared with the same eight questions in plain Python, which is no policy that anybody could
replay elsewhere, and with regopy as its documentation shows it: an interpreter, the files and a query for each decision.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from _figures import Figure, report

from keelway.core import (
    Action,
    ArtifactKind,
    Decision,
    Digest,
    Evidence,
    PolicySet,
    PrincipalId,
    Verdict,
    canonical_json,
    digest_of,
    parse_json,
    revive,
)
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.rego import RegoEngine
from keelway.engines.rego.processes import EvaluationLimits, processes
from keelway.engines.sql import SqlState
from keelway.ledger import record_decision
from keelway.promote import load_policy, past_decisions, replay, sample_evidence, store_policy

REPLAYED = 10_000
SINGLE = 300
NAIVE = 30
ROUNDS = 3
AIM_REPLAY_S = 10.0
CORES = 2
BATCH = 2_000
START = datetime(2026, 1, 1, tzinfo=UTC)
EXAMPLE = Path(__file__).parents[1] / "examples" / "churn"
QUERY = "rules := data.keelway.gate.rules; refused := count(data.keelway.gate.deny)"


def documents(count: int) -> list[Evidence]:
    """Return evidence of made-up versions, always the same for a count; two thirds of them are let in."""
    draw = random.Random(7)
    made = []
    for number in range(count):
        document = sample_evidence()
        document["environment"] = "prod"
        document["version"] |= {"name": f"churn:{number}", "number": number}
        for figures in document["metrics"].values():
            figures["value"] = draw.uniform(0.6, 0.95)
            figures["low"], figures["high"] = (
                figures["value"] - draw.random() / 20,
                figures["value"] + draw.random() / 20,
            )
        document["evaluation"]["positives"] = draw.randrange(150, 9000)
        document["parity"]["max_difference"] = draw.uniform(0, 1.05e-5)
        document["snapshots"]["orders"]["quarantined_share"] = draw.uniform(0, 0.052)
        made.append(document)
    return made


def plain_rule(evidence: Evidence) -> list[str]:
    """Return why the eight questions refuse, asked in Python."""
    reasons = []
    if not evidence["admissions"].get("staging"):
        reasons.append("it was never admitted to staging")
    low = evidence["metrics"]["roc_auc"]["low"]
    if not low >= 0.70:
        reasons.append(f"roc_auc is at least {low} with confidence, needs 0.7")
    reasons += [
        f"{against}: {evidence[against]['verdict']}"
        for against in ("versus_trivial", "versus_champion")
        if evidence[against]["verdict"] not in ("better", "equivalent", "no difference shown")
    ]
    parity = evidence["parity"]
    if not (parity["max_difference"] <= parity["tolerance"] and parity["nulls_tested"] and parity["unseen_tested"]):
        reasons.append(f"the ONNX model differs by {parity['max_difference']}")
    if not evidence["evaluation"]["positives"] >= 200:
        reasons.append(f"the test has {evidence['evaluation']['positives']} positive rows, needs 200")
    reasons += [
        f"{name}: {snapshot['quarantined_share']} of the rows are quarantined"
        for name, snapshot in evidence["snapshots"].items()
        if not snapshot["quarantined_share"] <= 0.05
    ]
    if not evidence["signature"]["verified"]:
        reasons.append("the signature does not verify")
    return reasons


def naive(policy: PolicySet, evidence: Evidence) -> Any:
    """Ask regopy as its documentation shows it."""
    from regopy import Interpreter, LogLevel

    interpreter = Interpreter()
    interpreter.log_level = LogLevel.NONE
    for name, text in policy.files.items():
        interpreter.add_module(name, text)
    interpreter.set_input_term(json.dumps(evidence))
    return interpreter.query(QUERY)


def seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median of several rounds."""
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return median(taken)


def single(policy: PolicySet, made: Sequence[Evidence]) -> list[Figure]:
    """Measure decisions one by one, beside plain Python and a plain regopy call."""
    engine = RegoEngine()
    started = seconds(lambda: (stop_processes(), RegoEngine().judge(policy, made[0])))
    edits = iter(edited(policy, f"# {number}") for number in range(ROUNDS))
    first = seconds(lambda: RegoEngine().judge(next(edits), made[0]))
    engine.judge(policy, made[0])
    some = made[1 : SINGLE + 1]
    each = seconds(lambda: [RegoEngine.judge(engine, policy, one) for one in some], 1) / len(some)
    python = seconds(lambda: [plain_rule(one) for one in some]) / len(some)
    called = seconds(lambda: [naive(policy, one) for one in made[:NAIVE]], 1) / NAIVE
    return [
        Figure("first decision of all, which starts a process", started * 1000, "ms", "a regopy call that compiles",
               started / called),
        Figure("first decision of a policy", first * 1000, "ms", "a regopy call that compiles", first / called),
        Figure("one decision, policy compiled", each * 1000, "ms", "a regopy call that compiles", each / called),
        Figure("decisions one by one", 1 / each, "1/s", "the same questions in plain Python", python / each),
        Figure("a regopy call that compiles", called * 1000, "ms"),
        Figure("the same questions in plain Python", python * 1e6, "us"),
    ]  # fmt: skip


def batched(policy: PolicySet, made: Sequence[Evidence]) -> list[Figure]:
    """Measure documents in one batch, in one process and in one for each processor."""
    engine, data = RegoEngine(), [canonical_json(one) for one in made]
    begun = processor_seconds()
    alone = seconds(lambda: engine.judge_many(policy, data, workers=1), 1) / len(data)
    spent = (processor_seconds() - begun) / len(data)
    taken = seconds(lambda: engine.judge_many(policy, data), 1)
    return [
        Figure("decisions in a batch, one process", 1 / alone, "1/s"),
        Figure("processor time of one of them", spent * 1000, "ms"),
        Figure("decisions in a batch, a process for each processor", len(data) / taken, "1/s", "one process",
               alone * len(data) / taken),
    ]  # fmt: skip


def edited(policy: PolicySet, line: str) -> PolicySet:
    """Return a policy with a line more in its gate, which makes it another one."""
    return PolicySet(policy.name, {**policy.files, "gate.rego": f"{policy.files['gate.rego']}\n{line}\n"})


def stop_processes() -> None:
    """End the processes that evaluate: they are started again, and what they used is counted only then."""
    processes(EvaluationLimits()).stop()


def processor_seconds() -> float:
    """Return what this process and those that it waited for used of processors; other work on the machine is not in it."""
    stop_processes()
    return sum(os.times()[:4])


def replayed(policy: PolicySet, made: Sequence[Evidence], folder: Path) -> list[Figure]:
    """Measure a replay: past decisions from a ledger, their evidence from an artifact store, judged by an edited policy."""
    artifacts, state = LocalArtifacts(folder / "artifacts"), SqlState(f"sqlite:///{folder / 'state.db'}")
    engine, digest = RegoEngine(), store_policy(policy, artifacts=artifacts)
    data = [canonical_json(document) for document in made]
    verdicts = engine.judge_many(policy, data)
    with state.transaction() as tx:
        for number, (document, verdict) in enumerate(zip(data, verdicts, strict=True)):
            stored = artifacts.put(document, kind=ArtifactKind.REPORT).digest
            record_decision(_decision(number, stored, digest, verdict), tx=tx)
    stricter = PolicySet(policy.name, {**policy.files, "gate.rego": policy.files["gate.rego"].replace("0.70", "0.75")})

    def work() -> None:
        with state.snapshot() as tx:
            past = list(past_decisions(tx, since=START))
        told = replay(past, stricter, digest_of(stricter), artifacts=artifacts, lab=RegoEngine(),
                      policies=lambda each: revive(parse_json(artifacts.get(each)), PolicySet))  # fmt: skip
        changed.append(told.changed)

    changed: list[int] = []
    begun = processor_seconds()
    taken = seconds(work, 1)
    spent = processor_seconds() - begun
    state.close()
    return [
        Figure("processor time of the replay", spent, "s", f"what {CORES} processors have in the aim",
               spent / AIM_REPLAY_S / CORES),
        Figure(
            f"replay of {len(made):,} decisions", taken, "s", "the aim", taken / AIM_REPLAY_S, f"< {AIM_REPLAY_S:g} s"
        ),
        Figure("decisions that would change", changed[0], ""),
    ]  # fmt: skip


def _decision(number: int, evidence: Digest, policy: Digest, verdict: Verdict) -> Decision:
    return Decision(
        action=Action.PROMOTE,
        subject=f"churn:{number}",
        allowed=verdict.allowed,
        principal=PrincipalId("sp:release"),
        at=START + timedelta(minutes=number),
        evidence={"evidence": evidence},
        reasons=verdict.reasons,
        policy=policy,
        environment="prod",
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--decisions", type=int, default=REPLAYED)
    options = parser.parse_args()
    policy = load_policy("policies/production", root=EXAMPLE)
    made = documents(options.decisions)
    figures = [*single(policy, made), *batched(policy, made[:BATCH])]
    with tempfile.TemporaryDirectory() as folder:
        figures += replayed(policy, made, Path(folder))
    report(figures, options.json)


if __name__ == "__main__":
    main()
