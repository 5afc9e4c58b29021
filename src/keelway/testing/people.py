r"""A project of one dataset that names persons: quick to bring in, and nobody trains its model.

root = make(tmp_path / "people")
upload(root, "1.csv", "ana,ana@x.org,2026-01-01,1\n")
with opened(root) as app:
app.data.ingest()
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from keelway.app import App, make_tenant_key, read_settings
from keelway.core import SimulatedClock, parse_time
from keelway.ledger import SigningKey, write_atomically

NOW = "2026-03-01T00:00:00Z"
TOML = """\
[project]
name = "people"
module = "people_declared"
source = "src"
actor = "user:dpo"

[engines]
tracking = ""

[signing]
name = "people.keelway"

[environments.prod]

[principals."user:dpo"]
roles = ["admin"]

[principals."user:ana"]
roles = ["data-scientist"]
"""
CODE = """\
from datetime import UTC, datetime

from keelway import Cuts, Dataset, Estimator, Label, Model, Project, feature_set

visits = Dataset("visits", contract="contracts/visits.yaml", source="raw/**/*", event_time="day")


@feature_set(entity="person", sources=[visits])
def activity(visits, as_of):
    return visits.group_by("person").agg(visits=visits.count())


@Label.define(entity="person", source=visits, horizon="30d", absent=1)
def gone(visits, as_of):
    return visits.select("person").distinct().mutate(gone=0)


model = Model(
    "gone",
    features=[activity],
    label=gone,
    estimators=[Estimator("linear", "sklearn.linear_model.LogisticRegression")],
    cuts=Cuts(datetime(2026, 1, 1, tzinfo=UTC)),
)
project = Project("people", models=[model])
"""
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: visits
version: 1.0.0
status: active
schema:
  - name: visits
    logicalType: object
    physicalType: csv
    properties:
      - {name: person, logicalType: string, required: true, customProperties: [PERSON]}
      - {name: mail, logicalType: string, customProperties: [MAIL]}
      - {name: day, logicalType: date, required: true}
      - {name: amount, logicalType: integer, required: true, logicalTypeOptions: {minimum: 0}}
"""
PII = {"PERSON": "{property: pii, value: subject}", "MAIL": "{property: pii, value: direct}"}
HEADER = "person,mail,day,amount\n"


def make(root: Path, *, pii: dict[str, str] | None = None) -> Path:
    """Write the project, with its keys."""
    for name, text in (("keelway.toml", TOML), ("src/people_declared.py", CODE)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    contract(root, PII if pii is None else pii)
    settings = read_settings(root)
    key = SigningKey.generate(settings.signing.name)
    key.save(root / ".keelway/keys/signing.pem")
    write_atomically(root / settings.signing.public_key, key.public.pem().encode())
    make_tenant_key(root, settings)
    return root


def contract(root: Path, pii: dict[str, str], *, version: str = "1.0.0") -> None:
    """Write the contract, with the classes of its columns."""
    text = CONTRACT.replace("1.0.0", version)
    for name in PII:
        text = text.replace(f"[{name}]", f"[{pii[name]}]" if name in pii else "[]")
    (root / "contracts").mkdir(exist_ok=True)
    (root / "contracts/visits.yaml").write_text(text)


def upload(root: Path, name: str, content: str | bytes, *, at: str = "2026-02-01T00:00:00Z") -> Path:
    """Put a file into the object store; of text only the rows."""
    path = root / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else (HEADER + content).encode())
    stamp = datetime.fromisoformat(at).timestamp()
    os.utime(path, (stamp, stamp))
    return path


@contextmanager
def opened(root: Path, *, now: str = NOW, actor: str = "") -> Iterator[App]:
    """Open the project and close it again."""
    app = App.open(root, clock=SimulatedClock(parse_time(now)), actor=actor)
    try:
        yield app
    finally:
        app.close()


def all_bytes(folder: Path) -> bytes:
    """Return every byte below a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
