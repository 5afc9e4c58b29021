"""The whole loop through the Python API, in one sitting: from raw files to a proven prediction, and once around.

    python examples/tour.py FOLDER

It uses the churn example (real orders of the CDNOW shop), two clocks, three people and a service principal. Everything the command line
does goes through these same calls.
"""

from __future__ import annotations

import sys
from pathlib import Path

from keelway import App
from keelway.core import Clock, SimulatedClock, parse_time
from keelway.errors import RefusedError
from keelway.surfaces.cli.start import equip
from keelway.template import copy_example, example_module

WINTER = SimulatedClock(parse_time("1998-01-02"))
SUMMER = SimulatedClock(parse_time("1998-07-01T12:00:00Z"))
NEW_YEAR = parse_time("1998-01-01")
TOKEN = "file:.keelway/secrets/sp-release.token"


def as_(actor: str, root: Path, clock: Clock) -> App:
    """Open the project as somebody; a service principal shows its token."""
    return App.open(root, actor=actor, clock=clock, token=TOKEN if actor.startswith("sp:") else "")


def main(folder: Path) -> None:
    """Walk through the loop and print what happens."""
    # A project is a folder: declarations, contracts, policies, settings. This one brings its own shop.
    root = folder / "churn"
    copy_example(root)
    equip(root)
    shop = example_module(root)

    # --- Winter. The shop has uploaded its daily files, with the faults that daily files have.
    shop.lay_out(shop.orders_path(), root, until=WINTER.now())
    ana, bo, release = (as_(name, root, WINTER) for name in ("user:ana", "user:bo", "sp:release"))
    olga = as_("user:olga", root, WINTER)

    # 1-3. Pull exactly once, check every row, keep an immutable snapshot.
    (came,) = ana.data.ingest()
    print(f"ingest: {came.rows_in} rows in, {came.rows_repaired} repaired, {came.rows_quarantined} quarantined")
    for line in came.told:
        print(f"    {line}")
    assert ana.data.ingest()[0].files == 0, "a second pull does nothing"

    # 4-7. Features as of each cut, two estimators, a forward test, a comparison, and a signed version in ONNX.
    view = ana.lab.run("churn")
    version = ana.lab.version_made_by(view)
    (line,) = ana.lab.models("churn")
    print(f"train: {version.name} ({line.estimator}), {line.metric} {line.value:.3f}, recency alone {line.trivial:.3f}")

    # 8. The door. Staging asks for gates; production for gates, an approval by somebody else, and a service principal.
    # One gate asks whether Olga, who answers for the model, confirmed what is declared about its risk.
    risk = olga.governance.risk.assess("churn", comment="asked marketing what happens to the list")
    print(f"risk: tier {risk.tier}, assessed by {risk.assessed_by}, review by {risk.review_by.date()}")
    release.gate.promote(version.name, "staging")
    ana.gate.request(version.name, "prod", comment="please read the scorecard")
    for who, act in (
        ("production without approval", lambda: release.gate.promote(version.name, "prod")),
        ("the author's own approval", lambda: ana.gate.approve(version.name, "prod")),
    ):
        try:
            act()
        except RefusedError as refusal:
            print(f"refused: {who}: {refusal.reasons[0]}")
    bo.gate.approve(version.name, "prod", comment="read")
    admission = release.gate.promote(version.name, "prod")
    print(
        f"door: {admission.version} is in prod, let in by {admission.principal} on {len(admission.verdict.rules)} rules"
    )

    # 9. Traffic, after a smoke test. `keelway serve churn` answers over HTTP; here we score every customer.
    release.traffic.deploy(version.name, "prod")
    scored = release.traffic.score("churn", "prod", as_of=NEW_YEAR)
    print(f"score: {scored.rows} customers, mean probability to leave {scored.mean_value:.3f}")
    for app in (ana, bo, olga, release):
        app.close()

    # --- Summer. The other files have come, and we know who bought again.
    shop.lay_out(shop.orders_path(), root, until=SUMMER.now())
    ana, bo, release = (as_(name, root, SUMMER) for name in ("user:ana", "user:bo", "sp:release"))
    ana.data.ingest()

    # 10. Outcomes are labels that arrive later; drift is an effect size beyond what chance reaches.
    known = ana.watch.outcomes("churn", from_label=True, as_of=NEW_YEAR)
    report = ana.watch.monitor("churn", "prod")
    whole = next(each for each in report.quality.slices if each.arm == "all")
    assert whole.roc_auc is not None
    print(f"monitor: {known.recorded} outcomes, ROC AUC {whole.roc_auc.value:.3f}, drift: {report.drift.verdict}")

    # 11. The contingency plan asks for a challenger. It goes through the same door, then a canary, then all or back.
    renewed = ana.watch.retrain("churn", "prod")
    assert renewed.version is not None
    challenger = renewed.version
    release.gate.promote(challenger, "staging")
    ana.gate.request(challenger, "prod")
    bo.gate.approve(challenger, "prod")
    release.gate.promote(challenger, "prod")
    release.rollouts.canary(challenger, "prod", 10)
    release.traffic.score("churn", "prod", as_of=parse_time("1998-07-01"))
    answer = release.rollouts.look("churn", "prod")
    print(f"canary: {challenger} with 10 %: {answer.move}, {answer.reasons[0]}")
    print(f"traffic: {dict(answer.deployment.traffic)}")

    # 12. One prediction, proven back to the bytes of the raw files, by whoever has the public key.
    prediction = ana.traffic.newest_prediction("churn", "prod")
    proof = ana.evidence.prove(f"prediction:{prediction}", out=folder / "proof.json")
    checked = ana.evidence.verify(folder / "proof.json", files=root)
    print(f"proof: {proof.records} records, {proof.entries} ledger entries, {checked.raw_files} raw files: verified")
    print(f"audit: {ana.evidence.audit().size} entries hold")
    for app in (ana, bo, release):
        app.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "keelway-tour"))
