"""Events on their way to a server: one POST each, in order, with the token; whatever is not taken is an error."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from openlineage.client.transport.http import HttpConfig, HttpTransport

from keelway.app.lineage import LineageRoom
from keelway.app.settings import LineageSettings
from keelway.engines.openlineage import HttpLineage
from keelway.errors import EngineError, SettingsError, UsageError
from keelway.flow import Plan, Step, run_plan
from keelway.testing.flow import step_context
from keelway.testing.openlineage import official_event, without_empty

PLAN = Plan("diary", (Step("load", "testing.note", parameters={"text": "load"}),))


class Receiver:
    """A server of this process that takes events, until it is told not to."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, dict[str, Any]]] = []
        self.refuse_after = 1_000_000
        self.location = ""
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if receiver.location:
                    self.send_response(307)
                    self.send_header("Location", receiver.location)
                elif len(receiver.taken) >= receiver.refuse_after:
                    self.send_response(503, "Busy")
                else:
                    receiver.taken.append((self.path, self.headers.get("Authorization", ""), body))
                    self.send_response(201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


def room(folder: Path, **settings: str) -> LineageRoom:
    """Return the lineage of a project that ran one plan."""
    context = step_context(folder)
    run_plan(PLAN, context=context)
    told = SimpleNamespace(lineage=LineageSettings(**settings), project=SimpleNamespace(name="shop"))
    at: Any = SimpleNamespace(state=context.state, settings=told, root=folder)
    return LineageRoom(at)


def test_every_event_arrives_in_order_with_the_token(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    desk = room(tmp_path, url=receiver.url, token="file:token")
    assert desk.send().events == 4
    assert {place for place, _, _ in receiver.taken} == {"/api/v1/lineage"}
    assert {token for _, token, _ in receiver.taken} == {"Bearer s3cret"}
    assert [body["eventType"] for _, _, body in receiver.taken] == ["START", "START", "COMPLETE", "COMPLETE"]
    assert {body["job"]["namespace"] for _, _, body in receiver.taken} == {"shop"}


def test_what_is_sent_is_what_is_written(receiver: Receiver, tmp_path: Path) -> None:
    desk = room(tmp_path, url=f"{receiver.url}/own/path", namespace="team")
    desk.send()
    assert desk.export(tmp_path / "out" / "events.ndjson").events == 4
    lines = (tmp_path / "out" / "events.ndjson").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [body for _, _, body in receiver.taken]
    assert {(place, token) for place, token, _ in receiver.taken} == {("/own/path", "")}
    assert json.loads(lines[0])["job"]["namespace"] == "team"


def test_a_server_that_stops_taking_events_is_an_error_and_sending_goes_on_later(
    receiver: Receiver, tmp_path: Path
) -> None:
    desk = room(tmp_path, url=receiver.url)
    receiver.refuse_after = 2
    with pytest.raises(EngineError, match="503"):
        desk.send()
    receiver.refuse_after = 1_000_000
    assert desk.send().events == 4
    assert [body for _, _, body in receiver.taken][2:4] == [body for _, _, body in receiver.taken][:2]


def test_a_server_that_sends_us_elsewhere_is_not_followed(receiver: Receiver, tmp_path: Path) -> None:
    receiver.location = receiver.url.replace("127.0.0.1", "localhost")
    with pytest.raises(EngineError, match="307"):
        room(tmp_path, url=receiver.url).send()
    assert receiver.taken == []


def test_a_server_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    made = Receiver()
    made.stop()
    with pytest.raises(EngineError, match="did not take an event"):
        HttpLineage(made.url).send({"eventType": "START"})


def test_without_a_server_there_is_nothing_to_send_to(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No lineage server"):
        room(tmp_path).send()


@pytest.mark.parametrize(
    "url", ["", "ftp://host", "host", "http://", "https://user:password@host", "file:///etc/passwd"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        HttpLineage(url)


def test_the_official_client_sends_the_same_to_the_same_place(receiver: Receiver, tmp_path: Path) -> None:
    """Each event is made anew by the client's classes and sent by its transport."""
    transport = HttpTransport(
        HttpConfig.from_dict({"url": receiver.url, "auth": {"type": "api_key", "apiKey": "s3cret"}})
    )
    (tmp_path / "token").write_text("s3cret\n")
    assert room(tmp_path, url=receiver.url, token="file:token").send().events == 4
    ours = list(receiver.taken)
    for _, _, event in ours:
        transport.emit(official_event(event))
    theirs = receiver.taken[len(ours) :]
    assert [(place, token) for place, token, _ in theirs] == [(place, token) for place, token, _ in ours]
    assert [without_empty(body) for _, _, body in theirs] == [without_empty(body) for _, _, body in ours]
