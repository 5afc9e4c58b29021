"""Every setting of a project, read from `keelway.toml`; docs/settings.md lists them all.

A wrong value is refused with its place in the file. Paths are relative to the folder of `keelway.toml`; secrets are
references (`env:NAME`, `file:path`), never values.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec

from keelway.app.settings_environment import EnvironmentSettings, check_environment
from keelway.app.settings_requests import CallerSettings, RequestSettings, check_requests
from keelway.app.settings_serving import ServingSettings, check_serving
from keelway.core import checked_name
from keelway.errors import ProjectError, SettingsError
from keelway.identity import is_reference

FILE_NAME = "keelway.toml"
SECRET_WORDS = ("secret", "token", "password", "account_key", "sas_key")
"""An option of an object store whose name has one of these is a secret."""
LEAST_LOG_DAYS = 183
"""Six months: what Articles 19(1) and 26(6) of Regulation (EU) 2024/1689 ask of the logs of a high-risk system."""


class ProjectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[project]`: where the declarations are.

    Attributes:
        name: The project's name.
        module: The Python module that holds `project`.
        source: The folder put on the import path.
        actor: Who acts when neither `--as` nor `KEELWAY_ACTOR` says so.
    """

    name: str
    module: str
    source: str = "src"
    actor: str = ""


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[engines]`: where things are kept.

    Attributes:
        objects: Root of the object store that dataset sources are globs in: a folder, or a URL such as
            `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.
        object_options: Options of the object stores named by URL, such as `endpoint`, `region`, `access_key_id`; those
            that are secret are references (`env:NAME`, `file:PATH`).
        state: URL of the state database; `sqlite:PATH` or `postgresql://USER@HOST:PORT/NAME`.
        state_password: A secret reference to that user's password; empty leaves it to PostgreSQL's own ways.
        artifacts: Folder or URL of the artifact store.
        tables: Folder or URL of the Delta tables.
        journals: Folder where serving processes write predictions before they are sealed.
        tracking: URL of the MLflow store; empty keeps no MLflow runs.
        workers: How many independent steps of a plan run at once.
        online: Where features are served from; `sqlite:PATH`, `redis://HOST:PORT/DATABASE` or, with TLS, `rediss://...`.
        online_user: Who logs in to Redis; empty is the server's default user.
        online_password: A secret reference to that user's password; empty where the server asks for none.
        online_ttl_s: For how many seconds Redis serves a cut after it was written; 0 for ever.
    """

    objects: str = "."
    object_options: dict[str, str] = {}
    state: str = "sqlite:.keelway/state.db"
    state_password: str = ""
    artifacts: str = ".keelway/artifacts"
    tables: str = ".keelway/tables"
    journals: str = ".keelway/journals"
    tracking: str = "sqlite:.keelway/mlflow.db"
    workers: int = 2
    online: str = "sqlite:.keelway/online.db"
    online_user: str = ""
    online_password: str = ""
    online_ttl_s: int = 0


class SigningSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[signing]`: the key that signs checkpoints, model versions and proofs.

    Attributes:
        name: The key's name, which is also the log's origin.
        key: A secret reference to the private key (PEM).
        public_key: The public key's file, safe to hand out.
        checkpoints: The folder outside the database where checkpoints are published.
        publish: Further places for them: a folder, the URL of an object store, `git:REPOSITORY#REMOTE`.
        publish_every: How often they are published by commands that write: `1h`, `100 entries`; empty leaves it to
            promotions, audits and `keelway audit publish`.
        witnesses: The public keys' files of those who sign checkpoints too.
        witness_quorum: How many of them have to have signed a checkpoint, for an audit to count it.
    """

    name: str
    key: str = "file:.keelway/keys/signing.pem"
    public_key: str = ".keelway/keys/signing.pub"
    checkpoints: str = ".keelway/checkpoints"
    publish: list[str] = []
    publish_every: str = ""
    witnesses: list[str] = []
    witness_quorum: int = 0


class PrivacySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[privacy]`: the keys behind tokens and sealed files, and how long personal data is kept.

    Attributes:
        key: A secret reference to the tenant's key (64 hexadecimal digits).
        vault: Where the keys of values and files are kept; `sqlite:PATH`.
        raw_days: How long raw files of datasets with personal data can be read; 0 for ever.
        quarantine_days: How long their quarantined rows can be read; 0 for ever.
        log_days: How long the log of predictions can be read; 0 for ever.
        risk: `high` for a high-risk system under the EU AI Act: its log is kept for six months at least.
    """

    key: str = "file:.keelway/keys/tenant.key"
    vault: str = "sqlite:.keelway/keys/vault.db"
    raw_days: int = 0
    quarantine_days: int = 0
    log_days: int = 0
    risk: str = ""


class PrincipalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[principals."user:NAME"]` or `[principals."sp:NAME"]`: who may act.

    Attributes:
        roles: Any of data-scientist, approver, deployer, auditor, admin.
        token_sha256: SHA-256 of the token that proves it is them; a service principal must have one.
        disabled: Whether it may do nothing any more; what it approved counts no more.
    """

    roles: tuple[str, ...]
    token_sha256: str = ""
    disabled: bool = False


class LineageSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[lineage]`: the catalogue that runs and steps are told to (OpenLineage).

    Attributes:
        url: The server, such as `https://HOST`; events go to `/api/v1/lineage` there, or to the URL's own path.
        token: A secret reference to the bearer token; empty sends none.
        namespace: Where jobs and datasets are called so; empty is the project's name.
    """

    url: str = ""
    token: str = ""
    namespace: str = ""


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[retention]`: what `keelway gc` may collect, and when.

    Attributes:
        unreferenced_days: How old bytes that nothing names have to be; at least one day, for whoever is writing now.
        retired_days: How long the bytes of a retired version are kept after it was retired; 0 for ever.
        evidence_days: How long documents that only decisions name are kept after the newest of these; 0 for ever.
    """

    unreferenced_days: int = 7
    retired_days: int = 0
    evidence_days: int = 0


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of `keelway.toml`."""

    project: ProjectSettings
    signing: SigningSettings
    engines: EngineSettings = EngineSettings()
    privacy: PrivacySettings = PrivacySettings()
    lineage: LineageSettings = LineageSettings()
    retention: RetentionSettings = RetentionSettings()
    serving: ServingSettings = ServingSettings()
    requests: RequestSettings = RequestSettings()
    callers: CallerSettings = CallerSettings()
    environments: dict[str, EnvironmentSettings] = {}
    principals: dict[str, PrincipalSettings] = {}


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above `start` that holds `keelway.toml`.

    Raises:
        ProjectError: There is none.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / FILE_NAME).is_file():
            return folder
    raise ProjectError(
        "There is no project here",
        expected=f"{FILE_NAME} in this folder or one above it",
        found=f"none at or above {start}",
        fix="Go to your project's folder, name it with --project DIR, or start one with `keelway init DIR`.",
    )


def read_settings(root: Path) -> Settings:
    """Return the settings of the project in a folder.

    Raises:
        SettingsError: The file is not TOML, or holds a wrong or unknown setting.
    """
    path = root / FILE_NAME
    try:
        settings = msgspec.convert(tomllib.loads(path.read_text("utf8")), Settings)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{FILE_NAME} does not parse",
            expected="TOML 1.0 in UTF-8",
            found=str(error),
            fix=f"Mend {FILE_NAME} at the place named.",
        ) from error
    except msgspec.ValidationError as error:
        raise SettingsError(
            f"{FILE_NAME} holds a wrong setting",
            expected="the settings listed in docs/settings.md",
            found=str(error),
            fix=f"Mend {FILE_NAME} at the place named.",
        ) from error
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    """Refuse what TOML types cannot express."""
    checked_name(settings.project.name, what="project")
    for name, environment in settings.environments.items():
        checked_name(name, what="environment")
        if environment.after and environment.after not in settings.environments:
            raise SettingsError(
                f"environments.{name}.after names no environment",
                expected=", ".join(sorted(settings.environments)),
                found=environment.after,
            )
        check_environment(name, environment)
    _check_signing(settings.signing)
    _check_privacy(settings.privacy)
    if settings.lineage.token:
        _must_be_reference("lineage.token", settings.lineage.token)
    _check_retention(settings.retention)
    check_serving(settings.serving)
    check_requests(settings.requests, settings.callers)
    _check_object_options(settings.engines.object_options)
    _check_state(settings.engines)
    _check_online(settings.engines)
    if settings.engines.workers < 1:
        raise SettingsError("engines.workers is too small", expected="1 or more", found=str(settings.engines.workers))
    for name, principal in settings.principals.items():
        if not name.startswith(("user:", "sp:")):
            raise SettingsError("A principal has a wrong name", expected="user:NAME or sp:NAME", found=name)
        if name.startswith("sp:") and not principal.token_sha256:
            raise SettingsError(
                f"{name} has no token_sha256",
                expected="the SHA-256 of the service principal's token",
                found="nothing",
                fix="Only its token tells a service principal from a person; `keelway init` shows how one is made.",
            )


def _check_object_options(options: dict[str, str]) -> None:
    """Refuse a secret that is written down instead of referred to."""
    for name, value in options.items():
        if any(word in name.lower() for word in SECRET_WORDS):
            fix = "Put the secret into an environment variable or a file, and name that."
            _must_be_reference(f"engines.object_options.{name}", value, fix=fix)


def _check_state(engines: EngineSettings) -> None:
    """Refuse another database than there is, and a password that is written down instead of referred to."""
    scheme = _checked_scheme(
        "state",
        engines.state,
        ("sqlite", "postgresql", "postgresql+psycopg"),
        otherwise="engines.state names no state database",
        expected="sqlite:PATH or postgresql://USER@HOST:PORT/NAME",
    )
    if engines.state_password and (scheme == "sqlite" or not is_reference(engines.state_password)):
        raise SettingsError(
            "engines.state_password is wrong",
            expected="env:NAME or file:PATH, for a state on PostgreSQL",
            found=f"{len(engines.state_password)} characters for {scheme}",
        )


def _check_online(engines: EngineSettings) -> None:
    """Refuse another store than there is, and a password that is written down instead of referred to."""
    scheme = _checked_scheme(
        "online",
        engines.online,
        ("sqlite", "redis", "rediss"),
        otherwise="engines.online names no online store",
        expected="sqlite:PATH, redis://HOST:PORT/DATABASE or rediss://...",
    )
    if engines.online_password:
        _must_be_reference("engines.online_password", engines.online_password)
    given = [name for name in ("online_user", "online_password", "online_ttl_s") if getattr(engines, name)]
    if engines.online_ttl_s < 0 or (given and scheme == "sqlite"):
        raise SettingsError(
            f"engines.{given[0]} is wrong",
            expected="0 or more, for an online store on Redis",
            found=f"{given[0]} for {scheme}",
        )


def _checked_scheme(name: str, url: str, schemes: tuple[str, ...], *, otherwise: str, expected: str) -> str:
    """Return the scheme of an engine's URL, one of some, which holds no password."""
    where = urlsplit(url)
    if where.scheme not in schemes:
        raise SettingsError(otherwise, expected=expected, found=f"the scheme {where.scheme!r}")
    if where.password or "password" in parse_qs(where.query):
        raise SettingsError(
            f"engines.{name} holds a secret",
            expected="a URL without a password",
            found="a URL with one",
            fix=f'Take it out, and name it: {name}_password = "env:NAME".',
        )
    return where.scheme


def _must_be_reference(name: str, value: str, *, fix: str = "") -> None:
    """Refuse a secret that is written down instead of referred to."""
    if not is_reference(value):
        raise SettingsError(
            f"{name} holds a secret",
            expected="env:NAME or file:PATH",
            found=f"{len(value)} characters that are not a reference",
            fix=fix,
        )


def _check_signing(signing: SigningSettings) -> None:
    """Refuse an interval that is none, and more witnesses than there are."""
    if signing.publish_every:
        from keelway.app.publishing import PublishInterval

        PublishInterval.parse(signing.publish_every)
    if not 0 <= signing.witness_quorum <= len(signing.witnesses):
        raise SettingsError(
            "signing.witness_quorum is wrong",
            expected=f"0 to {len(signing.witnesses)}, as many as signing.witnesses names",
            found=str(signing.witness_quorum),
        )


def _check_privacy(privacy: PrivacySettings) -> None:
    if not privacy.vault.startswith("sqlite:"):
        raise SettingsError("privacy.vault is wrong", expected="sqlite:PATH", found=privacy.vault)
    if privacy.risk not in ("", "high"):
        raise SettingsError("privacy.risk is wrong", expected="high, or empty", found=privacy.risk)
    for name in ("raw_days", "quarantine_days", "log_days"):
        if getattr(privacy, name) < 0:
            raise SettingsError(f"privacy.{name} is negative", expected="0 or more", found=str(getattr(privacy, name)))
    if privacy.risk == "high" and 0 < privacy.log_days < LEAST_LOG_DAYS:
        raise SettingsError(
            "privacy.log_days is too short for a high-risk system",
            expected=f"{LEAST_LOG_DAYS} days (six months) or more, or 0 to keep the log for ever",
            found=str(privacy.log_days),
            fix="Keep the log longer: Regulation (EU) 2024/1689, Articles 19(1) and 26(6).",
        )


def _check_retention(retention: RetentionSettings) -> None:
    """Refuse to collect what somebody may be writing at this moment."""
    for name, least in (("unreferenced_days", 1), ("retired_days", 0), ("evidence_days", 0)):
        if (found := getattr(retention, name)) < least:
            raise SettingsError(f"retention.{name} is too small", expected=f"{least} or more", found=str(found))
