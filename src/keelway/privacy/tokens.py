"""Tokens: what stands in a dataset in place of a value that names a person.

How a value gets its token:

1. The tenant's key turns class and value into a lookup (HMAC-SHA256), by which the vault finds the value's own key:
   32 random bytes, made when the value is first seen.
2. The token is the HMAC-SHA256 of the value's key, class and value, again under the tenant's key.

So a token is the same in every batch as long as the value's key is there, and once that is destroyed nobody can say
whose it was: not with the tenant's key, not by trying all values. Values are taken exactly as they are: `Ana` and
`ana` are two people unless the contract repairs one of them first.

`digits` tokens have the length of the value and no two values share one. A cipher under one key (NIST FF1) would
promise that as well, but nothing could be destroyed for one person alone; so the vault refuses a token that is
taken, and the value draws another key.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from keelway.errors import DataError
from keelway.privacy.ports import KeyVault, ValueKey
from keelway.privacy.tenant import KEY_BYTES, Purpose, TenantKey

PREFIX = "tok_"
DIGITS = "digits"
SUBJECT = "subject"
_FORMATS = ("", DIGITS)
_TOKEN_BYTES = 20  # 32 characters of base32; two values share one with a chance of 2^-160
_ROUNDS = 64  # draws of a digits token before its length counts as used up


class NamingColumn(Protocol):
    """A column that names a person, as a contract describes it."""

    @property
    def name(self) -> str:
        """The column's name."""
        ...

    @property
    def pii(self) -> str:
        """The class: values of one class and format share their tokens, whatever the dataset."""
        ...

    @property
    def token_format(self) -> str:
        """Empty, or `digits`."""
        ...


class Tokens:
    """Gives values their tokens, from the key of a tenant and the vault of its values' keys.

    Args:
        tenant: The tenant's key.
        vault: Where the values' own keys are kept.

    Raises:
        SettingsError: The vault belongs to another tenant's key.
    """

    def __init__(self, tenant: TenantKey, vault: KeyVault) -> None:
        vault.claim(tenant.mac(Purpose.FINGERPRINT, b""))
        self._tenant = tenant
        self._vault = vault

    def tokens(self, values: Sequence[str], column: NamingColumn) -> list[str]:
        """Return the token of each value, in order; a value that has none yet gets one.

        Raises:
            DataError: Nearly all tokens of that many digits are taken.
        """
        messages = _messages(values, f"{column.pii}/{column.token_format}")
        lookups = self._tenant.macs(Purpose.LOOKUP, messages)
        keys = self._vault.value_keys(lookups)
        for _ in range(_ROUNDS):
            missing = {lookup: n for n, lookup in enumerate(lookups) if lookup not in keys}
            if not missing:
                break
            places = list(missing.values())
            self._vault.add_value_keys(
                self._drawn(
                    [lookups[n] for n in places],
                    [messages[n] for n in places],
                    [values[n] for n in places],
                    column.token_format,
                )
            )
            keys |= self._vault.value_keys(list(missing))
        else:
            raise _used_up(column)
        return self._made([keys[lookup] for lookup in lookups], messages, values, column.token_format)

    def known(self, value: str, pii: str = SUBJECT) -> list[str]:
        """Return the tokens that a value has, in every format; none is made."""
        found = []
        for token_format in _FORMATS:
            [message] = _messages([value], f"{pii}/{token_format}")
            lookup = self._tenant.mac(Purpose.LOOKUP, message)
            keys = self._vault.value_keys([lookup])
            found += self._made([keys[lookup]], [message], [value], token_format) if keys else []
        return found

    def marks(self, tokens: Iterable[str]) -> list[bytes]:
        """Return the marks by which the keys of tokens are destroyed."""
        return self._tenant.macs(Purpose.MARK, (token.encode() for token in tokens))

    def _drawn(
        self, lookups: list[bytes], messages: list[bytes], values: list[str], token_format: str
    ) -> Iterator[ValueKey]:
        """Yield fresh keys, but none that would give a value itself for its token."""
        keys = [os.urandom(KEY_BYTES) for _ in lookups]
        tokens = self._made(keys, messages, values, token_format)
        scarce = token_format == DIGITS
        for lookup, key, mark, token, value in zip(lookups, keys, self.marks(tokens), tokens, values, strict=True):
            if token != value:
                yield ValueKey(lookup, key, mark, scarce)

    def _made(
        self, keys: Sequence[bytes], messages: Sequence[bytes], values: Sequence[str], token_format: str
    ) -> list[str]:
        macs = self._tenant.macs(Purpose.TOKEN, (key + message for key, message in zip(keys, messages, strict=True)))
        if token_format == DIGITS:
            return [_digits(mac, len(value)) for mac, value in zip(macs, values, strict=True)]
        return [PREFIX + base64.b32encode(mac[:_TOKEN_BYTES]).decode().lower() for mac in macs]


def is_token(text: str) -> bool:
    """Say whether a text looks like a token of the usual form.

    >>> is_token("tok_" + "a" * 32), is_token("00042")
    (True, False)
    """
    return text.startswith(PREFIX) and len(text) == len(PREFIX) + _TOKEN_BYTES * 8 // 5


def _messages(values: Iterable[str], domain: str) -> list[bytes]:
    start = domain.encode() + b"\0"
    return [start + value.encode(errors="surrogatepass") for value in values]


def _digits(mac: bytes, length: int) -> str:
    """Return so many digits of a number that a MAC gives; its bias is under 2^-64 for any length in use."""
    import hashlib

    wide = hashlib.shake_256(mac).digest(length // 2 + 9)
    return f"{int.from_bytes(wide) % 10**length:0{length}d}"


def _used_up(column: NamingColumn) -> DataError:
    return DataError(
        f"The digits tokens of column {column.name} are used up",
        expected="far fewer values of one length than there are numbers of that many digits",
        found=f"no free token after {_ROUNDS} draws",
        fix="Take the token format out of the contract, or let the column hold longer values.",
    )
