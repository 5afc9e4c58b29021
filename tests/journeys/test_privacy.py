"""Marked people go through every path; only the company's own files and the terminal of who may see them hold them."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import os
import random
import re
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

FIRST = "1998-01-02T00:00:00Z"
AS_OF = "1998-01-01T00:00:00Z"
RELEASE = ("--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token")
ADMIN = ("--as", "user:dpo")
HEADER = ("order_id", "customer_id", "order_date", "units", "amount", "email", "card")
CARD = "4111111111111111"
MARKS = (b"KUNDE-", b"canary-mail", CARD.encode(), b"Zebedee")
"""In every raw identifier there is one of these, and nowhere else."""


def person(number: str) -> str:
    return f"KUNDE-{number}"


def email(number: str) -> str:
    return f"zebedee.{number}@canary-mail.example"


def orders() -> list[tuple[str, ...]]:
    """A shop in which half of the customers stop coming at some day; always the same."""
    rng = random.Random(11)
    found = []
    for number in range(400):
        day = date(1997, 1, 1) + timedelta(days=rng.randrange(60))
        gap_d = rng.choice((12, 25, 45))
        last = day + timedelta(days=rng.randrange(200 if rng.random() < 0.4 else 1100))
        while day <= min(last, date(1997, 12, 31)):
            found.append((day, f"{number:05d}", rng.randint(1, 5), f"{rng.uniform(5, 60):.2f}"))
            day += timedelta(days=1 + int(rng.expovariate(1 / gap_d)))
    found.sort()
    return [
        (f"o{i:06d}", person(who), day.isoformat(), str(units), paid, email(who), CARD)
        for i, (day, who, units, paid) in enumerate(found)
    ]


def put(root: Path, day: date, rows: list[tuple[str, ...]], *, name: str = "") -> Path:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
    path = root / "raw" / "transactions" / f"dt={day}" / (name or f"transactions-{day:%Y%m%d}.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue())
    stamp = (datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1, hours=3)).timestamp()
    os.utime(path, (stamp, stamp))
    return path


def classify(root: Path) -> None:
    """Give the example's contract a person, an e-mail address and a card."""
    path = root / "contracts" / "transactions.odcs.yaml"
    contract = yaml.safe_load(path.read_text())
    properties = contract["schema"][0]["properties"]
    customer = next(each for each in properties if each["name"] == "customer_id")
    customer["logicalTypeOptions"] = {"pattern": "^K[A-Z]{4}-[0-9]{5}$"}
    customer["customProperties"].append({"property": "pii", "value": "subject"})
    for name, pii in (("email", "direct"), ("card", "drop")):
        column = {"name": name, "logicalType": "string", "customProperties": [{"property": "pii", "value": pii}]}
        properties.append(column)
    path.write_text(yaml.safe_dump(contract, sort_keys=False))


def faulty(day: date) -> list[tuple[str, ...]]:
    """Rows of marked people that the contract keeps out."""
    return [
        ("o900001", person("00007"), day.isoformat(), "-3", "9.99", email("00007"), CARD),
        ("o900002", "KUNDE-Zebedee", day.isoformat(), "1", "9.99", "Zebedee Zappa <zebedee@canary-mail.example>", CARD),
    ]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's project, with a contract that names persons, trained, admitted and deployed."""
    from keelway.surfaces.cli.start import equip
    from keelway.template import copy_example

    root = tmp_path_factory.mktemp("people") / "churn"
    copy_example(root)
    equip(root)
    toml = root / "keelway.toml"
    text = re.sub(r"^tracking = .*$", 'tracking = ""', toml.read_text(), flags=re.MULTILINE)
    toml.write_text(text + '\n[principals."user:dpo"]\nroles = ["admin"]\n')
    code = root / "src/churn/project.py"
    code.write_text(
        code.read_text()
        .replace('"max_iter": 150', '"max_iter": 20')
        .replace('"min_samples_leaf": 100', '"min_samples_leaf": 20')
        .replace("min_rows=500", "min_rows=50")
        .replace("min_outcomes=500", "min_outcomes=50")
    )
    gate = root / "policies/production/gate.rego"
    gate.write_text(gate.read_text().replace("positives_at_least(200)", "positives_at_least(20)"))
    classify(root)
    months: dict[date, list[tuple[str, ...]]] = {}
    for order in orders():
        months.setdefault(date.fromisoformat(order[2]).replace(day=28), []).append(order)
    for number, (day, rows) in enumerate(sorted(months.items())):
        put(root, day, rows + (faulty(day) if number == 3 else []))
    return root


@pytest.fixture(scope="module")
def live_people(built: Path, desk_of) -> Path:
    desk = desk_of(built)
    desk("ingest")
    desk("run", "churn")
    desk.through_the_door()
    desk("deploy", "churn:1", *RELEASE)
    desk("score", "churn", "--as-of", AS_OF)
    return built


@pytest.fixture
def people(live_people: Path, desk_of, tmp_path: Path) -> Iterator[Any]:
    """A copy of the project, to be used as one likes."""
    shutil.copytree(live_people, tmp_path / "churn")
    desk = desk_of(tmp_path / "churn")
    yield desk
    for server in desk.started:
        server.stop()


def texts_of(path: Path) -> Iterator[bytes]:
    """Yield what a file holds: its bytes, and what is packed, encoded or compressed in them."""
    data = path.read_bytes()
    yield data
    if data.startswith(b"PAR1"):
        import pyarrow.parquet

        yield str(pyarrow.parquet.read_table(path).to_pylist()).encode()
        yield str(pyarrow.parquet.read_schema(path).metadata).encode()
    elif data.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            yield "\n".join(database.iterdump()).encode()
    elif data.startswith(b"PK"):
        with zipfile.ZipFile(path) as packed:
            yield from (packed.read(name) for name in packed.namelist())
    elif data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    elif data.startswith(b"{") and b'"payload"' in data[:4096]:
        yield base64.b64decode(json.loads(data)["payload"])


def holders(root: Path, marks: tuple[bytes, ...] = MARKS) -> set[str]:
    """Return the files below a folder that hold a mark, but for the company's own."""
    return {
        f"{path.relative_to(root)}: {mark.decode()}"
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in ("raw", "contracts")
        for text in texts_of(path)
        for mark in marks
        if mark in text
    }


def test_the_search_itself_finds_what_is_packed(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table({"a": ["KUNDE-1"]}), tmp_path / "a.parquet", compression="zstd")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"KUNDE-2"))
    (tmp_path / "c.json").write_text(json.dumps({"payload": base64.b64encode(b"KUNDE-3").decode()}))
    with closing(sqlite3.connect(tmp_path / "d.db")) as database, database:
        database.execute("CREATE TABLE t AS SELECT 'KUNDE-4'")
    with zipfile.ZipFile(tmp_path / "e.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("x", "KUNDE-5")
    assert {found.partition(":")[0] for found in holders(tmp_path)} == {"a.parquet", "b.gz", "c.json", "d.db", "e.zip"}


def test_no_raw_identifier_is_written_anywhere(people, tmp_path: Path) -> None:
    told = [people.call(*words, json_wanted=wanted) for words in _everything(tmp_path) for wanted in (True, False)]
    assert [result.exit_code for result in told] == [0] * (len(told) - 2) + [1, 1], [r.stderr for r in told]
    server = people.serve()
    [row] = people.rows(1)
    status, body = server.ask("/predict", json.dumps({**row, "entity": person("00007")}))
    assert status == 200, body
    assert json.loads(body)["entity"] == person("00007")
    assert server.ask("/predict", b'{"entity": "KUNDE-00007", "features": 3}')[0] == 422
    server.stop()
    outcomes = tmp_path / "outcomes.csv"
    outcomes.write_text(f"entity,as_of,value\n{person('00007')},{AS_OF},1\n")
    told.append(people.at("1998-07-02T12:00:00Z").call("outcomes", "churn", str(outcomes)))
    assert told[-1].exit_code == 0, told[-1].stderr
    outcomes.unlink()
    told += _stopped(people)
    assert holders(people.root) == set()
    assert holders(tmp_path / "written") == set()
    for result in told:
        assert not [mark for mark in MARKS if mark.decode() in result.output + result.stderr], result.output
    assert not list((people.root / ".keelway" / "plain").glob("*/*"))


def _stopped(people) -> list[Any]:
    """Upload a file that its contract stops, and return what ingest and check say of it."""
    day = date(1998, 1, 20)
    put(people.root, day, faulty(day))
    headless = put(people.root, day, faulty(day), name="headless.csv")
    headless.write_bytes(headless.read_bytes().partition(b"\n")[2])
    later = people.at("1998-02-01T00:00:00Z")
    told = [
        later.call(*words) for words in (("ingest", "--dry-run"), ("ingest",), ("quarantine", "list", "transactions"))
    ]
    assert [result.exit_code for result in told][1:] == [1, 0], [result.output for result in told]
    return told


def _everything(tmp_path: Path) -> list[tuple[str, ...]]:
    written = tmp_path / "written"
    written.mkdir()
    return [
        ("ingest",),
        ("quarantine", "list", "transactions"),
        ("quarantine", "show", "transactions"),
        ("snapshots", "list"),
        ("snapshots", "show", "transactions"),
        ("ingest", "--dry-run"),
        ("check", "transactions"),
        ("contract", "docs", "transactions", "--out", str(written / "contract.html")),
        ("models",),
        ("runs",),
        ("status",),
        ("audit", "--limit", "0"),
        ("doctor",),
        ("show", "transactions"),
        ("monitor", "churn"),
        ("score", "churn", "--as-of", AS_OF, "--limit", "5"),
        ("prove", "churn@prod", "--out", str(written / "bundle.json")),
        ("erase", "--subject", person("00007"), "--dry-run", *ADMIN),
        ("show", email("00007")),
    ]


def test_versions_hold_tokens_that_join_and_cards_are_dropped(people) -> None:
    rows = _rows(people.root)
    tokens = {row["customer_id"] for row in rows}
    assert all(re.fullmatch(r"tok_[a-z2-7]{32}", token) for token in tokens)
    assert len(tokens) == len({order[1] for order in orders()})
    assert {row["card"] for row in rows} == {None}
    assert len({row["email"] for row in rows}) == len(tokens)


def _rows(root: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    found: list[dict[str, Any]] = []
    for path in (root / ".keelway" / "tables").rglob("*.parquet"):
        found += pyarrow.parquet.read_table(path).to_pylist()
    return found


def test_a_hidden_row_is_shown_to_who_may_see_it(people) -> None:
    hidden = people("quarantine", "show", "transactions")["rows"]
    assert {row["raw"] for row in hidden} == {"[hidden: the dataset has columns that name a person; --clear shows it]"}
    clear = people("quarantine", "show", "transactions", "--clear")["rows"]
    assert any("KUNDE-Zebedee" in row["raw"] for row in clear)
    assert people.refused("quarantine", "show", "transactions", "--clear", *RELEASE)["error"] == "IdentityError"


def test_a_bundle_names_sealed_files_by_their_digests_alone(people, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.json"
    proof = people("prove", "churn@prod", "--out", str(bundle))
    key = people.root / ".keelway/keys/signing.pub"
    checked = people("verify", str(bundle), "--key", str(key))
    assert checked["raw_files"] == proof["raw_files"] > 0
    assert f"{proof['raw_files']} of them by their digests alone" in json.dumps(checked["tree"])


class TestErasure:
    """A person is erased while everything stays provable."""

    WHO = person("00007")

    def test_a_dry_run_destroys_nothing(self, people) -> None:
        before = people.standing()
        answer = people("erase", "--subject", self.WHO, "--dry-run", *ADMIN)
        assert answer["done"] is None
        assert answer["erasure"]["number"] == 0
        assert len(answer["erasure"]["values"]) == 2
        assert people.standing() == before
        assert people("erase", "--subject", self.WHO, "--dry-run", *ADMIN) == answer

    def test_only_an_administrator_may_erase(self, people) -> None:
        assert people.refused("erase", "--subject", self.WHO)["error"] == "IdentityError"
        assert people.refused("erase", "--expired", *RELEASE)["error"] == "IdentityError"

    def test_a_person_is_erased_and_everything_that_used_them_is_listed(self, people) -> None:
        answer = people("erase", "--subject", self.WHO, "--comment", f"letter of {self.WHO}", *ADMIN)
        erasure, uses = answer["erasure"], answer["erasure"]["uses"]
        assert answer["done"]["values"] == 2  # the person and the e-mail address
        assert answer["done"]["artifacts"] == len(erasure["artifacts"]) > 1
        assert [used["name"] for used in uses["snapshots"]] == ["transactions 1"]
        assert [used["name"] for used in uses["versions"]] == ["churn:1"]
        assert [used["name"] for used in uses["deployments"]] == ["churn in prod 1"]
        assert {used["name"] for used in uses["feature_tables"]} == {"churn for training", "churn for scoring"}
        assert len(uses["predictions"]) == 1
        assert uses["runs"] == [people("runs")[0]["run_id"]]
        assert "churn:1 answers in prod" in uses["retrain_due"][0]
        assert all((people.root / name).read_text().count(self.WHO) for name in erasure["objects"])
        assert (erasure["in_clear"], erasure["unsearched"]) == ([], [])
        decision = people("audit", "--action", "erase")["decisions"][-1]["decision"]
        assert decision["comment"] == "letter of [subject]"
        assert self.WHO not in json.dumps(people.sql("SELECT body FROM records"))

    def test_the_ledger_holds_and_models_are_proven_afterwards(self, people, tmp_path: Path) -> None:
        people("erase", "--subject", self.WHO, *ADMIN)
        report = people("audit")["report"]
        assert report["problems"] == []
        assert report["erased"] >= 1
        assert all(line["ok"] for line in people("doctor")["lines"])
        bundle = tmp_path / "bundle.json"
        people("prove", "churn@prod", "--out", str(bundle))
        key = people.root / ".keelway/keys/signing.pub"
        assert people("verify", str(bundle), "--key", str(key), "--files", str(people.root))["files_checked"] > 0

    def test_erasing_again_finds_nobody(self, people) -> None:
        people("erase", "--subject", self.WHO, *ADMIN)
        size = people.ledger_size()
        again = people("erase", "--subject", self.WHO, *ADMIN)
        assert (again["done"], again["erasure"]["values"], again["erasure"]["artifacts"]) == (None, [], [])
        assert people.ledger_size() == size

    def test_the_quarantine_and_raw_files_of_the_person_cannot_be_read(self, people) -> None:
        from keelway.app import App
        from keelway.errors import ErasedError

        answer = people("erase", "--subject", self.WHO, *ADMIN)
        with closing(App.open(people.root)) as app:
            for digest in answer["erasure"]["artifacts"]:
                with pytest.raises(ErasedError):
                    app.workspace.artifacts.get(digest)
        assert people("quarantine", "show", "transactions", "--clear")["rows"] == []

    def test_the_other_people_keep_their_tokens(self, people) -> None:
        from keelway.app import App

        with closing(App.open(people.root)) as app:
            before = app.workspace.personal.tokens.known(person("00008"))
        people("erase", "--subject", self.WHO, *ADMIN)
        with closing(App.open(people.root)) as app:
            assert app.workspace.personal.tokens.known(person("00008")) == before != []
            assert app.workspace.personal.tokens.known(self.WHO) == []

    def test_a_person_who_comes_back_has_another_token(self, people) -> None:
        before = {row["customer_id"] for row in _rows(people.root)}
        people("erase", "--subject", self.WHO, *ADMIN)
        day = date(1998, 1, 3)
        put(people.root, day, [("o800001", self.WHO, day.isoformat(), "1", "5.00", email("00007"), CARD)])
        later = people.at("1998-01-05T00:00:00Z")
        assert later("ingest")[0]["rows_ok"] == 1
        fresh = {row["customer_id"] for row in _rows(people.root)} - before
        assert len(fresh) == 1
        again = later("erase", "--subject", self.WHO, *ADMIN)
        assert again["done"]["values"] == 2
        assert [used["name"] for used in again["erasure"]["uses"]["snapshots"]] == ["transactions 2"]

    def test_somebody_unknown_is_not_found(self, people) -> None:
        answer = people("erase", "--subject", "KUNDE-99999", *ADMIN)
        assert (answer["done"], answer["erasure"]["values"], answer["erasure"]["objects"]) == (None, [], [])

    def test_nobody_in_particular_is_refused(self, people) -> None:
        assert people.refused("erase", *ADMIN)["error"] == "UsageError"
        assert people.refused("erase", "--subject", " ", *ADMIN)["error"] == "UsageError"
        assert people.refused("erase", "--subject", "x", "--expired", *ADMIN)["error"] == "UsageError"

    def test_people_read_a_list(self, people) -> None:
        shown = people.call("erase", "--subject", self.WHO, *ADMIN, json_wanted=False).output
        assert "erasure 1: destroyed the keys of 2 values" in shown
        assert "RETRAIN DECISION DUE" in shown
        assert "DELETE in the object store" in shown
        assert self.WHO not in shown


class TestRetention:
    """What is kept too long is destroyed by class."""

    def settings(self, people, text: str) -> None:
        toml = people.root / "keelway.toml"
        toml.write_text(toml.read_text() + f"\n[privacy]\n{text}\n")

    def test_without_a_rule_nothing_expires(self, people) -> None:
        assert people.at("2030-01-01T00:00:00Z")("erase", "--expired", *ADMIN)["erasure"]["artifacts"] == []

    def test_raw_files_expire_and_the_versions_stay(self, people) -> None:
        self.settings(people, "raw_days = 30")
        later = people.at("1998-02-02T00:00:00Z")
        dry = later("erase", "--expired", "--dry-run", *ADMIN)["erasure"]["artifacts"]
        answer = later("erase", "--expired", *ADMIN)
        assert answer["done"]["artifacts"] == len(dry) == 12
        assert later("erase", "--expired", *ADMIN)["done"] is None
        assert later("audit")["report"]["problems"] == []
        assert later("run", "churn")["version"]["name"] == "churn:1"
        assert later("quarantine", "show", "transactions", "--clear")["rows"]

    def test_quarantined_rows_expire_on_their_own(self, people) -> None:
        self.settings(people, "quarantine_days = 10")
        later = people.at("1998-02-02T00:00:00Z")
        assert later("erase", "--expired", *ADMIN)["done"]["artifacts"] == 1
        assert later("quarantine", "show", "transactions", "--clear")["rows"] == []
        assert later("audit")["report"]["problems"] == []

    def test_the_log_of_predictions_expires(self, people) -> None:
        self.settings(people, 'log_days = 200\nrisk = "high"')
        assert people.at("1998-06-02T00:00:00Z")("erase", "--expired", *ADMIN)["done"] is None
        later = people.at("1998-12-02T00:00:00Z")
        assert later("erase", "--expired", *ADMIN)["done"]["artifacts"] == 1
        assert later("audit")["report"]["problems"] == []
        assert later("monitor", "churn")["quality"]["slices"] == []

    @pytest.mark.parametrize("days", [1, 30, 182])
    def test_a_short_log_is_refused_for_a_high_risk_system(self, people, days: int) -> None:
        self.settings(people, f'log_days = {days}\nrisk = "high"')
        refused = people.refused("status")
        assert "high-risk" in refused["what"]
        assert "26(6)" in refused["fix"]

    @pytest.mark.parametrize("text", ['log_days = 183\nrisk = "high"', "log_days = 30", 'risk = "high"'])
    def test_other_rules_are_taken(self, people, text: str) -> None:
        self.settings(people, text)
        assert people("status")["ledger_size"] > 0

    @pytest.mark.parametrize("text", ["raw_days = -1", 'risk = "huge"', 'vault = "redis://x"', "days = 3"])
    def test_rules_that_mean_nothing_are_refused(self, people, text: str) -> None:
        self.settings(people, text)
        assert people.refused("status")["error"] == "SettingsError"


class TestKeys:
    """Keys are made once, and nothing works with the wrong ones."""

    def test_init_makes_a_key_for_its_owner_alone(self, people) -> None:
        assert (people.root / ".keelway/keys/tenant.key").stat().st_mode & 0o777 == 0o600
        assert people("keys")["problem"] == ""

    def test_a_second_key_is_refused(self, people) -> None:
        assert "already" in people.refused("keys", "--init")["what"]

    def test_a_lost_key_is_told_with_what_to_do(self, people) -> None:
        (people.root / ".keelway/keys/tenant.key").unlink()
        result = people.call("keys")
        assert result.exit_code == 1
        assert "tenant's key" in json.loads(result.stdout)["problem"]
        assert "already" in people.refused("keys", "--init")["what"]  # the vault was made with the lost one
        assert not all(line["ok"] for line in json.loads(people.call("doctor").stdout)["lines"])

    def test_another_key_opens_nothing(self, people) -> None:
        (people.root / ".keelway/keys/tenant.key").write_text("ab" * 32)
        assert people.refused("ingest")["what"] == "The key vault belongs to another tenant's key"

    def test_a_project_without_keys_gets_some(self, people) -> None:
        for name in ("tenant.key", "vault.db"):
            (people.root / ".keelway/keys" / name).unlink()
        assert people("keys", "--init")["made"]
        assert people("keys") == {**people("keys"), "made": False, "problem": ""}

    def test_keys_elsewhere_are_not_made_here(self, people) -> None:
        toml = people.root / "keelway.toml"
        toml.write_text(toml.read_text() + '\n[privacy]\nkey = "env:TENANT"\n')
        assert "openssl" in people.refused("keys", "--init")["fix"]
