"""The entry point `keelway`: a group that knows every command's name and one line of help, and loads it when called."""

from __future__ import annotations

import importlib
from typing import Any

import click

from keelway.surfaces.cli.usage import told_in_json, wants_json

COMMANDS: dict[str, dict[str, str]] = {
    "Start": {
        "init": "start.init|Start a small project in a new folder.",
        "demo": "start.demo|Run the whole loop on real customer data, from raw files to a proven prediction.",
        "doctor": "evidence.doctor|Check this project: bytes, ledger, pointers, registry, unfinished runs.",
        "state": "state.state|Show the database of records, pointers and ledger; migrate it, or copy it to another.",
    },
    "Data": {
        "ingest": "data.ingest|Pull new files exactly once, check them and take a snapshot.",
        "contract": "contract.contract|Draft, lint, compare and show data contracts; see what a change reaches, and let it in.",
        "check": "data.check|Check files against a dataset's contract without loading them.",
        "quarantine": "quarantine.quarantine|List, show, release and discard what was quarantined.",
        "snapshots": "snapshots.snapshots|List, compare, tag, compact and vacuum the immutable versions of the datasets.",
        "erase": "privacy.erase|Erase a person, or what is kept too long, by destroying keys.",
        "keys": "keys.keys|Check or make the keys behind tokens and sealed files; rotate the signing key; make a key of your own.",
    },
    "Models": {
        "features": "features.features|Build features, serve them and put them to the test; show them as the SQL of an engine, or propose them.",
        "run": "lab.run|Run the training plan: snapshots, features, training, evaluation, registration.",
        "tune": "tune.tune|Search for the best parameters of a model's estimators, and look at what was tried.",
        "runs": "runs.runs|List, rank, show and compare runs; mirror them to MLflow.",
        "notebook": "notebook.notebook|Execute notebooks as recorded runs, and check that they execute.",
        "gc": "collect.gc|Remove artifacts that nothing needs any more: leftovers, bytes of retired versions, old evidence.",
        "lineage": "lineage.lineage|Tell lineage catalogues of runs and steps, what they read and what they made (OpenLineage).",
        "reproduce": "runs.reproduce|Train again what a run trained, and say where it comes out differently.",
        "step": "lab.step|Execute one step of a stored run; the unit every engine calls.",
        "show": "lab.show|Show a run, model version, snapshot or any record by name or digest.",
        "compare": "compare.compare|Compare models on the same rows: versions, the champion, runs.",
        "models": "models.models|List model versions; hand them on as signed folders, check such folders; deprecate and retire versions.",
        "card": "card.card|Make the model card of a version from its evidence, with gaps shown as gaps.",
    },
    "The door": {
        "promote": "gate.promote|Let model versions into an environment, all or none, or ask for it.",
        "requests": "approvals.requests|List open requests, with who answered and what is missing.",
        "approve": "gate.approve|Approve a version for an environment.",
        "reject": "gate.reject|Reject a version for an environment, with a reason.",
        "checklist": "approvals.checklist|Show and answer what has to be done before a version may enter.",
        "withdraw": "approvals.withdraw|Take a request back.",
        "revoke": "approvals.revoke|Take an approval or a lent right back.",
        "delegate": "approvals.delegate|Lend your right to approve until a date.",
        "aliases": "aliases.aliases|Compare the registries' aliases with the ledger, or heal them.",
        "policy": "policy.policy|Test, check, explain and replay the policies of gates.",
    },
    "Traffic": {
        "deploy": "rollouts.deploy|Send traffic to admitted versions, at once or as declared; show the difference first.",
        "rollout": "rollouts.rollout|Judge a rollout by its evidence and move it on, back or not; pause, resume or end it.",
        "rollback": "traffic.rollback|Return to the version that stood before, traffic and pointer.",
        "experiment": "experiment.experiment|Plan experiments, list them, and report what they showed in words that a product owner reads.",
        "serve": "traffic.serve_command|Answer predictions over HTTP on this machine.",
        "score": "traffic.score|Score every entity at one moment (batch).",
        "log": "prediction_log.log|Move the predictions that servers logged into columnar files.",
    },
    "Watching": {
        "outcomes": "watch.outcomes|Record what really happened: labels that arrive later.",
        "monitor": "watch.monitor|Measure drift and quality; raise alerts.",
        "retrain": "watch.retrain|Train a challenger when a contingency plan asks for it.",
    },
    "Risk": {
        "risk": "risk.risk|Assess the risk of models by what the project declares, and list every model with its risk.",
        "incidents": "incidents.incidents|Open, follow and close incidents: what went wrong, and who has to be told by when.",
        "drill": "incidents.drill|Record that a fallback plan was tried out, and list which plans are due.",
        "report": "report.report|Report which controls of a law or standard are answered, by which evidence, at any past date.",
    },
    "Evidence": {
        "prove": "evidence.prove|Write one bundle that proves a prediction, version, run or snapshot.",
        "verify": "evidence.verify|Check a bundle with the public key alone.",
        "audit": "audit.audit|Check the ledger, list its decisions, publish and witness its checkpoints.",
        "status": "evidence.status|Say what is live where, now or at an earlier time.",
    },
}
"""Group, command, and `module.function|help`; tests hold that it agrees with the commands themselves."""

_AS_JSON = "keelway.as_json"


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the lifecycle."""
        return [name for commands in COMMANDS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing it now."""
        for commands in COMMANDS.values():
            if cmd_name in commands:
                module, function = commands[cmd_name].partition("|")[0].split(".")
                command = getattr(importlib.import_module(f"keelway.surfaces.cli.{module}"), function)
                assert isinstance(command, click.Command)
                return command
        return None

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the command line as far as the command's name; keep how its errors are to be told."""
        wanted = wants_json(args)
        with told_in_json(wanted):
            made = super().make_context(info_name, args, parent, **extra)
        made.meta[_AS_JSON] = wanted
        return made

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; what it finds wrong in its words is told as the words ask."""
        with told_in_json(ctx.meta.get(_AS_JSON, False)):
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by group, from the table alone."""
        for group, commands in COMMANDS.items():
            with formatter.section(group):
                formatter.write_dl([(name, entry.partition("|")[2]) for name, entry in commands.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="keelway", message="%(version)s")
def main() -> None:
    """Take a machine-learning model from raw data to production, and prove how it got there.

    Every command takes --json, explains itself with --help, and exits non-zero with what was expected, what was
    found and how to mend it.
    """
