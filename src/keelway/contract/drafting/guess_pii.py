"""Guesses from a column's name and values whether it names a person.

A name alone decides nothing (`PhoneService` holds yes and no), and neither do few values; what is found is a
proposal that a person confirms. Names of subjects, such as `customer_id`, are only pointed out: whether erasure is
asked for by them is for the owner to say.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection

MOST = 0.8
"""Share of the values that must look like it where the name says nothing."""
SOME = 0.3
"""Share that is enough where the name says it too."""
SUBJECTS = frozenset({"customer", "client", "user", "member", "patient", "person", "subject", "household", "employee"})
_NUMBERS = frozenset({"id", "no", "nr", "number", "key", "code"})
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_MASK = re.compile(r"\[([^\[\]]+)\]")
_PHONE = re.compile(r"(?=(?:.*[0-9]){7})\+?[0-9 ()/.-]{7,20}")
_PERSON = re.compile(r"[^\W\d_][\w.'\u2019 -]*")
_NATIONAL = re.compile(r"(?=(?:.*[0-9]){3})[A-Za-z0-9 ./-]{6,20}")
_ADDRESS = re.compile(r"(?=.*[0-9]).*[^\W\d_].*")


def words_of(name: str) -> tuple[str, ...]:
    """Return the words that a column's name is made of.

    >>> words_of("customerEMail"), words_of("date_of_birth")
    (('customer', 'e', 'mail'), ('date', 'of', 'birth'))
    """
    return tuple(word.lower() for word in _WORDS.findall(name))


def guess_pii(name: str, values: Collection[str]) -> str:
    """Return what of a person a column holds (`e-mail`, `phone`, `iban`, ...), or empty.

    >>> guess_pii("contact", ["ana@example.org", "bo@example.org"]), guess_pii("PhoneService", ["Yes", "No"])
    ('e-mail', '')
    """
    words = words_of(name)
    told = Counter(map(_scrubbed, values))
    for what, count in told.most_common():
        share = count / len(values)
        if what and (share >= MOST or (share >= SOME and _is_named(words, _NAMED.get(what, ())))):
            return what
    for what, looks in _LOOKS.items():
        share = sum(1 for value in values if looks(value.strip())) / max(1, len(values))
        if share >= SOME and _is_named(words, _NAMED[what]):
            return what
    return ""


def _scrubbed(value: str) -> str:
    """Return what the scrubber takes a whole value for, or empty."""
    from keelway.privacy import scrub

    found = _MASK.fullmatch(scrub(value.strip()))
    return found[1] if found is not None and not value.startswith("[") else ""


def may_name_subject(name: str) -> bool:
    """Return whether a column's name is that of an identifier of a person.

    >>> may_name_subject("customerID"), may_name_subject("order_id")
    (True, False)
    """
    words = words_of(name)
    return bool(SUBJECTS & set(words)) and (words[-1] in _NUMBERS or len(words) == 1)


def may_name_person(name: str) -> str:
    """Return what of a person a column's name alone speaks of, or empty.

    >>> may_name_person("customer_email"), may_name_person("customer_id"), may_name_person("amount")
    ('e-mail', 'a person', '')
    """
    words = words_of(name)
    named = next((what for what, known in _NAMED.items() if _is_named(words, known)), "")
    return named or ("a person" if may_name_subject(name) else "")


def _is_named(words: tuple[str, ...], known: tuple[str, ...]) -> bool:
    joined = "".join(words)
    return any(word in words or (len(word) > 4 and word in joined) for word in known)


_NAMED: dict[str, tuple[str, ...]] = {
    "e-mail": ("mail", "email"),
    "iban": ("iban",),
    "card": ("card", "creditcard", "pan"),
    "ip": ("ip", "ipaddress", "clientip"),
    "phone": ("phone", "mobile", "tel", "fax", "msisdn", "telefon", "handy"),
    "national id": ("ssn", "passport", "nino", "taxid", "nationalid"),
    "name": (
        "surname", "lastname", "firstname", "forename", "fullname", "customername", "familyname", "givenname",
    ),
    "address": ("street", "address", "addr"),
}  # fmt: skip
"""What a column may hold of a person, and the words in its name that say so."""
_LOOKS: dict[str, Callable[[str], object]] = {
    "phone": _PHONE.fullmatch,
    "national id": _NATIONAL.fullmatch,
    "name": _PERSON.fullmatch,
    "address": _ADDRESS.fullmatch,
}
"""What the scrubber does not know without the column's name."""
