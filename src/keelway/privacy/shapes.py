"""The shapes of what names a person in running text: how each is found, and what proves that it is one."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

from keelway.privacy.national_ids import IDS, masked, sources

_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_HEX = r"[0-9A-Fa-f]"
_E_MAIL = r"[\w.%+-][\w.%+'-]{0,63}(?:@|%40)(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}"
_IBAN = r"(?<![\w-])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![\w-])"
_DIGITS = r"(?<![\w.-])\d(?:[ -]?\d){11,39}(?![\w-]|\.\d)"
_PHONE = r"(?:\+[1-9](?:[ ().-]{0,2}\d){7,14}|00[1-9]\d{0,2}[ /-](?:[ ().-]{0,2}\d){6,12})"
_IPV6 = rf"(?<![\w:.])(?:{_HEX}{{0,4}}:){{2,7}}(?:{_HEX}{{1,4}}|{IPV4})?(?:::)?(?![\w:]|\.\d)"
# A number behind `Name/` or `rv:` is a version (`Chrome/30.0.0.0`), unless a port follows.
_FREE_IPV4 = rf"(?<![\w.])(?:(?<![\w)]/)(?<!rv:){IPV4}|{IPV4}(?=:\d))(?!\w|\.\d)"

CARD_NETWORKS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0|6|8|9)\d{12}|35\d{14}|6(?:011|5\d\d|4[4-9]\d)\d{12}"
)
"""Visa, Mastercard, American Express, Diners, JCB, Discover."""
CARD_GROUPS = {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 1)}
"""How the digits of a card are grouped, where they are."""


class Shape(NamedTuple):
    """One kind of thing that names a person.

    Attributes:
        trigger: What RE2 looks for to tell that a line may hold one; it never misses a line that `mask` would change.
        mask: Masks every one in a text.
    """

    trigger: str
    mask: Callable[[str], str]


@functools.cache
def shapes() -> tuple[Shape, ...]:
    """Return the shapes, in an order in which none takes a part of another's."""
    return (
        Shape(r"(?:@|%40)[^\s@]*\.[A-Za-z]", functools.partial(re.compile(_E_MAIL).sub, "[e-mail]")),
        Shape(r"\b[A-Z]{2}\d{2} ?[A-Z0-9]{4}", _ibans),
        _shape(r"\d(?:[ -]?\d){11}", _DIGITS, _cards),
        *(
            _shape(source, rf"(?<![\w.+-]){source}(?![\w-]|\.\d)", functools.partial(masked, kind))
            for kind, source in zip(IDS, sources(), strict=True)
        ),
        _shape(r"\+[1-9][ ().-]{0,2}\d|\b00[1-9]\d{0,2}[ /-]", rf"(?<![\w.+-]){_PHONE}(?!\w)", _phone),
        _shape(rf"{_HEX}::|::{_HEX}|(?:{_HEX}{{1,4}}:){{5}}", _IPV6, _ipv6),
        _shape(rf"[/:]{IPV4}|(?:\d{{1,3}}\.){{4}}\d|\b127\.|\b0\.0\.0\.0", _FREE_IPV4, _ipv4),
    )


def _shape(trigger: str, pattern: str, mask: Callable[[re.Match[str]], str]) -> Shape:
    return Shape(trigger, functools.partial(re.compile(pattern, re.ASCII).sub, mask))


def _ibans(text: str) -> str:
    """Mask every IBAN; what follows one may look like a part of it, such as the next one."""
    from stdnum import iban

    pattern, masked, place = re.compile(_IBAN, re.ASCII), "", 0
    while match := pattern.search(text, place):
        ends = [match.start() + space.start() for space in re.finditer(" |$", match[0])]
        end = next((end for end in reversed(ends) if iban.is_valid(text[match.start() : end].replace(" ", ""))), 0)
        masked += text[place : match.start()] + "[iban]" if end else text[place : match.start() + 4]
        place = end or match.start() + 4
    return masked + text[place:]


def _cards(match: re.Match[str]) -> str:
    return _without_cards(match[0])


def _without_cards(text: str) -> str:
    """Mask the cards among groups of digits, such as `200 4111 1111 1111 1111`."""
    from stdnum import luhn

    groups = list(re.finditer(r"\d+", text))
    for first in range(len(groups)):
        for last in range(min(len(groups), first + 5), first, -1):
            lengths = tuple(len(group[0]) for group in groups[first:last])
            if len(lengths) > 1 and lengths not in CARD_GROUPS:
                continue
            digits = "".join(group[0] for group in groups[first:last])
            if CARD_NETWORKS.fullmatch(digits) and luhn.is_valid(digits):
                return f"{text[: groups[first].start()]}[card]{_without_cards(text[groups[last - 1].end() :])}"
    return text


def _phone(match: re.Match[str]) -> str:
    date = re.search(r" \d{4}-\d\d-\d\d$", match[0])
    number = match[0][: date.start()] if date else match[0]
    if re.fullmatch(r"\+\d+\.\d{1,2}", number) or not re.fullmatch(_PHONE, number):  # an amount, a time zone
        return match[0]
    return "[phone]" + match[0][len(number) :]


def _ipv6(match: re.Match[str]) -> str:
    text = match[0]
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return text
    looks = any(len(group) >= 3 and re.search(r"\d", group) for group in text.split(":"))  # `1::2` slices a list
    return "[ip]" if looks and not address.is_loopback else text


def _ipv4(match: re.Match[str]) -> str:
    address = ipaddress.IPv4Address(".".join(octet.lstrip("0") or "0" for octet in match[0].split(".")))
    return match[0] if address.is_loopback or address.is_unspecified else "[ip]"  # these name nobody
