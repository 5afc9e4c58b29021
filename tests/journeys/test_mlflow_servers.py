"""Two real MLflow servers over HTTP: one shows runs and versions, the other production; both can be edited, and be down."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keelway.testing.mlflow_server import MlflowServer, mlflow_server

__all__ = ["mlflow_server"]

RELEASE = ("--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token")
WRITERS = ["ml-platform", "sp:release"]
pytestmark = pytest.mark.journey


@dataclass
class Shop:
    """A project with two servers.

    Attributes:
        desk: Its command line.
        tracking: Shows runs, versions, and the environment staging.
        production: Shows the environment prod.
    """

    desk: Any
    tracking: MlflowServer
    production: MlflowServer

    def promote(self, version: str) -> None:
        """Let a version into staging and production, and give it all traffic."""
        self.desk.through_the_door(version)
        self.desk("deploy", version, *RELEASE)

    def alias(self, server: MlflowServer, environment: str) -> dict[str, Any]:
        """Return the version that an alias shows, as the server's own interface tells it."""
        found = server.ask(f"registered-models/alias?name=churn&alias={environment}")
        version: dict[str, Any] = found["model_version"]
        return version | {"tags": tags_of(version)}

    def shows(self, server: MlflowServer, environment: str) -> str:
        return str(self.alias(server, environment)["tags"]["keelway.version"])


def tags_of(told: dict[str, Any]) -> dict[str, str]:
    return {each["key"]: each["value"] for each in told.get("tags", [])}


@pytest.fixture(scope="module")
def shop(
    mlflow_server: Callable[[str], MlflowServer],
    trained_project: Path,
    desk_of: Callable[[Path], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Shop:
    """Versions 1 and 2 of a project; the second was trained while the servers ran and is in production."""
    tracking, production = mlflow_server("tracking"), mlflow_server("production")
    root = tmp_path_factory.mktemp("served") / "churn"
    shutil.copytree(trained_project, root)
    toml = root / "keelway.toml"
    text = toml.read_text("utf8").replace('tracking = ""', f'tracking = "{tracking.url}"')
    of_prod = f'[environments.prod]\nregistry = "{production.url}"\nregistry_writers = {WRITERS}\n'.replace("'", '"')
    toml.write_text(text.replace("[environments.prod]\n", of_prod), "utf8")
    made = Shop(desk_of(root), tracking, production)
    made.promote("churn:1")
    made.desk("run", "--seed", "1")
    made.promote("churn:2")
    return made


def runs_of(server: MlflowServer) -> list[dict[str, Any]]:
    experiment = server.ask("experiments/get-by-name?experiment_name=churn")["experiment"]["experiment_id"]
    found: list[dict[str, Any]] = server.ask("runs/search", {"experiment_ids": [experiment]})["runs"]
    return found


def test_a_training_is_shown_whole_with_its_figures_and_files(shop: Shop) -> None:
    own = {run["mirror"]: run for run in shop.desk("runs", "--kind", "training") if run["mirror"]}
    shown = {run["info"]["run_id"]: run for run in runs_of(shop.tracking)}
    assert set(own) <= set(shown)
    assert len(own) >= 2
    for link, run in own.items():
        seen = shown[link]
        assert seen["info"]["status"] == "FINISHED"
        metrics = {each["key"]: each["value"] for each in seen["data"]["metrics"]}
        assert metrics.get("test_roc_auc") == pytest.approx(run["metrics"]["roc_auc"])
        assert tags_of(seen["data"])["keelway.mirror"] == "whole"
        files = shop.tracking.ask(f"artifacts/list?run_id={link}&path=model")["files"]
        assert {Path(each["path"]).name for each in files} >= {"MLmodel", "requirements.txt"}


def test_versions_trained_before_are_shown_by_sync(shop: Shop) -> None:
    shop.desk("runs", "sync")
    assert [run for run in shop.desk("runs", "--kind", "training") if not run["mirror"]] == []
    assert shop.desk("runs", "sync")["mirrored"] == 0


def test_a_promotion_copies_a_version_from_one_server_to_the_other_with_its_decision(shop: Shop) -> None:
    staging, prod = shop.alias(shop.tracking, "staging"), shop.alias(shop.production, "prod")
    record = shop.desk("show", "churn:2")["record"]
    for shown in (staging, prod):
        assert shown["tags"]["keelway.version"] == "2"
        assert shown["tags"]["keelway.onnx"] == record["onnx"]
    assert prod["tags"]["keelway.run"] == record["run_id"]
    assert prod["tags"]["keelway.source"] == record["registry_link"]
    assert re.match(r"models:/churn/\d+$", record["registry_link"])
    told = json.loads(prod["tags"]["keelway.prod.decision"])
    lines = shop.desk("audit", "--action", "promote", "--subject", "churn:2")["decisions"]
    found = [line["decision"]["evidence"] for line in lines]
    assert (told["action"], told["by"], told["approved_by"]) == ("promote", "sp:release", ["user:bo"])
    assert prod["tags"]["keelway.prod.admission"] in [each["admission"] for each in found]
    assert staging["tags"]["keelway.staging.admission"] in [each["admission"] for each in found]
    assert shop.desk("aliases", "check")["drifted"] == []


def test_an_edit_on_the_server_itself_is_found_named_and_healed(shop: Shop) -> None:
    smuggled = shop.production.ask("model-versions/create", {"name": "churn", "source": "s3://elsewhere/model"})
    number = smuggled["model_version"]["version"]
    shop.production.ask("registered-models/alias", {"name": "churn", "alias": "prod", "version": number})
    checked = shop.desk.call("aliases", "check")
    assert checked.exit_code == 1
    assert "edited" in checked.stdout
    told = shop.desk.call("aliases", "check", json_wanted=False).stdout
    assert "churn@prod" in told
    assert ", ".join(WRITERS) in told
    assert len(shop.desk("audit", "--action", "alert", "--subject", "churn")["decisions"]) == 1
    assert "aliases" in str([line for line in doctor(shop) if not line["ok"]])
    shop.desk("aliases", "sync", *RELEASE)
    assert shop.shows(shop.production, "prod") == "2"
    assert shop.desk("aliases", "check")["drifted"] == []


def test_an_alias_taken_away_on_the_server_is_found(shop: Shop) -> None:
    shop.production.ask("registered-models/alias", {"name": "churn", "alias": "prod"}, method="DELETE")
    assert shop.desk.call("aliases", "check").exit_code == 1
    shop.desk("aliases", "sync", *RELEASE)
    assert shop.shows(shop.production, "prod") == "2"


def doctor(shop: Shop) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = json.loads(shop.desk.call("doctor").stdout)["lines"]
    return lines


def test_a_rollback_works_while_both_servers_are_down_and_is_shown_later(shop: Shop) -> None:
    shop.tracking.stop()
    shop.production.stop()
    try:
        back = shop.desk("rollback", "churn", *RELEASE)
        assert back["traffic"] == {"churn:1": 100}
        told = shop.desk.call("aliases", "check", json_wanted=False)
        assert told.exit_code == 1
        assert f"churn@prod could not be read: MLflow failed: found no answer from {shop.production.url}" in told.stdout
        assert shop.desk.call("aliases", "sync", *RELEASE).exit_code == 1
    finally:
        shop.tracking.start()
        shop.production.start()
    assert shop.shows(shop.production, "prod") == "2"
    shop.desk("aliases", "sync", *RELEASE)
    assert shop.shows(shop.production, "prod") == "1"
    assert shop.desk("aliases", "check")["drifted"] == []
    number = shop.alias(shop.production, "prod")["version"]
    assert shop.desk("aliases", "sync", *RELEASE) is not None
    assert shop.alias(shop.production, "prod")["version"] == number, "nothing is copied twice"
