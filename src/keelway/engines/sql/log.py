"""The rows of the Merkle log inside one transaction."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Select, and_, bindparam, func, or_, select

from keelway.core import Digest, digest_bytes
from keelway.engines.sql.failures import translated
from keelway.engines.sql.tables import log_leaves, log_nodes
from keelway.errors import ConflictError, IntegrityError, MissingRecordError, UsageError
from keelway.ledger.ports import LogNode

PAGE = 1000
"""Rows read at a time: bounds the memory of a walk over the whole log."""

_LAST = select(func.max(log_leaves.c["index"]))
_LEAF = select(log_leaves.c.data).where(log_leaves.c["index"] == bindparam("number"))
_PAGE = (
    select(log_leaves.c["index"], log_leaves.c.data)
    .where(log_leaves.c["index"] >= bindparam("start"))
    .order_by(log_leaves.c["index"])
    .limit(PAGE)
)
_FIRST_OF = select(func.min(log_leaves.c["index"])).where(log_leaves.c.digest == bindparam("wanted"))
_ADD_LEAF = log_leaves.insert()
_ADD_NODES = log_nodes.insert()


class SqlLog:
    """The log of one transaction."""

    def __init__(self, connection: Connection, *, writable: bool) -> None:
        self._connection = connection
        self._writable = writable
        self._size: int | None = None  # known after the first append: who writes is alone until the end

    def size(self) -> int:
        """Return how many leaves there are."""
        if self._size is not None:
            return self._size
        with translated():
            last = self._connection.execute(_LAST).scalar()
        return 0 if last is None else int(last) + 1

    def add_leaf(self, index: int, data: bytes, nodes: Sequence[LogNode]) -> None:
        """Append leaf number `index` with the subtrees that it completes."""
        if not self._writable:
            raise UsageError("A snapshot only reads", expected="state.transaction()", found="state.snapshot()")
        size = self.size()
        if index != size:
            raise ConflictError("The log has another size", expected=f"leaf {size}", found=f"leaf {index}")
        leaf = {"index": index, "data": data, "digest": digest_bytes(data)}
        rows = [{"level": node.level, "index": node.index, "hash": node.hash} for node in nodes]
        with translated():
            self._connection.execute(_ADD_LEAF, leaf)
            if rows:
                self._connection.execute(_ADD_NODES, rows)
        self._size = index + 1

    def leaf(self, index: int) -> bytes:
        """Return the bytes of a leaf."""
        with translated():
            data = self._connection.execute(_LEAF, {"number": index}).scalar()
        if data is None:
            raise MissingRecordError(
                "The ledger has no such entry", expected=f"an index below {self.size()}", found=str(index)
            )
        return _bytes(data)

    def leaves(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield index and bytes of leaves, in order, a page at a time."""
        position = start
        while end is None or position < end:
            with translated():
                page = self._connection.execute(_PAGE, {"start": position}).all()
            for index, data in page:
                if end is not None and index >= end:
                    return
                yield index, _bytes(data)
            if len(page) < PAGE:
                return
            position = page[-1][0] + 1

    def nodes(self, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the hashes of complete subtrees, in the order asked."""
        if not wanted:
            return []
        by_level: dict[int, list[int]] = {}
        for level, index in wanted:
            by_level.setdefault(level, []).append(index)
        values: dict[str, object] = {}
        for number, (level, indexes) in enumerate(by_level.items()):
            values |= {f"level_{number}": level, f"indexes_{number}": indexes}
        with translated():
            rows = self._connection.execute(_nodes_of(len(by_level)), values).all()
        found = {(level, index): bytes(value) for level, index, value in rows}
        lost = [place for place in wanted if place not in found]
        if lost:
            raise IntegrityError(
                "The log has lost a subtree",
                expected=f"the hash at level {lost[0][0]}, index {lost[0][1]}",
                found="nothing",
                fix="Run `keelway audit`: the tree can be rebuilt from its leaves.",
            )
        return [found[place] for place in wanted]

    def index_of(self, leaf_digest: Digest) -> int | None:
        """Return the number of the first leaf whose bytes have that digest, or None."""
        with translated():
            found = self._connection.execute(_FIRST_OF, {"wanted": leaf_digest}).scalar()
        return None if found is None else int(found)


@functools.cache
def _nodes_of(levels: int) -> Select[int, int, bytes]:
    """Return the query for hashes on so many levels.

    SQLite searches its index for `level = ? AND index IN (...)`; a list of pairs makes it read the whole table.
    """
    nodes = log_nodes.c
    return select(nodes.level, nodes["index"], nodes.hash).where(
        or_(
            *(
                and_(
                    nodes.level == bindparam(f"level_{number}"),
                    nodes["index"].in_(bindparam(f"indexes_{number}", expanding=True)),
                )
                for number in range(levels)
            )
        )
    )


def _bytes(value: bytes | memoryview | str) -> bytes:
    """Return a blob as bytes, also where somebody overwrote it with text: the audit must be able to read that."""
    return value.encode() if isinstance(value, str) else bytes(value)
