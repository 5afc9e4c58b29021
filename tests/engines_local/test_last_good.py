"""What a machine keeps of what it serves: read back whole and checked, refused when damaged, and no more than is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keelway.core import ArtifactKind, Digest, VersionName, digest_bytes, digest_of
from keelway.deploy import EVERYBODY, Deployment
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.last_good import FileLastGood
from keelway.errors import IntegrityError, MissingRecordError, StorageError
from keelway.register import ModelVersion
from keelway.serve import Pin, pin_back
from keelway.serve.last_good import pinned
from keelway.testing.serving import NOW, PROD, deployment_of, version_record

ANA = deployment_of(churn_1=100).principal


class Machine:
    """A store, and a folder of what is kept of it."""

    def __init__(self, folder: Path) -> None:
        self.store = LocalArtifacts(folder / "store")
        self.folder = folder / "kept"
        self.kept = FileLastGood(self.folder, "churn", PROD)
        self.down = False

    def load(self, record: ModelVersion) -> bytes:
        """Read a version's bytes as a server does, and note what was read."""
        source = self.kept.bytes_behind(self._store)
        data = source.get(record.onnx)
        self.kept.note(digest_of(record), record, source.used)
        return data

    def version(self, number: int) -> ModelVersion:
        """Store the bytes of a version."""
        data = self.store.put(f"model {number}".encode(), kind=ArtifactKind.MODEL).digest
        return version_record(f"churn:{number}", onnx=data)

    def serve(self, *records: ModelVersion) -> list[Deployment]:
        """Load and keep deployments of these versions, the first answering."""
        for record in records:
            self.load(record)
        made = [served(record) for record in records]
        self.kept.keep(made)
        return made

    def again(self) -> FileLastGood:
        """Open the folder as another process does."""
        return FileLastGood(self.folder, "churn", PROD)

    def _store(self) -> LocalArtifacts:
        if self.down:
            raise StorageError("The store is down")
        return self.store


def served(record: ModelVersion) -> Deployment:
    name = f"churn_{record.number}"
    return replace(deployment_of(**{name: 100}), versions={record.name: digest_of(record)})


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def file_of(machine: Machine, digest: Digest) -> Path:
    return LocalArtifacts(machine.folder / "artifacts").path_of(digest)


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


def test_what_is_kept_is_read_back_by_another_process_with_the_store_down(machine: Machine) -> None:
    record = machine.version(1)
    deployments = machine.serve(record)
    machine.down = True
    machine.kept = machine.again()
    assert list(machine.kept.deployments()) == deployments
    assert machine.kept.record(digest_of(record)) == record
    assert machine.load(record) == b"model 1"


def test_nothing_is_kept_at_first(machine: Machine) -> None:
    assert machine.kept.deployments() == ()
    assert machine.kept.pin() is None
    assert machine.kept.record(digest_bytes(b"x")) is None


def test_bytes_that_only_forgotten_versions_needed_are_deleted(machine: Machine) -> None:
    one, two, three = (machine.version(number) for number in (1, 2, 3))
    machine.serve(two, one)
    machine.serve(three, two)
    machine.down = True
    assert machine.load(two) == b"model 2"
    with pytest.raises(StorageError, match="down"):
        machine.load(one)


def test_bytes_that_another_model_needs_stay(machine: Machine) -> None:
    one, two = machine.version(1), machine.version(2)
    other = FileLastGood(machine.folder, "fraud", PROD)
    source = other.bytes_behind(lambda: machine.store)
    source.get(one.onnx)
    other.note(digest_of(one), one, source.used)
    other.keep([served(one)])
    machine.serve(one)
    machine.serve(two)
    machine.down = True
    assert other.bytes_behind(machine._store).get(one.onnx) == b"model 1"


def test_a_store_that_was_altered_is_refused_though_sound_bytes_are_kept(machine: Machine) -> None:
    record = machine.version(1)
    machine.serve(record)
    damage(machine.store.path_of(record.onnx))
    assert machine.load(record) == b"model 1", "it was compared when it was read first"
    machine.kept = machine.again()
    with pytest.raises(IntegrityError):
        machine.load(record)
    machine.down = True
    assert machine.load(record) == b"model 1"
    machine.down = False
    machine.store.delete(record.onnx)
    assert machine.load(record) == b"model 1", "a disk that is not mounted alters nothing"


def test_damaged_bytes_are_fetched_anew_and_refused_while_the_store_is_down(machine: Machine) -> None:
    record = machine.version(1)
    machine.serve(record)
    damage(file_of(machine, record.onnx))
    machine.down = True
    with pytest.raises(IntegrityError):
        machine.load(record)
    machine.down = False
    assert machine.load(record) == b"model 1"
    machine.down = True
    assert machine.load(record) == b"model 1", "mended"


@pytest.mark.parametrize("name", ["deployments.json", "pin.json"])
def test_a_damaged_list_or_pin_is_refused(machine: Machine, name: str) -> None:
    machine.serve(machine.version(2), machine.version(1))
    machine.kept.set_pin(pin_back(machine.kept.deployments(), to=None, principal=ANA, now=NOW))
    damage(machine.folder / PROD / "churn" / name)
    with pytest.raises(IntegrityError, match="damaged"):
        machine.again().deployments() if name.startswith("d") else machine.again().pin()


def test_a_damaged_list_is_written_anew_with_what_answers(machine: Machine) -> None:
    record = machine.version(1)
    machine.serve(record)
    damage(machine.folder / PROD / "churn" / "deployments.json")
    assert list(machine.again().bytes_behind(lambda: machine.store).get(record.onnx)) == list(b"model 1")
    machine.serve(record)
    assert machine.again().deployments() == (served(record),)


def test_a_record_that_is_not_the_one_that_was_deployed_is_refused(machine: Machine) -> None:
    record = machine.version(1)
    machine.kept.note(digest_of(record), replace(record, semver="9.9.9"), [record.onnx])
    with pytest.raises(IntegrityError):
        machine.kept.record(digest_of(record))


def test_a_deployment_with_a_version_whose_bytes_were_never_read_is_not_kept(machine: Machine) -> None:
    one, two = machine.version(1), machine.version(2)
    machine.load(two)
    machine.kept.keep([served(two), served(one)])
    assert machine.kept.deployments() == (served(two),)


def test_a_folder_that_takes_nothing_is_told_and_keeps_no_byte_from_being_read(machine: Machine) -> None:
    record = machine.version(1)
    machine.folder.write_bytes(b"a file where the folder should be")
    assert machine.load(record) == b"model 1"
    with pytest.raises(StorageError, match="of a kept model"):
        machine.kept.keep([served(record)])


class TestPins:
    """A rollback on one machine, while the state is down."""

    def test_it_goes_to_the_version_before_and_holds_for_the_deployment_it_leaves(self, machine: Machine) -> None:
        two, one = machine.serve(machine.version(2), machine.version(1))
        pin = pin_back((two, one), to=None, principal=ANA, now=NOW, comment="wrong answers")
        machine.kept.set_pin(pin)
        assert machine.again().pin() == pin
        assert pinned(two, pin, (two, one)) == one
        assert pinned(one, pin, (two, one)) == one, "void: another deployment is in charge"
        three = replace(two, number=9)
        assert pinned(three, pin, (two, one)) == three
        machine.kept.remove_pin()
        machine.kept.remove_pin()
        assert machine.again().pin() is None

    def test_from_a_canary_it_goes_to_the_stable_version(self, machine: Machine) -> None:
        one, two = machine.version(1), machine.version(2)
        digests = {record.name: digest_of(record) for record in (one, two)}
        canary = replace(deployment_of(churn_1=90, churn_2=10), versions=digests)
        pin = pin_back((canary, served(one)), to=None, principal=ANA, now=NOW)
        assert pinned(canary, pin, (canary, served(one))) == replace(
            canary,
            strategy="all",
            traffic={one.name: 100},
            versions={one.name: digests[one.name]},
            allocation=EVERYBODY,
        )

    def test_a_version_that_is_kept_can_be_named(self, machine: Machine) -> None:
        kept = tuple(machine.serve(*(machine.version(number) for number in (3, 2, 1))))
        pin = pin_back(kept, to=VersionName("churn:1"), principal=ANA, now=NOW)
        assert pinned(kept[0], pin, kept).stable == "churn:1"

    def test_without_a_way_back_it_is_refused(self, machine: Machine) -> None:
        (one,) = machine.serve(machine.version(1))
        with pytest.raises(MissingRecordError, match="Nothing to go back to"):
            pin_back((one,), to=None, principal=ANA, now=NOW)
        with pytest.raises(MissingRecordError, match="churn:7 is not kept"):
            pin_back((one,), to=VersionName("churn:7"), principal=ANA, now=NOW)
        with pytest.raises(MissingRecordError, match="Nothing is kept"):
            pin_back((), to=None, principal=ANA, now=NOW)

    def test_a_pin_to_what_is_kept_no_more_is_told(self, machine: Machine) -> None:
        (one,) = machine.serve(machine.version(1))
        gone = Pin("churn", PROD, VersionName("churn:7"), digest_of(one), ANA, NOW)
        with pytest.raises(MissingRecordError, match="churn:7"):
            pinned(one, gone, (one,))
