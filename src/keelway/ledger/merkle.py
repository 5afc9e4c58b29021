r"""The Merkle tree of RFC 9162: one hash that stands for a whole list, and short proofs about it.

The tree is kept as the hashes of its complete subtrees: `(level, index)` covers the leaves from
`index * 2**level` to `(index + 1) * 2**level`. Appending, the root at any size, and both kinds of proof
touch O(log n) of them. Everything here is pure: hashes come in through a `Nodes` function.

>>> tree = MemoryTree([b"", b"\x00"])
>>> tree.root().hex()
'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125'
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from keelway.errors import IntegrityError, UsageError
from keelway.ledger.ports import LogNode

EMPTY_ROOT = hashlib.sha256(b"").digest()
_BLOCK = 128  # a power of two

Place = tuple[int, int]
"""Level and index of a complete subtree."""
Nodes = Callable[[Sequence[Place]], Sequence[bytes]]
"""Returns the hashes of complete subtrees, in the order asked."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees side by side."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def append(size: int, leaf: bytes, nodes: Nodes) -> list[LogNode]:
    """Return the complete subtrees that leaf number `size` (given by its hash) adds, its own first."""
    places: list[Place] = []
    level, index = 0, size
    while index & 1:
        places.append((level, index - 1))
        level, index = level + 1, index >> 1
    added = [LogNode(0, size, leaf)]
    for left in nodes(places) if places else ():
        last = added[-1]
        added.append(LogNode(last.level + 1, last.index >> 1, node_hash(left, last.hash)))
    return added


def root(size: int, nodes: Nodes) -> bytes:
    """Return the root hash of the first `size` leaves."""
    return _range_hashes([(0, size)], nodes)[0] if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """Return the audit path of leaf `index` in the tree of `size` leaves (RFC 9162, 2.1.3.1).

    Raises:
        UsageError: The leaf is not in that tree.
    """
    if not 0 <= index < size:
        raise UsageError("No such leaf in that tree", expected=f"an index below {size}", found=str(index))
    ranges: list[tuple[int, int]] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return _range_hashes(ranges[::-1], nodes)


def consistency_proof(old: int, new: int, nodes: Nodes) -> list[bytes]:
    """Return the proof that the tree of `new` leaves extends the one of `old` (RFC 9162, 2.1.4.1).

    Raises:
        UsageError: `old` is negative or larger than `new`.
    """
    if not 0 <= old <= new:
        raise UsageError("A tree never shrinks", expected=f"sizes from 0 to {new}", found=str(old))
    ranges: list[tuple[int, int]] = []
    start, end, whole = 0, new, True
    if old in (0, new):
        return []
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, whole = middle, False
    if not whole:
        ranges.append((start, end))
    return _range_hashes(ranges[::-1], nodes)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> None:
    """Check that a leaf (given by its hash) is number `index` in the tree with that root (RFC 9162, 2.1.3.2).

    Raises:
        IntegrityError: It is not.
    """
    if not 0 <= index < size:
        raise _no_proof(f"leaf {index} is in a tree of {size}", "an index beyond the end")
    position, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise _no_proof(f"a path for leaf {index} of {size}", "a longer one")
        if position & 1 or position == last:
            found = node_hash(sibling, found)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        position, last = position >> 1, last >> 1
    if last or found != expected_root:
        raise _no_proof(f"root {expected_root.hex()}", "a shorter path" if last else found.hex())


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of `new` leaves holds the one of `old` unchanged (RFC 9162, 2.1.4.2).

    Raises:
        IntegrityError: It does not.
    """
    if not 0 <= old <= new:
        raise _no_proof(f"a size up to {new}", str(old))
    if old in (0, new):
        if proof or (old == new and old_root != new_root) or (old == 0 and old_root != EMPTY_ROOT):
            raise _no_proof(f"root {old_root.hex()} and no path", f"{new_root.hex()} and {len(proof)} hashes")
        return
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        raise _no_proof("a path", "none")
    older, newer = _both_roots(old, new, path)
    if older != old_root or newer != new_root:
        raise _no_proof(f"roots {old_root.hex()} and {new_root.hex()}", f"roots {older.hex()} and {newer.hex()}")


def _both_roots(old: int, new: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the roots of the old and the new tree that a path leads to (RFC 9162, 2.1.4.2, steps 3 to 6)."""
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    older = newer = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise _no_proof(f"a path from {old} to {new}", "a longer one")
        if first & 1 or first == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        first, last = first >> 1, last >> 1
    if last:
        raise _no_proof(f"a path from {old} to {new}", "a shorter one")
    return older, newer


class MemoryTree:
    """A tree in memory that keeps its complete subtrees, for lists that are hashed in one go."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._nodes: dict[Place, bytes] = {}
        for data in leaves:
            self.add(data)

    def add(self, data: bytes) -> None:
        """Append a leaf."""
        for node in append(self.size, leaf_hash(data), self.nodes):
            self._nodes[node.level, node.index] = node.hash
        self.size += 1

    def nodes(self, wanted: Sequence[Place]) -> list[bytes]:
        """Return the hashes of complete subtrees."""
        return [self._nodes[place] for place in wanted]

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` leaves, or of all."""
        return root(self.size if size is None else size, self.nodes)

    def inclusion_proof(self, index: int) -> list[bytes]:
        """Return the audit path of a leaf."""
        return inclusion_proof(index, self.size, self.nodes)


class RunningRoot:
    """The root of a list that is read once, in O(log n) memory."""

    def __init__(self) -> None:
        self.size = 0
        self._stack: list[bytes] = []

    def add(self, data: bytes) -> bytes:
        """Append a leaf and return its hash."""
        hashed = leaf_hash(data)
        self.add_hash(hashed)
        return hashed

    def add_hash(self, hashed: bytes) -> None:
        """Append a leaf that is given by its hash."""
        current = hashed
        position = self.size
        while position & 1:
            current = node_hash(self._stack.pop(), current)
            position >>= 1
        self._stack.append(current)
        self.size += 1

    def copy(self) -> RunningRoot:
        """Return a root that goes on from here by itself."""
        copied = RunningRoot()
        copied.size, copied._stack = self.size, self._stack.copy()
        return copied

    def root(self) -> bytes:
        """Return the root of what was added so far."""
        if not self._stack:
            return EMPTY_ROOT
        found = self._stack[-1]
        for left in reversed(self._stack[:-1]):
            found = node_hash(left, found)
        return found


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root of a list that is at hand, in a third of the time of `RunningRoot`."""
    blocks = RunningRoot()
    for start in range(0, len(leaves), _BLOCK):
        blocks.add_hash(_block_root(leaves[start : start + _BLOCK]))
    return blocks.root()


def _block_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root of a few leaves. Ranges are split at powers of two, so whole blocks are subtrees of the tree."""
    hashed = hashlib.sha256
    hashes = [hashed(b"\x00" + data).digest() for data in leaves]
    while len(hashes) > 1:
        above = [
            hashed(b"\x01" + left + right).digest() for left, right in zip(hashes[::2], hashes[1::2], strict=False)
        ]
        if len(hashes) & 1:
            above.append(hashes[-1])
        hashes = above
    return hashes[0]


def _range_hashes(ranges: Sequence[tuple[int, int]], nodes: Nodes) -> list[bytes]:
    """Return the hash over each range of leaves, `start` to `end`, all asked for at once.

    A start is aligned as RFC 9162 splits ranges, so each range is a few complete subtrees, the largest first.
    """
    places = [_complete(start, end) for start, end in ranges]
    hashes = iter(nodes([place for group in places for place in group]) if places else ())
    found = []
    for group in places:
        subtrees = [next(hashes) for _ in group]
        folded = subtrees.pop()
        while subtrees:
            folded = node_hash(subtrees.pop(), folded)
        found.append(folded)
    return found


def _complete(start: int, end: int) -> list[Place]:
    places: list[Place] = []
    while start < end:
        level = (end - start).bit_length() - 1
        places.append((level, start >> level))
        start += 1 << level
    return places


def _split(count: int) -> int:
    """Return the largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def _no_proof(expected: str, found: str) -> IntegrityError:
    return IntegrityError("A Merkle proof does not hold", expected=expected, found=found)
