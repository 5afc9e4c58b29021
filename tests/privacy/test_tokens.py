"""Tokens are stable, different for different values, and tell nothing once their key is gone."""

from __future__ import annotations

import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.contract import Column, PiiClass
from keelway.engines.sql.keys import SqliteKeyVault
from keelway.errors import DataError, SettingsError
from keelway.privacy import Purpose, TenantKey, Tokens, is_token

if TYPE_CHECKING:
    from keelway.contract import Tokenizer

PERSON = Column("customer_id", "string", pii=PiiClass.SUBJECT)
NUMBER = Column("customer_id", "string", pii=PiiClass.SUBJECT, token_format="digits")
E_MAIL = Column("email", "string", pii=PiiClass.DIRECT)


def test_the_checker_can_use_them(tokens: Tokens) -> None:
    used: Tokenizer = tokens  # for the type checker: privacy knows no contract
    assert len(used.tokens(["1", "2"], PERSON)) == 2


def test_a_value_keeps_its_token(tokens: Tokens, tenant, vault) -> None:
    first = tokens.tokens(["ana", "bo"], PERSON)
    assert tokens.tokens(["bo", "cy", "ana"], PERSON)[::2] == first[::-1]
    assert Tokens(tenant, vault).tokens(["ana", "bo"], PERSON) == first


def test_a_token_is_an_hmac_under_both_keys(tokens: Tokens, tenant, vault) -> None:
    [token] = tokens.tokens(["ana"], PERSON)
    lookup = hmac.digest(tenant.derived(Purpose.LOOKUP), b"subject/\0ana", "sha256")
    key = vault.value_keys([lookup])[lookup]
    expected = hmac.digest(tenant.derived(Purpose.TOKEN), key + b"subject/\0ana", "sha256")
    import base64

    assert token == "tok_" + base64.b32encode(expected[:20]).decode().lower()
    assert is_token(token)


def test_nobody_with_the_vault_alone_can_try_values(tokens: Tokens, vault, tmp_path: Path) -> None:
    [token] = tokens.tokens(["00042"], PERSON)
    held = b"".join(path.read_bytes() for path in (tmp_path / "keys").iterdir())
    assert token.encode() not in held
    assert b"00042" not in held
    assert hashlib.sha256(b"00042").digest() not in held


def test_classes_and_formats_do_not_share_tokens(tokens: Tokens) -> None:
    made = [tokens.tokens(["123456"], column)[0] for column in (PERSON, NUMBER, E_MAIL)]
    assert len(set(made)) == 3


def test_datasets_share_tokens_so_that_they_join(tokens: Tokens) -> None:
    other = Column("buyer", "string", pii=PiiClass.SUBJECT)
    assert tokens.tokens(["ana"], PERSON) == tokens.tokens(["ana"], other)


def test_values_are_taken_exactly(tokens: Tokens) -> None:
    assert len(set(tokens.tokens(["ana", "Ana", " ana", "ana ", "a\u0301na", "\u00e1na"], PERSON))) == 6


def test_another_tenant_has_other_tokens(tokens: Tokens, tmp_path: Path) -> None:
    with closing(SqliteKeyVault(tmp_path / "other.db")) as vault:
        other = Tokens(TenantKey.generate(), vault)
        assert other.tokens(["ana"], PERSON) != tokens.tokens(["ana"], PERSON)


def test_a_vault_is_not_opened_with_another_tenants_key(tokens: Tokens, vault) -> None:
    with pytest.raises(SettingsError, match="another tenant"):
        Tokens(TenantKey.generate(), vault)


def test_known_tokens_are_found_and_none_is_made(tokens: Tokens) -> None:
    assert tokens.known("123456") == []
    [plain], [digits] = tokens.tokens(["123456"], PERSON), tokens.tokens(["123456"], NUMBER)
    assert tokens.known("123456") == [plain, digits]
    assert tokens.known("123456", pii="direct") == []


def test_an_erased_value_that_comes_back_has_a_new_token(tokens: Tokens, vault) -> None:
    before = tokens.tokens(["ana", "bo"], PERSON)
    assert vault.destroy_values(tokens.marks(before[:1])) == 1
    assert tokens.known("ana") == []
    after = tokens.tokens(["ana", "bo"], PERSON)
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_digits_keep_their_length_and_are_never_shared(tokens: Tokens) -> None:
    values = [f"{n:04d}" for n in range(5_000)]
    made = tokens.tokens(values, NUMBER)
    assert all(len(token) == 4 and token.isdigit() for token in made)
    assert len(set(made)) == 5_000
    assert not [value for value, token in zip(values, made, strict=True) if value == token]
    assert tokens.tokens(values[::-1], NUMBER) == made[::-1]


def test_the_digits_of_an_erased_person_are_never_another_ones(tokens: Tokens, vault) -> None:
    first = tokens.tokens([f"{n:03d}" for n in range(400)], NUMBER)
    vault.destroy_values(tokens.marks(first))
    again = tokens.tokens([f"{n:03d}" for n in range(400)], NUMBER)
    assert not set(first) & set(again)


def test_digits_that_are_used_up_are_refused_by_name(tokens: Tokens) -> None:
    with pytest.raises(DataError, match="customer_id are used up"):
        tokens.tokens([chr(ord("a") + n) for n in range(11)], NUMBER)


def test_a_number_of_any_length_has_digits(tokens: Tokens) -> None:
    values = ["1" * length for length in (6, 19, 40, 200)]
    made = tokens.tokens(values, NUMBER)
    assert [len(token) for token in made] == [6, 19, 40, 200]
    assert all(token.isdigit() for token in made)


def test_digits_are_spread_evenly(tokens: Tokens) -> None:
    made = "".join(tokens.tokens([f"{n:012d}" for n in range(2_000)], NUMBER))
    counts = [made.count(str(digit)) for digit in range(10)]
    expected = len(made) / 10
    assert sum((count - expected) ** 2 / expected for count in counts) < 33.7  # chi-square, 9 degrees, p = 0.0001


def test_no_values_have_no_tokens(tokens: Tokens) -> None:
    assert tokens.tokens([], PERSON) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=20), unique=True, max_size=30))
def test_any_text_has_a_token_of_its_own(values: list[str]) -> None:
    with TemporaryDirectory() as folder, closing(SqliteKeyVault(Path(folder) / "vault.db")) as vault:
        tokens = Tokens(TenantKey(b"k" * 32), vault)
        made = tokens.tokens(values, PERSON)
        assert len(set(made)) == len(values)
        assert all(is_token(token) for token in made)
        assert tokens.tokens(values, PERSON) == made


def test_many_threads_agree(tokens: Tokens) -> None:
    values = [str(n) for n in range(200)]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: tokens.tokens(values, PERSON), range(12)))
    assert all(one == made[0] for one in made)


@pytest.mark.parametrize("text", ["", "ab", "zz" * 32, "00" * 31, "00" * 33], ids=len)
def test_a_text_that_is_no_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        TenantKey.parse(text)
    assert not text or text not in str(caught.value)


def test_a_key_is_read_as_it_was_written_and_never_shown() -> None:
    key = TenantKey.generate()
    assert TenantKey.parse(key.text() + "\n") == key
    assert key.text() not in repr(key)
    assert str(key.secret) not in repr(key)


@given(st.lists(st.binary(max_size=200), max_size=5), st.sampled_from(Purpose))
def test_many_macs_are_those_of_the_standard_library(messages: list[bytes], purpose: Purpose) -> None:
    key = TenantKey(b"\x07" * 32)
    assert key.macs(purpose, messages) == [hmac.digest(key.derived(purpose), each, "sha256") for each in messages]


def test_keys_for_different_purposes_differ() -> None:
    key = TenantKey.generate()
    assert len({key.derived(purpose) for purpose in Purpose}) == len(Purpose)


@pytest.mark.parametrize("text", ["", "tok_", "tok_abc", "00042", "TOK_" + "a" * 32, "tok_" + "a" * 33])
def test_other_texts_are_no_tokens(text: str) -> None:
    assert not is_token(text)
