"""The Merkle tree, against the reference roots of Certificate Transparency and an independent reading of the RFC."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.errors import IntegrityError, UsageError
from keelway.ledger.merkle import (
    EMPTY_ROOT,
    MemoryTree,
    RunningRoot,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

REFERENCE_LEAVES = [
    bytes.fromhex(text)
    for text in ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
]
REFERENCE_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def plain_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + plain_root(leaves[:k]) + plain_root(leaves[k:])).digest()


def plain_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 9162, section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return [*plain_path(m, leaves[:k]), plain_root(leaves[k:])]
    return [*plain_path(m - k, leaves[k:]), plain_root(leaves[:k])]


def plain_proof(m: int, leaves: list[bytes], *, whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 9162, section 2.1.4.1."""
    if m == len(leaves):
        return [] if whole else [plain_root(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return [*plain_proof(m, leaves[:k], whole=whole), plain_root(leaves[k:])]
    return [*plain_proof(m - k, leaves[k:], whole=False), plain_root(leaves[:k])]


LEAVES = [b"%d" % number for number in range(70)]
TREE = MemoryTree(LEAVES)
SIZES = st.integers(1, len(LEAVES))


@pytest.mark.parametrize("size", range(1, 9))
def test_the_reference_roots_come_out(size: int) -> None:
    assert plain_root(REFERENCE_LEAVES[:size]).hex() == REFERENCE_ROOTS[size - 1]
    assert MemoryTree(REFERENCE_LEAVES).root(size).hex() == REFERENCE_ROOTS[size - 1]


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert MemoryTree().root() == RunningRoot().root() == EMPTY_ROOT == hashlib.sha256(b"").digest()


@given(st.lists(st.binary(max_size=20), max_size=40))
def test_every_way_to_the_root_agrees(leaves: list[bytes]) -> None:
    running = RunningRoot()
    for leaf in leaves:
        running.add(leaf)
    assert running.root() == MemoryTree(leaves).root() == plain_root(leaves)


@pytest.mark.parametrize("size", range(1, 36))
def test_paths_are_those_of_the_rfc(size: int) -> None:
    tree = MemoryTree(LEAVES[:size])
    for index in range(size):
        path = tree.inclusion_proof(index)
        assert path == plain_path(index, LEAVES[:size])
        assert len(path) <= (size - 1).bit_length()
        verify_inclusion(leaf_hash(LEAVES[index]), index, size, path, tree.root())


@pytest.mark.parametrize("size", range(1, 36))
def test_consistency_proofs_are_those_of_the_rfc(size: int) -> None:
    for old in range(1, size + 1):
        proof = consistency_proof(old, size, TREE.nodes)
        assert proof == plain_proof(old, LEAVES[:size])
        verify_consistency(old, size, TREE.root(old), TREE.root(size), proof)


@given(SIZES, st.data())
def test_an_altered_inclusion_proof_never_holds(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path = MemoryTree(LEAVES[:size]).inclusion_proof(index)
    root, leaf = TREE.root(size), leaf_hash(LEAVES[index])
    wrong = [(leaf_hash(b"other"), index, size, path, root), (leaf, index, size, path, leaf_hash(b""))]
    wrong += [(leaf, other, size, path, root) for other in range(-1, size + 1) if other != index]
    wrong += [(leaf, index, size, [*path, leaf], root)]
    for place in range(len(path)):
        flipped = bytes([path[place][0] ^ 1]) + path[place][1:]
        wrong += [(leaf, index, size, [*path[:place], flipped, *path[place + 1 :]], root)]
        wrong += [(leaf, index, size, path[:place] + path[place + 1 :], root)]
    for case in wrong:
        with pytest.raises(IntegrityError):
            verify_inclusion(*case)


@given(SIZES, st.data())
def test_an_altered_consistency_proof_never_holds(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    proof = consistency_proof(old, new, TREE.nodes)
    roots = TREE.root(old), TREE.root(new)
    wrong = [(leaf_hash(b"x"), roots[1], proof), (roots[0], leaf_hash(b"x"), proof), (*roots, [*proof, roots[0]])]
    for place in range(len(proof)):
        flipped = bytes([proof[place][0] ^ 1]) + proof[place][1:]
        wrong += [(*roots, [*proof[:place], flipped, *proof[place + 1 :]]), (*roots, proof[:place])]
    for old_root, new_root, path in wrong:
        with pytest.raises(IntegrityError):
            verify_consistency(old, new, old_root, new_root, path)


def test_an_empty_log_is_extended_by_every_log() -> None:
    verify_consistency(0, 7, EMPTY_ROOT, TREE.root(7), consistency_proof(0, 7, TREE.nodes))
    for case in [(0, 7, leaf_hash(b""), TREE.root(7), []), (8, 7, TREE.root(8), TREE.root(7), [])]:
        with pytest.raises(IntegrityError):
            verify_consistency(*case)


def test_a_proof_of_what_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError):
        TREE.inclusion_proof(70)
    with pytest.raises(UsageError):
        consistency_proof(8, 7, TREE.nodes)


def test_a_proof_reads_few_hashes_of_a_long_log() -> None:
    asked = 0
    tree = MemoryTree(b"%d" % number for number in range(5000))

    def counting(wanted):
        nonlocal asked
        asked += len(wanted)
        return tree.nodes(wanted)

    consistency_proof(1234, 5000, counting)
    assert asked < 13 * 13


@given(st.lists(st.binary(max_size=20), max_size=40), st.data())
def test_a_copy_of_a_root_goes_on_by_itself(leaves: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(leaves)))
    running = RunningRoot()
    for leaf in leaves[:cut]:
        running.add(leaf)
    copied = running.copy()
    for leaf in leaves[cut:]:
        copied.add_hash(leaf_hash(leaf))
    assert (running.size, running.root()) == (cut, plain_root(leaves[:cut]))
    assert (copied.size, copied.root()) == (len(leaves), plain_root(leaves))


@pytest.mark.parametrize("size", [1, 2, 3, 31, 64, 70])
def test_a_proof_asks_once_for_everything_it_needs(size: int) -> None:
    asked: list[int] = []

    def counting(wanted):
        asked.append(len(wanted))
        return TREE.nodes(wanted)

    for index in range(size):
        inclusion_proof(index, size, counting)
        consistency_proof(index, size, counting)
        root(index + 1, counting)
    assert len(asked) <= 3 * size
