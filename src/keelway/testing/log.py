"""What every log promises; part of the suite for state stores."""

from __future__ import annotations

import pytest

from keelway.core import digest_bytes
from keelway.errors import ConflictError, IntegrityError, MissingRecordError, UsageError
from keelway.ledger import StateStore, Transaction, leaf_hash
from keelway.ledger.merkle import append, root


def add_leaf(tx: Transaction, data: bytes) -> None:
    """Append a leaf with the subtrees it completes."""
    size = tx.log.size()
    tx.log.add_leaf(size, data, append(size, leaf_hash(data), tx.log.nodes))


class LogConformance:
    """The promises of `Log`."""

    def test_an_empty_log_has_no_leaves(self, state: StateStore) -> None:
        with state.snapshot() as tx:
            assert tx.log.size() == 0
            assert list(tx.log.leaves()) == []
            assert tx.log.nodes([]) == []
            assert tx.log.index_of(digest_bytes(b"")) is None

    def test_leaves_come_back_in_order(self, state: StateStore) -> None:
        with state.transaction() as tx:
            for number in range(1, 2100):
                tx.log.add_leaf(number - 1, b"%d" % number, [])
        with state.snapshot() as tx:
            assert tx.log.size() == 2099
            assert [data for _, data in tx.log.leaves()] == [b"%d" % number for number in range(1, 2100)]
            assert [index for index, _ in tx.log.leaves(999, 1002)] == [999, 1000, 1001]
            assert tx.log.leaf(41) == b"42"
            assert tx.log.index_of(digest_bytes(b"42")) == 41
            with pytest.raises(MissingRecordError):
                tx.log.leaf(2099)

    @pytest.mark.parametrize("index", [0, 2])
    def test_a_leaf_has_one_place(self, state: StateStore, index: int) -> None:
        with state.transaction() as tx:
            add_leaf(tx, b"first")
        with pytest.raises(ConflictError), state.transaction() as tx:
            tx.log.add_leaf(index, b"elsewhere", [])

    def test_the_tree_grows_over_transactions(self, state: StateStore) -> None:
        roots = []
        for number in range(9):
            with state.transaction() as tx:
                add_leaf(tx, b"%d" % number)
                roots.append(root(number + 1, tx.log.nodes))
        with state.snapshot() as tx:
            assert [root(size, tx.log.nodes) for size in range(1, 10)] == roots
            with pytest.raises(IntegrityError):
                tx.log.nodes([(0, 0), (9, 9)])

    def test_the_first_of_equal_leaves_is_found(self, state: StateStore) -> None:
        with state.transaction() as tx:
            for data in (b"a", b"b", b"b"):
                add_leaf(tx, data)
            assert tx.log.index_of(digest_bytes(b"b")) == 1

    def test_a_snapshot_adds_no_leaf(self, state: StateStore) -> None:
        with pytest.raises(UsageError), state.snapshot() as tx:
            add_leaf(tx, b"x")
