"""Every exception of the client has its meaning, and no message holds a secret."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from obstore import exceptions

from keelway.engines.obstore import Patience, open_store
from keelway.engines.obstore.again import again, pause_before
from keelway.engines.obstore.failures import FAILURES, is_unrepeated, unreadable, unstorable, vendor_errors
from keelway.errors import EngineError, MissingExtraError, SettingsError, SourceError, StorageError

RAISED = {name: kind for name, kind in vars(exceptions).items() if inspect.isclass(kind) and name != "BaseError"}
PYTHONS = {"FileNotFoundError": FileNotFoundError, "ValueError": ValueError}
CUT = "Generic S3 error: Error getting list response body: HTTP error: request or response body error\n\nDebug source:"
TRIED = "Generic S3 error: GET x in 1s, after 3 retries, max_retries: 3, retry_timeout: 30s  - HTTP error: no"
REFUSED = "Generic S3 error: Error performing GET x in 1ms - Server returned non-2xx status code: {}: no"


def test_every_exception_of_the_client_is_mapped() -> None:
    assert set(FAILURES) == set(RAISED) | set(PYTHONS)
    assert all(issubclass(kind, vendor_errors()) for kind in (RAISED | PYTHONS).values())


@pytest.mark.parametrize("name", sorted(FAILURES))
def test_a_failure_says_what_it_means_and_what_to_do(name: str) -> None:
    error = (RAISED | PYTHONS)[name]("the first line\nthe client's structure")
    for made, kind in ((unreadable("s3://b", error), SourceError), (unstorable("s3://b", error), StorageError)):
        assert isinstance(made, kind)
        assert made.what.startswith("s3://b ")
        assert made.fix.endswith(".")
        assert made.found == "the first line"


def test_an_exception_nobody_knows_is_told_as_one() -> None:
    with pytest.raises(EngineError, match="unknown way"):
        unreadable("s3://b", KeyError("new in a later version"))


@pytest.mark.parametrize(
    ("status", "word"), [("401", "does not know"), ("403", "must not be used"), ("404", "not there")]
)
def test_a_refused_listing_means_what_its_status_says(status: str, word: str) -> None:
    assert word in unreadable("s3://b", exceptions.GenericError(REFUSED.format(status))).what


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (exceptions.GenericError(CUT), True),
        (exceptions.GenericError(TRIED), False),
        (exceptions.GenericError(REFUSED.format(400)), False),
        (exceptions.PermissionDeniedError("HTTP error"), False),
        (FileNotFoundError("HTTP error"), False),
    ],
)
def test_only_what_the_client_did_not_repeat_is_repeated(error: Exception, expected: bool) -> None:
    assert is_unrepeated(error) is expected


def test_again_gives_up_after_as_many_attempts_as_it_may_make() -> None:
    store = open_store("memory:///", patience=Patience(retries=3, first_pause_s=0.001))
    made = []

    def failing() -> None:
        made.append(1)
        raise exceptions.GenericError(CUT)

    with pytest.raises(exceptions.GenericError):
        again(failing, store)
    assert len(made) == 4


def test_again_stops_at_the_first_success() -> None:
    store = open_store("memory:///", patience=Patience(retries=3, first_pause_s=0.001))
    left = [exceptions.GenericError(CUT)]

    def failing_once() -> str:
        if left:
            raise left.pop()
        return "done"

    assert again(failing_once, store) == "done"


def test_pauses_grow_at_random_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store("memory:///", patience=Patience(first_pause_s=1, longest_pause_s=5))
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    for attempt in (1, 2, 3, 9):
        for _ in range(200):
            pause_before(attempt, store)
    longest = [max(slept[start : start + 200]) for start in range(0, 800, 200)]
    assert [bound >= found > bound / 2 for bound, found in zip((2, 4, 5, 5), longest, strict=True)] == [True] * 4
    assert min(slept) < 0.2


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "file:///tmp", "https://host/x", "bucket", "", "s3:", "s3://", "http://x"]
)
def test_what_is_no_object_store_is_refused(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_store(url)
    assert "object store" in caught.value.what


def test_an_unknown_option_is_refused_without_telling_its_value() -> None:
    with pytest.raises(SettingsError) as caught:
        open_store("s3://bucket", {"secret_acess_key": "hunter2"})
    assert "options" in caught.value.fix
    assert "hunter2" not in str(caught.value)


def test_secrets_in_a_url_are_not_told() -> None:
    with pytest.raises(SettingsError) as caught:
        open_store("ftp://ana:hunter2@host/x?sig=hunter3")
    assert caught.value.found == "ftp://host/x"
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "options", "kind"),
    [
        ("s3://bucket/a/b", {"region": "eu-central-1", "access_key_id": "k", "secret_access_key": "s"}, "S3Store"),
        ("gs://bucket/a", {"skip_signature": "true"}, "GCSStore"),
        ("az://container/a", {"account_name": "acc", "account_key": "a2V5"}, "AzureStore"),
        ("abfss://container@acc.dfs.core.windows.net/a", {}, "AzureStore"),
        ("memory:///", {}, "MemoryStore"),
    ],
)
def test_the_url_chooses_the_cloud(url: str, options: dict[str, str], kind: str) -> None:
    assert type(open_store(url, options).client).__name__ == kind


def test_a_missing_package_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(MissingExtraError) as caught:
        open_store("s3://bucket")
    assert "pip install 'keelway[objects]'" in caught.value.fix


def test_the_engine_does_not_load_its_package_before_a_store_is_opened() -> None:
    code = "import sys, keelway.engines.obstore; sys.exit('obstore' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
