"""The demo: the whole loop on real orders of a real shop, in two visits half a year apart.

Everything it does goes through the same use cases as the commands; the project it leaves behind is an ordinary one.
Each chapter looks first whether it was done before, so a second demo in the same folder changes nothing.

    1998-01-02  raw files -> contract -> snapshot -> model -> door -> traffic -> predictions
    1998-07-01  the rest of the files -> outcomes -> drift -> retrain -> canary -> all traffic, or back -> proof
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from keelway.app import App
from keelway.core import Clock, SimulatedClock, canonical_json, parse_json, parse_time, revive, short
from keelway.errors import IntegrityError, KeelwayError, RefusedError
from keelway.ledger import write_atomically
from keelway.surfaces.cli.traffic_probe import Latency, send_requests

MODEL = "churn"
FIRST_VISIT = parse_time("1998-01-02T00:00:00Z")
SECOND_VISIT = parse_time("1998-07-01T12:00:00Z")
AS_OF = parse_time("1998-01-01T00:00:00Z")
REQUESTS = 400
FIGURES_FILE = ".keelway/demo.json"
RELEASE_TOKEN = "file:.keelway/secrets/sp-release.token"


@dataclass(slots=True)
class Figures:
    """What the demo measured, in the order of the story; printed at its end and as JSON."""

    project: str
    chapters: list[tuple[str, str]] = field(default_factory=list)
    measured: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def tell(self, chapter: str, text: str, **measured: float | None) -> None:
        """Keep one line of the story and its figures."""
        names = [name for name, _ in self.chapters]
        place = names.index(chapter) if chapter in names else len(names)
        self.chapters[place : place + 1] = [(chapter, text)]
        self.measured |= {name: value for name, value in measured.items() if value is not None}


class Demo:
    """The story, told once.

    Args:
        folder: Where the project lies; made when it is not there.
        progress: Called with one line whenever something was done.
    """

    def __init__(self, folder: Path, *, progress: Callable[[str], None]) -> None:
        self.root = folder
        self.progress = progress
        self.figures = self._earlier() or Figures(project=str(folder))

    def tell(self, chapter: str, text: str, **measured: float | None) -> None:
        """Tell a line of the story, and keep it."""
        self.progress(f"{chapter}: {text}")
        self.figures.tell(chapter, text, **measured)
        self._keep()

    def _keep(self) -> None:
        """Keep the story so far, so that a demo that was cut off tells all of it in the end."""
        write_atomically(self.root / FIGURES_FILE, canonical_json(self.figures))

    def _earlier(self) -> Figures | None:
        """Return the figures of an earlier demo in this folder, which are shown again where nothing is done anew."""
        path = self.root / FIGURES_FILE
        return revive(parse_json(path.read_bytes()), Figures) if path.is_file() else None

    def play(self) -> Figures:
        """Play every chapter and return the figures."""
        begun = time.perf_counter()
        self._set_up()
        first = SimulatedClock(FIRST_VISIT)
        second = SimulatedClock(SECOND_VISIT)
        ana = self._open("user:ana", second)
        done = ana.traffic.has_predictions(MODEL, "prod")
        ana.close()
        if not done:
            self._first_visit(first)
        self._second_visit(second)
        self.figures.seconds = time.perf_counter() - begun
        self._keep()
        return self.figures

    def _set_up(self) -> None:
        """Copy the example project, with keys and a token of its own."""
        from keelway.surfaces.cli.start import equip
        from keelway.template import copy_example

        if (self.root / "keelway.toml").exists():
            self.progress(f"project: {self.root} is there already; what was done is not done again")
            return
        copy_example(self.root)
        equip(self.root)
        self.tell("project", f"{self.root}: the example project, with a signing key and a release token of its own")

    def _first_visit(self, clock: Clock) -> None:
        """2 January 1998: from raw files to predictions."""
        self._upload(clock.now(), "files up to 1998")
        ana = self._open("user:ana", clock)
        self._ingest(ana, "ingest")
        version = self._train(ana, "train")
        self.tell("risk", assessed(ana))
        self._through_the_door(ana, version)
        release = ana.acting_as("sp:release", token=RELEASE_TOKEN)
        release.traffic.deploy(version, "prod", comment="first version")
        self.tell("deploy", f"all traffic of prod to {version} after a smoke test")
        self._serve(release, "serve")
        report = release.traffic.score(MODEL, "prod", as_of=AS_OF)
        self.tell("score", f"{report.rows} customers scored as of {AS_OF.date()}", scored=report.rows)
        release.close()
        ana.close()

    def _second_visit(self, clock: Clock) -> None:
        """1 July 1998: what became of the predictions, and what follows from it."""
        self._upload(clock.now(), "files up to July 1998")
        ana = self._open("user:ana", clock)
        challenger = ana.watch.answered(MODEL, "prod") or ""
        if challenger:
            self.progress("the second visit was made before; its figures are shown again")
        else:
            challenger = self._watch_and_renew(ana)
        if challenger and not ana.traffic.was_deployed(challenger, "prod"):
            self._canary(ana, challenger)
        self._prove(ana)
        self._close_books(ana)
        ana.close()

    def _watch_and_renew(self, ana: App) -> str:
        """Outcomes, drift, and a challenger, whose name is returned; empty when nothing asks for one."""
        self._ingest(ana, "ingest again")
        outcome = ana.watch.outcomes(MODEL, from_label=True, as_of=AS_OF)
        self.tell(
            "outcomes",
            f"{outcome.recorded} new, {outcome.known} known before",
            outcomes=outcome.recorded + outcome.known,
        )
        self._monitor(ana)
        return self._retrain(ana)

    def _open(self, actor: str, clock: Clock, token: str = "") -> App:
        return App.open(
            self.root, clock=clock, actor=actor, token=token, progress=lambda line: self.progress(f"  {line}")
        )

    def _upload(self, until: datetime, what: str) -> None:
        """Let the shop upload its daily files, faults and all."""
        from keelway.template import example_module

        shop = example_module(self.root)
        files = shop.lay_out(shop.orders_path(), self.root, until=until)
        faults = [fault for fault in shop.FAULTS if fault.day < until.date()]
        self.tell(what, f"{len(files)} daily files in the object store, {len(faults)} declared faults among them")

    def _ingest(self, app: App, chapter: str) -> None:
        for report in app.data.ingest():
            self.tell(
                chapter,
                f"{report.files} files, {report.rows_in} rows in, {report.rows_repaired} repaired, "
                f"{report.rows_quarantined} quarantined, {report.skipped} files skipped, {report.late} late; "
                f"snapshot {report.snapshot_number} of {report.rows} rows ({short(report.snapshot_id)})",
                rows=report.rows,
                rows_in=report.rows_in,
                rows_repaired=report.rows_repaired,
                rows_quarantined=report.rows_quarantined,
            )
            for line in report.told:
                self.progress(f"  {line}")

    def _train(self, app: App, chapter: str) -> str:
        view = app.lab.run(MODEL)
        version = app.lab.version_made_by(view)
        line = next(line for line in app.lab.models(MODEL) if line.name == version.name)
        self.tell(
            chapter,
            f"{version.name} ({line.estimator}): forward ROC AUC {line.value:.4f} ({line.low:.4f}-{line.high:.4f}), "
            f"recency alone {_figure(line.trivial)}; ONNX differs from Python by {version.parity.max_difference:.1e} at most",
            **{f"{chapter}_auc": line.value, f"{chapter}_auc_trivial": line.trivial},
        )
        return version.name

    def _through_the_door(self, ana: App, version: str) -> None:
        """Staging by its gate; production by gate, approval and service principal."""
        if ana.lab.champion(MODEL) == version:
            self.progress(f"{version} went through the door before")
            return
        bo = ana.acting_as("user:bo")
        release = ana.acting_as("sp:release", token=RELEASE_TOKEN)
        release.gate.promote(version, "staging", comment="gates of staging")
        ana.gate.request(version, "prod", comment="please look at the scorecard")
        refused = self._refusal(lambda: release.gate.promote(version, "prod"))
        own = self._refusal(lambda: ana.gate.approve(version, "prod"))
        bo.gate.approve(version, "prod", comment="scorecard read")
        admission = release.gate.promote(version, "prod", comment="approved by bo")
        self.tell(
            f"door {version}",
            f"prod said no without an approval ({refused}); ana may not approve her own ({own}); "
            f"with bo's approval {admission.principal} let it in by {len(admission.verdict.rules)} rules",
        )
        release.close()
        bo.close()

    def _refusal(self, act: Callable[[], object]) -> str:
        """Return the reasons of a refusal that must happen."""
        try:
            act()
        except RefusedError as error:
            return str(error.found or error.what)
        raise IntegrityError("The door let something through", expected="a refusal", found="none")

    def _serve(self, app: App, chapter: str) -> Latency:
        """Serve over HTTP and send real requests."""
        rows = app.traffic.requests(MODEL, as_of=AS_OF if app.workspace.now() < SECOND_VISIT else None, limit=REQUESTS)
        latency = send_requests(self.root, MODEL, rows, now=app.workspace.now())
        self.tell(
            chapter,
            f"{latency.requests} requests over HTTP, {latency.errors} errors, "
            f"p50 {latency.p50_ms:.2f} ms, p99 {latency.p99_ms:.2f} ms",
            requests=latency.requests,
            p50_ms=latency.p50_ms,
            p99_ms=latency.p99_ms,
        )
        return latency

    def _monitor(self, app: App) -> None:
        report = app.watch.monitor(MODEL, "prod")
        drifted = [column.feature for column in report.drift.columns if column.drifted]
        whole = next((item for item in report.quality.slices if item.arm == "all" and item.roc_auc), None)
        auc = whole.roc_auc if whole else None
        told = f"ROC AUC {auc.value:.4f} ({auc.low:.4f}-{auc.high:.4f}) " if auc else "too few labels for a verdict "
        self.tell(
            "monitor",
            f"{told}on {whole.matured if whole else 0} answered customers; drift in {', '.join(drifted) or 'no feature'}; "
            f"{len(report.alerts)} alerts",
            drifted_features=len(drifted),
            **({"production_auc": auc.value} if auc else {}),
        )

    def _retrain(self, app: App) -> str:
        answer = app.watch.retrain(MODEL, "prod")
        if answer.version is None:
            self.tell("retrain", "nothing asks for a new model")
            return ""
        line = next(line for line in app.lab.models(MODEL) if line.name == answer.version)
        self.tell(
            "retrain",
            f"{answer.version} because {_shortened(answer.because)}: forward ROC AUC {line.value:.4f} "
            f"({line.low:.4f}-{line.high:.4f}), recency alone {_figure(line.trivial)}, "
            f"champion on the same rows: {line.versus_champion or 'none'}",
            retrain_auc=line.value,
            retrain_auc_low=line.low,
            retrain_auc_high=line.high,
            retrain_auc_trivial=line.trivial,
        )
        return str(answer.version)

    def _canary(self, ana: App, challenger: str) -> None:
        """Let the challenger through the same door; a canary, then all traffic or back."""
        try:
            self._through_the_door(ana, challenger)
        except RefusedError as error:
            self.tell(f"door {challenger}", f"refused: {error}")
            return
        release = ana.acting_as("sp:release", token=RELEASE_TOKEN)
        plan = release.rollouts.plan(MODEL, "prod")
        self.tell("plan", f"{plan.change}: {plan.reason}; {'; '.join(stage.what for stage in plan.stages)}")
        release.rollouts.apply(MODEL, "prod", comment="as declared")
        self._serve(release, "serve canary")
        release.traffic.score(MODEL, "prod", as_of=midnight(release.workspace.now()))
        answer = release.rollouts.look(MODEL, "prod")
        self.tell(
            "canary",
            f"{answer.rollout} of {challenger}, stage {answer.stage} of {answer.stages}: {answer.move}; {'; '.join(answer.reasons)}",
        )
        release.close()

    def _prove(self, app: App) -> None:
        """Prove one prediction offline, and show that one altered byte is found."""
        from keelway.app.evidence import verify_file

        bundle = self.root / "proof.json"
        prediction = app.traffic.newest_prediction(MODEL, "prod")
        proof = app.evidence.prove(f"prediction:{prediction}", out=bundle)
        key = app.evidence.public_key_path()
        verify_file(bundle, key=key, files=self.root)
        altered = bundle.with_suffix(".altered.json")
        data = bytearray(bundle.read_bytes())
        data[len(data) // 2] ^= 1
        altered.write_bytes(bytes(data))
        try:
            verify_file(altered, key=key)
        except KeelwayError as error:
            found = str(error)
        else:
            raise IntegrityError("An altered proof was accepted", expected="a refusal", found="none")
        finally:
            altered.unlink()
        self.tell(
            "proof",
            f"prediction {prediction}: {proof.records} records, {proof.entries} ledger entries and "
            f"{proof.raw_files} raw files verified offline; with one byte altered: {found[:100]}",
            proof_bytes=proof.size_bytes,
        )

    def _close_books(self, app: App) -> None:
        report = app.evidence.audit()
        status = app.evidence.status()
        live = ", ".join(f"{line.environment} {line.version}" for line in status.live)
        self.tell("ledger", f"{report.size} entries hold; live: {live}", ledger_entries=report.size)


def assessed(ana: App) -> str:
    """Have Olga, who answers for the model, confirm what is declared about its risk: the gate of production asks for it."""
    olga = ana.acting_as("user:olga")
    made = olga.governance.risk.assess(MODEL, comment="asked marketing what happens to the list")
    olga.close()
    return (
        f"tier {made.tier} ({made.reasons[0].reference}), assessed by {made.assessed_by}, "
        f"review by {made.review_by.date()}"
    )


def _shortened(reasons: tuple[str, ...]) -> str:
    """Return the first reason, and how many more there are."""
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}" if reasons else "it was asked for"


def _figure(value: float | None) -> str:
    """Return a figure for people."""
    return "not measured" if value is None else f"{value:.4f}"


def midnight(moment: datetime) -> datetime:
    """Return the midnight that began a day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
