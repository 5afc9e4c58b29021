"""Guesses from a column's name and values whether it names a person.

A name alone decides nothing (`PhoneService` holds yes and no), and neither do few values; what is found is a
proposal that a person confirms. Names of subjects, such as `customer_id`, are only pointed out: whether erasure is
asked for by them is for the owner to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

MOST = 0.8
"""Share of the values that must look like it where the name says nothing."""
SOME = 0.3
"""Share that is enough where the name says it too."""
SUBJECTS = frozenset({"customer", "client", "user", "member", "patient", "person", "subject", "household", "employee"})
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
_PHONE = re.compile(r"\+?[0-9 ()/.-]{7,20}")
_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")
_PERSON = re.compile(r"[^\W\d_][\w.'\u2019 -]*")
_NATIONAL = re.compile(r"(?=.*[0-9].*[0-9].*[0-9])[A-Za-z0-9 ./-]{6,20}")


def words_of(name: str) -> tuple[str, ...]:
    """Return the words that a column's name is made of.

    >>> words_of("customerEMail"), words_of("date_of_birth")
    (('customer', 'e', 'mail'), ('date', 'of', 'birth'))
    """
    return tuple(word.lower() for word in _WORDS.findall(name))


def guess_pii(name: str, values: Collection[str]) -> str:
    """Return what of a person a column holds (`e-mail`, `phone`, `IBAN`, ...), or empty.

    >>> guess_pii("contact", ["ana@example.org", "bo@example.org"]), guess_pii("PhoneService", ["Yes", "No"])
    ('e-mail', '')
    """
    words = words_of(name)
    for what, named, looks in _KINDS:
        share = sum(1 for value in values if looks(value.strip())) / max(1, len(values))
        if share >= SOME and _is_named(words, named):
            return what
        if share >= MOST and what in _TELLING:
            return what
    return ""


def may_name_subject(name: str) -> bool:
    """Return whether a column's name is that of an identifier of a person.

    >>> may_name_subject("customerID"), may_name_subject("order_id")
    (True, False)
    """
    words = words_of(name)
    return bool(SUBJECTS & set(words)) and (words[-1] in ("id", "no", "nr", "number", "key", "code") or len(words) == 1)


def may_name_person(name: str) -> str:
    """Return what of a person a column's name alone speaks of, or empty.

    >>> may_name_person("customer_email"), may_name_person("customer_id"), may_name_person("amount")
    ('e-mail', 'a person', '')
    """
    words = words_of(name)
    for what, named, _ in _KINDS:
        if _is_named(words, named):
            return what
    return "a person" if may_name_subject(name) else ""


def _is_named(words: tuple[str, ...], named: tuple[str, ...]) -> bool:
    joined = "".join(words)
    return any(word in words or (len(word) > 3 and word in joined) for word in named)


def is_iban(text: str) -> bool:
    """Return whether a text is an IBAN with right check digits.

    >>> is_iban("DE89 3704 0044 0532 0130 00"), is_iban("DE88 3704 0044 0532 0130 00")
    (True, False)
    """
    compact = text.replace(" ", "").upper()
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", compact):
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def is_card(text: str) -> bool:
    """Return whether a text is a card number by its length and check digit.

    >>> is_card("4111 1111 1111 1111"), is_card("4111 1111 1111 1112")
    (True, False)
    """
    digits = re.sub(r"[ -]", "", text)
    if not re.fullmatch(r"[0-9]{13,19}", digits):
        return False
    doubled = [int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def _is_phone(text: str) -> bool:
    return bool(_PHONE.fullmatch(text)) and sum(map(str.isdigit, text)) >= 7


def _has_letters_and_digits(text: str) -> bool:
    return any(map(str.isalpha, text)) and any(map(str.isdigit, text))


_KINDS: tuple[tuple[str, tuple[str, ...], Callable[[str], object]], ...] = (
    ("e-mail", ("mail", "email"), _EMAIL.fullmatch),
    ("IBAN", ("iban",), is_iban),
    ("card", ("card", "creditcard", "pan"), is_card),
    ("IP address", ("ip", "ipaddress", "clientip"), _ADDRESS.fullmatch),
    ("phone", ("phone", "mobile", "tel", "fax", "msisdn", "telefon", "handy"), _is_phone),
    ("national id", ("ssn", "passport", "nino", "taxid", "nationalid"), _NATIONAL.fullmatch),
    (
        "name",
        ("surname", "lastname", "firstname", "forename", "fullname", "customername", "familyname", "givenname"),
        _PERSON.fullmatch,
    ),
    ("address", ("street", "address", "addr"), _has_letters_and_digits),
)
"""What a column may hold, the words in its name, and what its values look like."""
_TELLING = frozenset({"e-mail", "IBAN", "card", "IP address"})
"""What values alone tell."""
