"""Opens an object store by its URL: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.

Options are those of the store (`endpoint`, `region`, `access_key_id`, `secret_access_key`, `account_name`, ...), with
secrets already resolved. What they do not say comes from the vendor's environment variables, then from the machine's
identity (instance profile, workload identity).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keelway.engines.obstore.failures import unusable, vendor_errors
from keelway.errors import MissingExtraError, SettingsError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "memory")
"""`memory:///` is for tests: it forgets everything with the process."""

ENDPOINTS = ("endpoint", "base_url")
"""The options that say where the store is, where it is not the vendor's own."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a store is waited for, and how often it is asked again.

    A request is repeated after a 5xx answer, a lost connection and a timeout, with pauses that double and are cut
    short at random; an answer that breaks off is continued where it broke.

    Attributes:
        retries: How often one request is repeated.
        first_pause_s: The first pause; the next are twice as long each, up to `longest_pause_s`.
        connect_timeout_s: For a connection to be made.
        read_timeout_s: Without a single byte.
        request_timeout_s: For one request with its whole answer.
    """

    retries: int = 5
    first_pause_s: float = 0.25
    longest_pause_s: float = 10.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    request_timeout_s: float = 3600.0

    def client(self) -> ClientConfig:
        """Return the timeouts as the client takes them."""
        return {
            "connect_timeout": timedelta(seconds=self.connect_timeout_s),
            "read_timeout": timedelta(seconds=self.read_timeout_s),
            "timeout": timedelta(seconds=self.request_timeout_s),
        }

    def retry(self) -> RetryConfig:
        """Return the repetitions as the client takes them."""
        return {
            "max_retries": self.retries,
            "retry_timeout": timedelta(seconds=self.request_timeout_s),
            "backoff": {
                "init_backoff": timedelta(seconds=self.first_pause_s),
                "max_backoff": timedelta(seconds=self.longest_pause_s),
                "base": 2,
            },
        }


@dataclass(frozen=True, slots=True)
class OpenStore:
    """An open object store.

    Attributes:
        url: Its URL, for messages; it holds no secret.
        client: The client that does the work.
        patience: How long it is waited for.
    """

    url: str
    client: ObjectStore
    patience: Patience


def open_store(url: str, options: Mapping[str, str] | None = None, *, patience: Patience | None = None) -> OpenStore:
    """Return the store at a URL; nothing is asked of it yet.

    Raises:
        MissingExtraError: The package for object stores is not installed.
        SettingsError: The URL or an option is wrong.
    """
    patience = patience or Patience()
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise SettingsError(
            "This is no object store", expected="s3://, gs:// or az:// with a bucket", found=_without_secrets(url)
        )
    client = _client(url, scheme, options or {}, patience)
    return OpenStore(_without_secrets(url), client, patience)


def _client(url: str, scheme: str, options: Mapping[str, str], patience: Patience) -> ObjectStore:
    try:
        from obstore.store import MemoryStore, from_url
    except ImportError as error:
        raise MissingExtraError(
            "Object stores need one more package",
            expected="obstore",
            found="nothing",
            fix="Type: pip install 'keelway[objects]'",
        ) from error
    if scheme == "memory":
        return MemoryStore()
    settings = patience.client()
    if any(options.get(name, "").startswith("http://") for name in ENDPOINTS):  # in the clear only where asked for
        settings["allow_http"] = True
    config: Any = dict(options) or None  # which options there are depends on the URL
    try:
        opened: ObjectStore = from_url(url, config=config, client_options=settings, retry_config=patience.retry())
    except vendor_errors() as error:
        raise unusable(_without_secrets(url), error) from error
    return opened


def _without_secrets(url: str) -> str:
    """Return a URL without what may stand in it besides the place: user, password, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
