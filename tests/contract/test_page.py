"""A contract's page is read by people and by machines that help them; it loads nothing and escapes everything."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from keelway.contract import Contract, contract_page, load_contract

TEXT = """\
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
team: {name: shop, members: [{username: ana, role: owner}]}
slaProperties:
  - {property: latency, value: 2, unit: h, element: orders}
  - {property: retention, value: 1, unit: y}
schema:
  - name: orders
    customProperties:
      - {property: stopAtQuarantinedShare, value: 0.2}
      - {property: delimiter, value: ";"}
      - {property: encoding, value: latin-1}
    quality:
      - {type: custom, engine: keelway, implementation: "amount >= 0 or note = '<none>'", name: "paid & <due>"}
      - {type: custom, engine: keelway, implementation: {dependency: {determinant: [email], dependent: [note]}}}
    properties:
      - {name: order_id, logicalType: string, primaryKey: true, primaryKeyPosition: 1, required: true}
      - name: email
        logicalType: string
        classification: restricted
        customProperties: [{property: pii, value: direct}]
      - name: amount
        logicalType: number
        logicalTypeOptions: {minimum: 0, maximum: 99.5}
        customProperties:
          - {property: decimalComma, value: true}
          - {property: strip, value: ["<$>"]}
          - {property: aliases, value: [paid]}
          - {property: multiplyBy, value: 0.01}
          - {property: missing, value: ["n/a"]}
      - name: at
        logicalType: timestamp
        customProperties:
          - {property: timeZone, value: Europe/Berlin}
          - {property: dateFormats, value: ["dd.MM.yyyy HH:mm"]}
      - name: note
        logicalType: string
        enum: [{value: "<b>"}, {value: "</pre>"}]
        customProperties: [{property: default, value: "<b>"}, {property: trim, value: true}]
"""
VOID = {"meta", "link", "br"}


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    (tmp_path / "c.yaml").write_text(TEXT, "utf8")
    return load_contract(tmp_path / "c.yaml", "orders")


class Outline(HTMLParser):
    """Reads a page strictly: every element is closed where it was opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]


def test_the_page_says_everything_the_contract_does(contract: Contract) -> None:
    text = Outline(contract_page(contract)).text
    for said in (
        "Data contract of orders",
        "ana",
        "at most 2 hours old",
        "365 days",
        "encoding iso8859-1",
        "delimiter ';'",
        "where more than 0.2 of the rows are bad",
        "minimum 0 (quarantine row)",
        "maximum 99.5 (quarantine row)",
        "a decimal comma is read",
        "<$> is cut out",
        "also called paid",
        "multiplied by 0.01",
        "no value: n/a",
        "times without an offset are of Europe/Berlin",
        "also written as %d.%m.%Y %H:%M",
        "filled with <b>",
        "blanks at both ends are cut",
        "one of <b>, </pre> (quarantine row)",
        "paid & <due>",
        "note follows from email (quarantine row)",
        "note: does not follow from email",
        "kept as a token",
        "PII: direct",
        "restricted",
        "apiVersion: v3.1.0",
    ):
        assert said in text, said


def test_the_page_loads_nothing(contract: Contract) -> None:
    page = contract_page(contract)
    outline = Outline(page)
    assert not {"script", "img", "iframe", "link", "object"} & {tag for tag, _ in outline.seen}
    assert not [found for _, attributes in outline.seen for found in ("src", "href", "onclick") if found in attributes]
    assert "url(" not in page
    assert "@import" not in page
    policy = next(each["content"] for each in outline.all("meta") if "http-equiv" in each)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_the_page_can_be_read_by_a_screen_reader(contract: Contract) -> None:
    outline = Outline(contract_page(contract))
    assert outline.all("html") == [{"lang": "en"}]
    tags = [tag for tag, _ in outline.seen]
    assert (tags.count("main"), tags.count("h1"), tags.count("title")) == (1, 1, 1)
    assert tags.count("caption") == tags.count("table") == 3
    assert all(each.get("scope") in ("col", "row") for each in outline.all("th"))
    regions = [each for each in outline.all("div") if each.get("role") == "region"]
    assert all(each.get("tabindex") == "0" and each.get("aria-label") for each in regions)


def test_the_page_says_what_stands_above_the_rows(contract: Contract) -> None:
    assert "no header" not in Outline(contract_page(contract)).text
    text = Outline(contract_page(replace(contract, has_header=False, skip_lines=3))).text
    assert "no header: columns in this order, 3 lines above are passed over" in text


def test_what_a_contract_does_not_say_has_no_place(contract: Contract, tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text(
        "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nschema:\n"
        "  - name: x\n    properties: [{name: a, logicalType: string}]\n",
        "utf8",
    )
    outline = Outline(contract_page(load_contract(tmp_path / "d.yaml", "x")))
    assert [tag for tag, _ in outline.seen].count("table") == 1
    for said in ("nobody yet", "no promise", "never", "none"):
        assert said in outline.text
