"""Whoever is erased is found wherever they are, and nothing of theirs can be read afterwards."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keelway.app.traces import text_pattern
from keelway.core import PrincipalId, digest_bytes, digest_of
from keelway.engines.sql import SqlState
from keelway.errors import ErasedError, IdentityError, ProjectError, UsageError
from keelway.ledger import decisions
from keelway.privacy import Erasure, ErasureDone, Loss, carry_out, order_erasure, unfinished
from keelway.testing import people as small
from keelway.testing.keys import artifact_key, value_key

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def bring_in(root: Path, **options: str) -> None:
    with small.opened(root, **options) as app:
        app.data.ingest()


def erase(root: Path, who: str, **options):
    with small.opened(root) as app:
        return app.privacy.erase(who, **options)


def can_be_read(root: Path, digest: str) -> bool:
    with small.opened(root) as app:
        try:
            app.workspace.artifacts.get(digest)
        except ErasedError:
            return False
        return True


def test_a_person_is_erased_with_what_stands_beside_them(root: Path) -> None:
    one = small.upload(root, "1.csv", "ana,ana@x.org,2026-01-01,1\nbo,bo@x.org,2026-01-01,2\n")
    two = small.upload(root, "2.csv", "bo,bo@x.org,2026-01-02,3\n")
    bring_in(root)
    answer = erase(root, "ana")
    assert answer.done.values == 2
    assert answer.erasure.artifacts == (digest_bytes(one.read_bytes()),)
    assert answer.erasure.objects == ("raw/1.csv",)
    assert not can_be_read(root, digest_bytes(one.read_bytes()))
    assert can_be_read(root, digest_bytes(two.read_bytes()))
    with small.opened(root) as app:
        tokens = app.workspace.personal.tokens
        assert tokens.known("ana@x.org", "direct") == []
        assert tokens.known("bo@x.org", "direct") != []


def test_no_raw_value_is_in_any_file_of_the_project(root: Path) -> None:
    small.upload(root, "1.csv", "ana-zapata,ana@zapata.org,2026-01-01,1\nbo,x,2026-01-01,-1\n")
    bring_in(root)
    erase(root, "ana-zapata", comment="ana-zapata asked, from ana@zapata.org")
    written = small.all_bytes(root / ".keelway")
    assert b"zapata" not in written
    assert b"[subject] asked, from [e-mail]" in written


def test_quarantined_rows_lead_to_their_files(root: Path) -> None:
    raw = small.upload(root, "1.csv", "ana,a@x.org,2026-01-01,-5\nbo,b@x.org,2026-01-01,1\n")
    bring_in(root)
    answer = erase(root, "ana")
    assert answer.done.artifacts == 2  # the raw file and the quarantine
    assert digest_bytes(raw.read_bytes()) in answer.erasure.artifacts
    assert answer.erasure.uses.snapshots == ()


def test_content_that_came_under_a_known_name_is_searched(root: Path) -> None:
    small.upload(root, "1.csv", "bo,b@x.org,2026-01-01,1\n")
    bring_in(root)
    raw = small.upload(root, "1.csv", "ana,a@x.org,2026-01-01,1\n", at="2026-02-02T00:00:00Z")
    bring_in(root)
    answer = erase(root, "ana")
    assert answer.erasure.artifacts == (digest_bytes(raw.read_bytes()),)


def test_files_refused_whole_are_searched(root: Path) -> None:
    raw = small.upload(root, "1.csv", b"something,else\nana,1\n")
    small.upload(root, "2.csv", "bo,b@x.org,2026-01-01,1\n")
    bring_in(root)
    assert digest_bytes(raw.read_bytes()) in erase(root, "ana").erasure.artifacts


def test_a_packed_file_is_searched(root: Path) -> None:
    small.upload(root, "1.csv.gz", gzip.compress(b"bo,b@x.org,2026-01-01,1\n"))
    small.upload(root, "2.csv", "bo,b@x.org,2026-01-01,1\n")
    bring_in(root)
    raw = small.upload(root, "1.csv.gz", gzip.compress(b"ana,a@x.org,2026-01-01,1\n"), at="2026-02-02T00:00:00Z")
    bring_in(root)
    assert digest_bytes(raw.read_bytes()) in erase(root, "ana").erasure.artifacts


def test_a_damaged_file_is_told_as_not_searched(root: Path) -> None:
    small.upload(root, "2.csv", "bo,b@x.org,2026-01-01,1\n")
    packed = gzip.compress(os.urandom(100_000))
    raw = small.upload(root, "1.csv.gz", packed[:50_000])
    bring_in(root)
    answer = erase(root, "ana")
    assert answer.erasure.unsearched == (digest_bytes(raw.read_bytes()),)
    assert can_be_read(root, digest_bytes(raw.read_bytes()))


def test_other_names_of_the_same_bytes_are_listed(root: Path) -> None:
    small.upload(root, "1.csv", "ana,a@x.org,2026-01-01,1\n")
    small.upload(root, "copy.csv", "ana,a@x.org,2026-01-01,1\n")
    bring_in(root)
    assert erase(root, "ana").erasure.objects == ("raw/1.csv", "raw/copy.csv")


def test_a_file_that_is_a_part_of_the_value_only_is_kept(root: Path) -> None:
    small.upload(
        root, "1.csv", "anatol,t@x.org,2026-01-01,-1\nana-bel,u@x.org,2026-01-01,-1\n1ana,v@x.org,2026-01-01,-1\n"
    )
    small.upload(root, "2.csv", "bo,b@x.org,2026-01-01,1\n")
    bring_in(root)
    assert erase(root, "ana").done is None


def test_versions_from_before_the_column_was_classified_are_told(tmp_path: Path) -> None:
    root = small.make(tmp_path / "people", pii={})
    raw = small.upload(root, "1.csv", "ana,ana@x.org,2026-01-01,1\n")
    bring_in(root)
    small.contract(root, small.PII, version="1.1.0")
    later = small.upload(
        root, "2.csv", "ana,ana@x.org,2026-01-02,1\nbo,b@x.org,2026-01-02,1\n", at="2026-02-02T00:00:00Z"
    )
    with small.opened(root) as app:
        app.contracts.accept("visits", comment="people are people")
        app.data.ingest()
    erasure = erase(root, "ana").erasure
    assert digest_bytes(raw.read_bytes()) in erasure.in_clear  # it came in before anything was sealed
    assert len(erasure.in_clear) == 2  # and the rows of the first version
    assert erasure.artifacts == (digest_bytes(later.read_bytes()),)
    assert {used.name for used in erasure.uses.snapshots} == {"visits 1", "visits 2"}


def test_rows_from_before_a_column_came_are_found(tmp_path: Path) -> None:
    root = small.make(tmp_path / "people")
    path = root / "contracts/visits.yaml"
    later = path.read_text()
    path.write_text("\n".join(line for line in later.splitlines() if "mail" not in line))
    one = small.upload(root, "1.csv", b"person,day,amount\nana,2026-01-01,1\n")
    bring_in(root)
    path.write_text(later.replace("1.0.0", "1.1.0"))
    two = small.upload(root, "2.csv", "ana,ana@x.org,2026-01-02,1\n", at="2026-02-02T00:00:00Z")
    bring_in(root)
    answer = erase(root, "ana")
    assert set(answer.erasure.artifacts) == {digest_bytes(raw.read_bytes()) for raw in (one, two)}
    assert answer.done.values == 2


def test_a_batch_that_was_checked_and_not_taken_yet_is_searched(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = small.upload(root, "1.csv", "ana,a@x.org,2026-01-01,1\n")
    with monkeypatch.context() as patch, small.opened(root) as app:
        patch.setattr("keelway.snapshot.take", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            app.data.ingest()
    assert erase(root, "ana", dry=True).erasure.artifacts == (digest_bytes(raw.read_bytes()),)


def test_the_role_is_asked_for(root: Path) -> None:
    with small.opened(root, actor="user:ana") as app:
        with pytest.raises(IdentityError):
            app.privacy.erase("ana")
        with pytest.raises(IdentityError):
            app.privacy.expire()


@pytest.mark.parametrize("nobody", ["", " ", "\t"])
def test_nobody_cannot_be_erased(root: Path, nobody: str) -> None:
    with pytest.raises(UsageError):
        erase(root, nobody)


def test_an_erased_file_that_comes_again_under_another_dataset_is_refused(root: Path) -> None:
    small.upload(root, "1.csv", "ana,a@x.org,2026-01-01,1\nbo,b@x.org,2026-01-01,1\n")
    bring_in(root)
    erase(root, "ana")
    code = root / "src/people_declared.py"
    code.write_text(code.read_text().replace('"visits",', '"others",').replace("contracts/visits", "contracts/others"))
    text = (root / "contracts/visits.yaml").read_text().replace("visits", "others")
    (root / "contracts/others.yaml").write_text(text)
    with small.opened(root) as app, pytest.raises(ErasedError, match="came in again"):
        app.data.ingest()


def two_datasets(root: Path) -> None:
    """Let a second dataset name the same people."""
    code = root / "src/people_declared.py"
    more = 'calls = Dataset("calls", contract="contracts/calls.yaml", source="calls/*", event_time="day")\n\n\n'
    text = code.read_text().replace("@feature_set", f"{more}@feature_set", 1)
    code.write_text(
        text.replace("sources=[visits]", "sources=[visits, calls]").replace(
            "(visits, as_of):\n    return visits.group_by", "(visits, calls, as_of):\n    return visits.group_by"
        )
    )
    (root / "contracts/calls.yaml").write_text((root / "contracts/visits.yaml").read_text().replace("visits", "calls"))


def test_in_one_dataset_of_two_the_persons_keys_stay(root: Path) -> None:
    two_datasets(root)
    one = small.upload(root, "1.csv", "ana,a@x.org,2026-01-01,1\n")
    two = small.upload(root, "../calls/1.csv", "ana,a@x.org,2026-01-02,1\n")
    bring_in(root)
    part = erase(root, "ana", dataset="visits")
    assert part.erasure.values == ()
    assert part.erasure.artifacts == (digest_bytes(one.read_bytes()),)
    assert erase(root, "ana", dataset="visits").done is None
    rest = erase(root, "ana")
    assert rest.done.values == 2
    assert rest.erasure.artifacts == (digest_bytes(two.read_bytes()),)


def test_in_the_only_dataset_nothing_is_kept(root: Path) -> None:
    small.upload(root, "1.csv", "ana,a@x.org,2026-01-01,1\n")
    bring_in(root)
    assert erase(root, "ana", dataset="visits").done.values == 2


def test_a_dataset_that_names_nobody_is_not_searched(root: Path) -> None:
    assert erase(root, "ana", dataset="visits").done is None  # nothing was brought in yet


def test_a_dataset_that_nobody_declared_is_a_mistake(root: Path) -> None:
    with pytest.raises(ProjectError):
        erase(root, "ana", dataset="vists")


def test_a_dataset_that_is_no_longer_declared_is_searched(root: Path) -> None:
    two_datasets(root)
    small.upload(root, "1.csv", "bo,b@x.org,2026-01-01,1\n")
    raw = small.upload(root, "../calls/1.csv", "ana,a@x.org,2026-01-02,1\n")
    bring_in(root)
    (root / "src/people_declared.py").write_text(small.CODE)
    assert erase(root, "ana").erasure.artifacts == (digest_bytes(raw.read_bytes()),)


def test_retention_of_the_contract_goes_before_the_settings(root: Path) -> None:
    path = root / "contracts/visits.yaml"
    sla = "slaProperties:\n  - {property: retention, value: 10, unit: d}\n"
    path.write_text(path.read_text() + sla)
    toml = root / "keelway.toml"
    toml.write_text(toml.read_text() + "\n[privacy]\nraw_days = 1000\n")
    small.upload(root, "1.csv", "ana,a@x.org,2026-01-01,1\n")
    bring_in(root)
    for now, expected in (("2026-03-05T00:00:00Z", 0), ("2026-03-20T00:00:00Z", 1)):
        with small.opened(root, now=now) as app:
            assert len(app.privacy.expire(dry=True).erasure.artifacts) == expected


def test_what_waits_to_be_loaded_does_not_expire(root: Path) -> None:
    toml = root / "keelway.toml"
    toml.write_text(toml.read_text() + "\n[privacy]\nraw_days = 1\n")
    path = root / "contracts/visits.yaml"
    path.write_text(path.read_text().replace("    properties:", STOP + "    properties:", 1))
    small.upload(root, "1.csv", "ana,a@x.org,2026-01-01,-1\n")
    with small.opened(root) as app, pytest.raises(Exception, match="stops the load"):
        app.data.ingest()
    with small.opened(root, now="2027-01-01T00:00:00Z") as app:
        assert app.privacy.expire(dry=True).erasure.artifacts == ()
        assert len(app.privacy.erase("ana", dry=True).erasure.artifacts) == 1  # but erasing finds it there


STOP = "    customProperties: [{property: stopAtQuarantinedShare, value: 0.1}]\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ana", True),
        ("bo,ana,3", True),
        ('"ana"', True),
        ("'ana';", True),
        ("\tana\n", True),
        ('{"person": "ana"}', True),
        ("anatol", False),
        ("xana", False),
        ("_ana", False),
        ("ana_", False),
        ("ana-maria", False),
        ("x.ana", False),
        ("ana.x", False),
        ("I saw ana.", True),
    ],
)
def test_a_value_is_found_as_a_whole(text: str, found: bool) -> None:
    assert bool(text_pattern("ana").search(text.encode())) is found


def test_a_value_is_found_in_either_encoding() -> None:
    for encoding in ("utf8", "latin-1"):
        assert text_pattern("Jos\u00e9").search("1,Jos\u00e9,2".encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_value_is_found_in_wide_characters(encoding: str) -> None:
    assert text_pattern("ana").search("1,ana,2".encode(encoding))


@pytest.mark.parametrize("value", ["\u65e5\u672c", "\u0391\u03bd\u03bd\u03b1", "\u0410\u043d\u043d\u0430"])
def test_a_value_that_an_encoding_cannot_hold_is_not_found_everywhere(value: str) -> None:
    assert not text_pattern(value).search(b"bo,b@x.org,2026-01-01,1\n")
    assert text_pattern(value).search(f"1,{value},2".encode())


def test_a_value_is_no_expression() -> None:
    assert not text_pattern("a.c").search(b"abc")
    assert text_pattern("a(c").search(b"1,a(c,2")


# The records, without a project around them.


@pytest.fixture
def state(tmp_path: Path):
    opened = SqlState(f"sqlite:///{tmp_path}/state.db")
    yield opened
    opened.close()


def ordered(state, vault) -> Erasure:
    value, artifact = value_key("ana"), artifact_key("raw")
    vault.add_value_keys([value])
    vault.add_artifact_key(artifact)
    erasure = Erasure(0, Loss.ERASED, (value.mark.hex(),), (artifact.digest,), NOW, PrincipalId("user:dpo"))
    return order_erasure(erasure, state=state, comment="because")


def test_an_order_is_in_the_ledger_before_anything_is_destroyed(state, vault) -> None:
    erasure = ordered(state, vault)
    assert erasure.number == 1
    assert vault.value_keys([value_key("ana").lookup])
    with state.snapshot() as tx:
        [(_, decision)] = decisions(tx)
        assert unfinished(tx) == [erasure]
    assert decision.evidence == {"erasure": digest_of(erasure)}
    assert (decision.action, decision.subject, decision.comment) == ("erase", "erasure 1", "because")


def test_an_order_is_carried_out_once(state, vault) -> None:
    erasure = ordered(state, vault)
    done = carry_out(erasure, vault=vault, state=state, now=NOW)
    assert (done.values, done.artifacts, done.erasure) == (1, 1, digest_of(erasure))
    assert carry_out(erasure, vault=vault, state=state, now=NOW) == done
    with state.snapshot() as tx:
        assert unfinished(tx) == []
        assert tx.count(ErasureDone) == 1


def test_orders_are_numbered_and_finished_in_their_order(state, vault) -> None:
    first, second, third = (ordered(state, vault) for _ in range(3))
    assert [first.number, second.number, third.number] == [1, 2, 3]
    carry_out(second, vault=vault, state=state, now=NOW)
    with state.snapshot() as tx:
        assert unfinished(tx) == [first, third]
