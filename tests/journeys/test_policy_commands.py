"""Policies at work on a version that was really trained: explained, measured for, and replayed under another policy."""

from __future__ import annotations

RELEASE = ("--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token")
GATE = "policies/staging/gate.rego"


def test_what_a_gate_misses_is_explained_measured_and_replayed(trained) -> None:
    trained("promote", "churn:1", "--to", "staging", *RELEASE)
    with (trained.root / GATE).open("a") as file:
        file.write('\nrules contains "fast"\n\ndeny contains reason if some reason in lib.latency_at_most_ms(10000)\n')
        file.write('\nrules contains "small"\n\ndeny contains reason if some reason in lib.size_at_most_mb(0.000001)\n')
    fast, small = trained("policy", "explain", "churn:1", "--to", "staging")["clauses"][-2:]
    assert fast["reasons"] == ["the latency was not measured: keelway policy measure churn:1 --latency"]
    assert fast["changes"] == ["latency.p99_ms is not recorded, has to be <= 10000"]
    assert small["changes"][0].endswith("has to be <= 1000000 * 1e-06")

    (measured,) = trained("policy", "measure", "churn:1", "--latency")
    assert 0 < measured["figures"]["p50_ms"] <= measured["figures"]["p99_ms"]
    told = trained("policy", "explain", "churn:1", "--to", "staging")
    assert [clause["rule"] for clause in told["clauses"] if clause["reasons"]] == ["small"]

    (leaks,) = trained("policy", "measure", "churn:1", "--leakage")
    assert leaks["figures"]["rows"] > 0
    assert leaks["figures"]["stops"] == 0 or leaks["figures"]["findings"]

    replay = trained("policy", "replay", "staging", "--against", "1990-01-01..")
    assert replay["judged"] == 1
    assert replay["changed"] == 1
    (changed,) = replay["refused_now"]
    assert changed["decision"]["subject"] == "churn:1"
    assert sorted(kind.split()[0] for kind in replay["gained"]) == ["the", "the"]
    trained("audit")
