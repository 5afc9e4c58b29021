"""A corpus of bad requests over every protocol: always 4xx with a message that helps, never 5xx, never a NaN."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from keelway.core import SimulatedClock
from keelway.serve.wire import WireLimits
from keelway.surfaces.scoring import ScoringApp
from keelway.testing.asgi import AsgiAnswer, AsgiClient, ReadyLog, live, route_of
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

LIMITS = WireLimits(body_bytes=20_000, rows=50, timeout_ms=2_000)
INFER = "/v2/models/churn/infer"


class House:
    """The app without a socket, and its log."""

    def __init__(self, traffic: ServedTraffic) -> None:
        traffic.send(churn_1=100)
        self.log = ReadyLog()
        route = route_of(traffic, ScorerShelf(churn_1=FixedScorer(0.25)), log=self.log)
        self.app = ScoringApp({"churn": route}, clock=SimulatedClock(NOW), limits=LIMITS)
        self.client = AsgiClient(self.app)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(ServedTraffic(tmp_path_factory.mktemp("bad")))


Wrap = Callable[[str, str], bytes]
"""Makes a body of a protocol from the JSON of a number and of a category."""


def named(number: str, plan: str) -> bytes:
    return f'{{"entity":"1","features":{{"recency_d":{number},"plan":{plan}}}}}'.encode("utf8", "surrogatepass")


def many(number: str, plan: str) -> bytes:
    return b'{"instances":[' + named(number, plan) + b"]}"


def split(number: str, plan: str) -> bytes:
    text = f'{{"dataframe_split":{{"columns":["recency_d","plan"],"data":[[{number},{plan}]]}}}}'
    return text.encode("utf8", "surrogatepass")


def records(number: str, plan: str) -> bytes:
    return f'{{"dataframe_records":[{{"recency_d":{number},"plan":{plan}}}]}}'.encode("utf8", "surrogatepass")


def inputs(number: str, plan: str) -> bytes:
    return f'{{"inputs":{{"recency_d":[{number}],"plan":[{plan}]}}}}'.encode("utf8", "surrogatepass")


def tensors(number: str, plan: str) -> bytes:
    text = (
        f'{{"inputs":[{{"name":"recency_d","shape":[1],"datatype":"FP64","data":[{number}]}},'
        f'{{"name":"plan","shape":[1],"datatype":"BYTES","data":[{plan}]}}]}}'
    )
    return text.encode("utf8", "surrogatepass")


PROTOCOLS: dict[str, tuple[str, Wrap]] = {
    "predict": ("/predict", named),
    "instances": ("/models/churn/predict", many),
    "split": ("/invocations", split),
    "records": ("/invocations", records),
    "inputs": ("/invocations", inputs),
    "v2": (INFER, tensors),
    "v2 version": ("/v2/models/churn/versions/1/infer", tensors),
}
every_protocol = pytest.mark.parametrize(("path", "wrap"), PROTOCOLS.values(), ids=PROTOCOLS.keys())

NUMBERS = {
    "infinity": "Infinity", "minus infinity": "-Infinity", "too large": "1e400", "too large for 32 bits": "3.5e38",
    "400 digits": "9" * 400, "5000 digits": "9" * 5000, "text": '"12.5"', "bool": "true", "list": "[1]",
    "object": "{}", "hexadecimal": "0x10", "leading zero": "01", "leading point": ".5", "plus": "+1",
    "underscore": "1_000", "comma": "1,5", "undefined": "undefined", "half": "1.", "nothing": "",
    "deep list": "[" * 2_000 + "]" * 2_000, "deep object": '{"a":' * 2_000 + "1" + "}" * 2_000,
    "arabic digits": "\u0661\u0662", "comment": "1/*2*/",
}  # fmt: skip
CATEGORIES = {
    "number": "1", "bool": "false", "list": '["gold"]', "object": '{"gold":1}', "too long": json.dumps("x" * 1_001),
    "lone surrogate escape": '"\\ud800"', "lone surrogate bytes": '"\ud800"', "half an escape": '"\\u12"',
    "unknown escape": '"\\x41"', "raw control": '"a\x01b"', "raw line feed": '"a\nb"', "unfinished": '"gold',
    "single quotes": "'gold'",
}  # fmt: skip


def refused(answer: AsgiAnswer | None, path: str) -> Any:
    """Return what a refusal says, having checked its shape."""
    assert answer is not None
    assert 400 <= answer.status < 500, answer.body
    told = answer.json
    assert told["error"]
    assert told["expected"]
    assert {"x-request-id", "server-timing"} <= {name.decode() for name in answer.headers}
    if path == "/invocations":
        assert told["error_code"] == "BAD_REQUEST"
        assert told["expected"] in told["message"]
    if path.startswith("/v2"):
        assert told["expected"] in told["error"]
    return told


@every_protocol
@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS.keys())
def test_a_number_that_is_none(house: House, path: str, wrap: Wrap, number: str) -> None:
    refused(house.client.ask("POST", path, wrap(number, '"gold"')), path)
    assert house.log.lines == []


@every_protocol
@pytest.mark.parametrize("plan", CATEGORIES.values(), ids=CATEGORIES.keys())
def test_a_category_that_is_none(house: House, path: str, wrap: Wrap, plan: str) -> None:
    refused(house.client.ask("POST", path, wrap("1", plan)), path)
    assert house.log.lines == []


@every_protocol
def test_nan_is_refused_where_the_protocol_has_null(house: House, path: str, wrap: Wrap) -> None:
    answer = house.client.ask("POST", path, wrap("NaN", '"gold"'))
    assert answer is not None
    assert answer.status == (200 if path == "/invocations" else 400)
    assert b"NaN" not in answer.body
    house.log.lines.clear()


def around(wrap: Wrap, change: Callable[[bytes], bytes]) -> bytes:
    return change(wrap("1", '"gold"'))


BODIES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _body: b"",
    "blank": lambda _body: b" \r\n\t",
    "NUL": lambda _body: b"\0" * 10,
    "half": lambda body: body[: len(body) // 2],
    "one byte short": lambda body: body[:-1],
    "one brace more": lambda body: body + b"}",
    "twice": lambda body: body + body,
    "in a list": lambda body: b"[" + body + b"]",
    "in a text": lambda body: json.dumps(body.decode()).encode(),
    "null": lambda _body: b"null",
    "true": lambda _body: b"true",
    "a number": lambda _body: b"1",
    "UTF-16": lambda body: body.decode().encode("utf-16"),
    "a mark of order": lambda body: b"\xef\xbb\xbf" + body,
    "no UTF-8": lambda body: body.replace(b"gold", b"g\xff\xfeld"),
    "overlong UTF-8": lambda body: body.replace(b"gold", b"\xc0\xaf"),
    "XML": lambda _body: b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "a form": lambda _body: b"recency_d=1&plan=gold",
    "a homoglyph": lambda body: body.replace(b"recency_d", "r\u0435cency_d".encode()),
    "a full-width name": lambda body: body.replace(b"plan", "\uff50lan".encode()),
    "a name with a joiner": lambda body: body.replace(b"plan", "pl\u200dan".encode()),
    "a name turned around": lambda body: body.replace(b"plan", "\u202enalp".encode()),
    "a name with NUL": lambda body: body.replace(b'"plan"', b'"plan\\u0000"'),
    "a name in capitals": lambda body: body.replace(b'"plan"', b'"Plan"'),
    "a name with a space": lambda body: body.replace(b'"plan"', b'"plan "'),
    "another name": lambda body: body.replace(b'"plan"', b'"__proto__"'),
    "too large": lambda body: body + b" " * 20_000,
    "deep": lambda _body: b"[" * 9_000,
    "deep and whole": lambda _body: b'{"instances":' * 700 + b"1" + b"}" * 700,
}


@every_protocol
@pytest.mark.parametrize("change", BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_none(house: House, path: str, wrap: Wrap, change: Callable[[bytes], bytes]) -> None:
    told = refused(house.client.ask("POST", path, around(wrap, change), pieces=3), path)
    assert told["found"].isascii()
    assert house.log.lines == []


REPEATS = {
    "entity": (b'"entity":"1"', b'"entity":"1","entity":"2"'),
    "features": (b'"features":{', b'"features":{"recency_d":1,"plan":"a"},"features":{'),
    "recency_d": (b'"recency_d":1', b'"recency_d":2,"recency_d":1'),
    "plan": (b'"plan":"gold"', b'"plan":"gold","plan":"free"'),
    "plan and null": (b'"plan":"gold"', b'"plan":"gold","plan":null'),
    "pl\\u0061n": (b'"plan":"gold"', b'"plan":"gold","pl\\u0061n":"free"'),
    "dataframe_split": (b'{"dataframe_split"', b'{"dataframe_split":{"columns":[],"data":[]},"dataframe_split"'),
    "columns": (b'"columns":', b'"columns":["plan","recency_d"],"columns":'),
    "inputs": (b'"inputs":', b'"inputs":[],"inputs":'),
    "name": (b'"name":"plan"', b'"name":"x","name":"plan"'),
    "data": (b'"data":["gold"]', b'"data":["x"],"data":["gold"]'),
    "instances": (b'{"instances":', b'{"instances":[],"instances":'),
}


@every_protocol
@pytest.mark.parametrize(("once", "twice"), REPEATS.values(), ids=REPEATS.keys())
def test_a_field_given_twice(house: House, path: str, wrap: Wrap, once: bytes, twice: bytes) -> None:
    body = wrap("1", '"gold"')
    if once not in body:
        assert house.client.post(path, body).status == 200
        house.log.lines.clear()
        return
    refused(house.client.ask("POST", path, body.replace(once, twice, 1)), path)
    assert house.log.lines == []


@pytest.mark.parametrize(
    "entity",
    ["", "x" * 201, "a\0b", "a\nb", "\u202e2400", "\u200b", "4\u20602", "\ufeff1", "\x7f", "\u0085", "\u2028"],
    ids=ascii,
)
def test_an_entity_that_does_not_show_what_it_is(house: House, entity: str) -> None:
    row = {"recency_d": 1, "plan": "gold"}
    told = refused(house.client.post("/predict", {"entity": entity, "features": row}), "/predict")
    assert told["field"] == "$.entity"
    assert told["found"].isascii()
    refused(house.client.post("/invocations", {"inputs": [row | {"entity": entity}]}), "/invocations")
    beside = {"name": "entity", "shape": [1], "datatype": "BYTES", "data": [entity]}
    body = json.loads(tensors("1", '"gold"'))
    refused(house.client.post(INFER, {"inputs": [*body["inputs"], beside]}), INFER)


@every_protocol
@pytest.mark.parametrize(
    "kind",
    [
        "text/html", "application/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "json",
        "", "application/json; charset=utf-16", "application/json; format=pandas-split", "application/jsonx",
        "application/json, text/html", "\xff",
    ],
)  # fmt: skip
def test_another_content_type(house: House, path: str, wrap: Wrap, kind: str) -> None:
    answer = house.client.post(path, wrap("1", '"gold"'), content_type=kind)
    refused(answer, path)
    assert answer.status == 415


HEADERS = {
    "no number of milliseconds": ({"X-Request-Timeout-Ms": "soon"}, 400),
    "no time at all": ({"X-Request-Timeout-Ms": "0"}, 400),
    "time before now": ({"X-Request-Timeout-Ms": "-1"}, 400),
    "many digits": ({"X-Request-Timeout-Ms": "9" * 5_000}, 400),
    "other digits": ({"X-Request-Timeout-Ms": "\xb2"}, 400),
    "another coding": ({"Content-Encoding": "br"}, 415),
    "two codings": ({"Content-Encoding": "gzip, gzip"}, 415),
    "no gzip": ({"Content-Encoding": "gzip"}, 400),
    "no deflate": ({"Content-Encoding": "deflate"}, 400),
}


@every_protocol
@pytest.mark.parametrize(("headers", "status"), HEADERS.values(), ids=HEADERS.keys())
def test_a_header_that_is_wrong(house: House, path: str, wrap: Wrap, headers: dict[str, str], status: int) -> None:
    answer = house.client.ask("POST", path, wrap("1", '"gold"'), headers=headers)
    told = refused(answer, path)
    assert answer is not None
    assert answer.status == status
    assert told["found"].isascii()


@pytest.mark.parametrize("size", ["0", "-1", "1e3", "99999", "soon", "9" * 30, ""])
def test_a_size_of_the_json_that_is_wrong(house: House, size: str) -> None:
    body = tensors("1", '"gold"')
    refused(house.client.post(INFER, body, Inference_Header_Content_Length=size), INFER)


@every_protocol
def test_a_bomb_is_not_unpacked(house: House, path: str, wrap: Wrap) -> None:
    bomb = gzip.compress(b" " * 18_000_000)
    assert len(bomb) < LIMITS.body_bytes
    answer = house.client.post(path, bomb, Content_Encoding="gzip")
    refused(answer, path)
    assert answer.status == 413


@every_protocol
@pytest.mark.parametrize("request_id", ["", "a b", "x" * 129, "a\r\nset-cookie: x", "\xff", "\t"])
def test_a_request_id_that_could_do_harm_is_replaced(house: House, path: str, wrap: Wrap, request_id: str) -> None:
    answer = house.client.post(path, wrap("1", '"gold"'), X_Request_Id=request_id)
    assert answer.status == 200
    assert len(answer.headers[b"x-request-id"]) == 32
    house.log.lines.clear()


NAMES = [
    "spend", "Churn", "churn ", "../churn", "..", ".", "churn/..", "churn%2f..", "%2e%2e", "churn\0", "ch\u0443rn",
    "churn;x", "*", "$churn", "churn.json", "churn\\", "a" * 5_000, "",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
def test_a_model_that_is_none(house: House, name: str) -> None:
    for path in (f"/v2/models/{name}/infer", f"/models/{name}/predict", f"/v2/models/{name}/versions/1/infer"):
        answer = house.client.post(path, tensors("1", '"gold"'))
        refused(answer, path)
        assert answer.status == 404
        assert answer.body.isascii()
    for path in (f"/v2/models/{name}", f"/v2/models/{name}/ready", f"/v2/models/{name}/versions/1/ready"):
        answer = house.client.get(path)
        if path.rstrip("/") != "/v2/models/churn":
            refused(answer, path)


@pytest.mark.parametrize("number", ["2", "01", "1.0", "-1", "latest", "churn:1", "../1", "\u0661", "", "1" * 5_000])
def test_a_version_that_is_none(house: House, number: str) -> None:
    answer = house.client.post(f"/v2/models/churn/versions/{number}/infer", tensors("1", '"gold"'))
    refused(answer, INFER)
    assert answer.status == 404


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "post", "X" * 500]
)
@pytest.mark.parametrize("path", ["/predict", "/models/churn/predict", "/invocations", INFER])
def test_another_method(house: House, method: str, path: str) -> None:
    answer = house.client.ask(method, path)
    assert answer is not None
    assert (answer.status, answer.headers[b"allow"]) == (405, b"POST")


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/v2", "/v2/models/churn", "/ping"]
)
def test_pages_are_only_read(house: House, path: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = house.client.ask(method, path)
        assert answer is not None
        assert (answer.status, answer.headers[b"allow"]) == (405, b"GET, HEAD")


@every_protocol
def test_a_body_that_is_cut_off_is_not_answered(house: House, path: str, wrap: Wrap) -> None:
    assert house.client.ask("POST", path, wrap("1", '"gold"'), cut_off=True) is None
    assert house.log.lines == []


@pytest.fixture(scope="module")
def address(house: House) -> Iterator[tuple[str, int]]:
    with live(house.app) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        yield host, int(port)


RAW = {
    "a chunk that lies": b"POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a negative length": b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n",
    "two lengths": b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x",
    "a length and chunks": (
        b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
    "a header without a name": b"POST /predict HTTP/1.1\r\nhost: a\r\n: x\r\n\r\n",
    "a header with NUL": b"POST /predict HTTP/1.1\r\nhost: a\r\nx-request-id: a\0b\r\n\r\n",
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW.keys())
def test_bytes_that_are_no_request_harm_nobody(house: House, address: tuple[str, int], raw: bytes) -> None:
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(4096):
            found += part
    assert not found or b" 4" in found.split(b"\r\n")[0]
    assert house.log.lines == []


def test_a_live_server_answers_chunks_and_refuses_too_many(address: tuple[str, int], house: House) -> None:
    connection = http.client.HTTPConnection(*address, timeout=60)
    body = named("1", '"gold"')
    connection.request("POST", "/predict", iter([body[:10], body[10:]]), encode_chunked=True,
                       headers={"transfer-encoding": "chunked", "content-type": "application/json"})  # fmt: skip
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["probability"]) == (200, 0.25)
    connection.request("POST", "/predict", iter([b" " * 10_000] * 5), encode_chunked=True,
                       headers={"transfer-encoding": "chunked"})  # fmt: skip
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]) == (413, "The body is too large")
    connection.close()
    house.log.lines.clear()


def test_a_body_that_never_comes_is_given_up(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=60) as connection:
        head = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\nx-request-timeout-ms: 50\r\n\r\n{"
        connection.sendall(head)
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
