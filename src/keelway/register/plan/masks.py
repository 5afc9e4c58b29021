"""Sums of tree leaves without walking the trees: each value of a row rules leaves out, and the first that is left counts.

The leaves of a tree are numbered from left to right, one bit each. A split that sends a row to the right rules out all leaves
below its left side. Once every split that does so has ruled out its leaves, the lowest bit that is left is the leaf where the
row ends (QuickScorer: Lucchese et al., SIGIR 2015). Which leaves a feature's value rules out, in all trees, is looked up in a
table that is made when the plan is loaded: a number lies between two of the thresholds on it, a category is one of its
levels. A row is then as many rows of the table as it has features, joined by `and`.

Trees with more leaves than a word has bits are cut into pieces, each with a last bit that stands for the other pieces.
Sums are added in the order of the trees, as the libraries add them, so they are the same to the last bit.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, repeat
from typing import TYPE_CHECKING, Any

from keelway.register.plan.records import NOWHERE, PlanLevels, PlanMember, PlanModel, PlanNumber, ScoringPlan
from keelway.register.plan.rows import LARGEST, RowColumns, beyond

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST_TABLE = 64 << 20  # bytes
SHARED_BYTES = 128 << 10  # so large is the part of the table that several categories share at most
BLOCK_ROWS = 1024  # are summed up together, tree by tree
CHUNK_ROWS = 256  # what stays in the processor's cache; so few are summed up row by row
AT_ONCE_ROWS = 64  # so few are looked up in one call
SMALL_WORD, WORD = 32, 64  # bits


@dataclass(frozen=True, slots=True)
class PlanTree:
    """One tree, its leaves from left to right, and for each split the leaves on its left side.

    Attributes:
        output: The sum that its leaves add to.
        leaves: The places of the leaves among all nodes.
        splits: Column, threshold, and where the leaves of its left side begin, those of its right side begin, and those end.
    """

    output: int
    leaves: tuple[int, ...]
    splits: tuple[tuple[int, float, int, int, int], ...]


class MaskTables:
    """The sums of trees, by tables of leaves that are ruled out.

    Args:
        trees: What `trees_in` found.

    Raises:
        MemoryError: The tables would be larger than `LARGEST_TABLE`.
    """

    few = 4

    def __init__(self, trees: Sequence[PlanTree], model: PlanModel, member: PlanMember, plan: ScoringPlan) -> None:
        import numpy as np

        pieces = _Pieces.of(trees, model, plan)
        self._kind: Any = np.uint32 if pieces.bits == SMALL_WORD else np.uint64
        self._one = self._kind(1)
        self._values, self._starts, self._vectors = pieces.values, pieces.starts, pieces.vectors
        self._leaves = np.split(pieces.values, pieces.starts[1:])
        self._outputs = model.outputs
        self._numbers: list[tuple[int, list[float], int, int]] = []
        self._cuts: list[NDArray[np.float64]] = []
        self._levels: list[list[tuple[int, dict[str | None, int], int]]] = []
        columns = _Columns(pieces, self._kind)
        if columns.bytes_for(member) > LARGEST_TABLE:
            raise MemoryError
        blocks: list[Any] = [columns.nothing()]
        self._size = 1
        for number in member.numbers:
            blocks += self._number(number, columns)
        blocks += self._categories(member, columns, plan)
        self._table = np.concatenate(blocks)

    def one(self, row: Sequence[Any]) -> list[float]:
        """Return the sums of one row.

        Raises:
            ServingError: A number does not fit 32 bits.
            TypeError: Something is no number.
        """
        import numpy as np

        found = []
        for place, cuts, first, missing in self._numbers:
            value = row[place]
            if value is None:
                found.append(missing)
            elif -LARGEST <= value <= LARGEST:
                found.append(first + bisect_left(cuts, value))
            elif math.isnan(value):
                found.append(missing)
            else:
                raise beyond(place)
        for group in self._levels:
            at = 0
            for place, levels, other in group:
                at += levels.get(row[place], other)
            found.append(at)
        left = np.bitwise_and.reduce(self._table.take(found or [0], 0), 0)
        ends = np.bitwise_count(~left & (left - self._one))
        leaves = self._values.take(self._starts + ends, 0)
        if self._vectors or self._outputs > 1:
            total: list[float] = leaves.reshape(-1, self._outputs).cumsum(0)[-1].tolist()
            return total
        return [leaves.cumsum().item(-1)]

    def many(self, rows: RowColumns) -> NDArray[np.float64]:
        """Return the sums of rows, one column an output."""
        import numpy as np

        numbers = len(self._numbers)
        found = np.zeros((max(1, numbers + len(self._levels)), rows.count), dtype=np.intp)
        if numbers:
            places, _, first, missing = zip(*self._numbers, strict=True)
            values, between = rows.matrix(places), found[:numbers]
            for at, cuts in enumerate(self._cuts):
                between[at] = cuts.searchsorted(values[at])
            between += np.array(first)[:, None]
            np.copyto(between, np.array(missing)[:, None], where=np.isnan(values))
        for told, group in zip(found[numbers:], self._levels, strict=False):
            told[:] = sum(
                np.fromiter(map(levels.get, rows.categories(place), repeat(other)), np.intp, rows.count)
                for place, levels, other in group
            )
        parts = range(0, rows.count, BLOCK_ROWS)
        return np.concatenate([self._block(found[:, begin : begin + BLOCK_ROWS]) for begin in parts])

    def _block(self, found: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the sums of some rows by what is looked up for each."""
        import numpy as np

        count = found.shape[1]
        if count > CHUNK_ROWS:
            ends = np.empty((len(self._starts), count), dtype=np.uint8)
            for begin in range(0, count, CHUNK_ROWS):
                chunk = slice(begin, begin + CHUNK_ROWS)
                ends[:, chunk] = self._ends(found[:, chunk]).T
            return self._tree_by_tree(ends)
        leaves = self._values.take(self._starts + self._ends(found), 0).reshape(count, -1)
        sums = [leaves[:, at :: self._outputs].cumsum(1)[:, -1] for at in range(self._outputs)]
        totals: NDArray[np.float64] = np.stack(sums, 1)
        return totals

    def _ends(self, found: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return for each row the leaf of each piece where it ends: the first of those that are left."""
        import numpy as np

        if found.shape[1] <= AT_ONCE_ROWS:
            left = np.bitwise_and.reduce(self._table.take(found, 0), 0)
            more = left - self._one
        else:
            left = self._table.take(found[0], 0)
            more = np.empty_like(left)
            for places in found[1:]:
                self._table.take(places, 0, out=more, mode="clip")
                np.bitwise_and(left, more, out=left)
            np.subtract(left, self._one, out=more)
        np.invert(left, out=left)
        ends: NDArray[np.uint8] = np.bitwise_count(np.bitwise_and(left, more, out=left))
        return ends

    def _tree_by_tree(self, ends: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the sums of many rows by the leaves where they end, one row a piece; added in the same order as of one row."""
        import numpy as np

        rounds = 1 if self._vectors else self._outputs
        begun = self._leaves[:rounds]  # what the sums start from
        sums = [leaves.repeat(ends.shape[1], 0) for leaves in begun]
        added = np.empty_like(sums[0])
        for total, leaves, reached in zip(cycle(sums), self._leaves[rounds:], ends[rounds:], strict=False):
            leaves.take(reached, 0, out=added, mode="clip")
            np.add(total, added, out=total)
        return sums[0] if self._vectors else np.stack(sums, 1)

    def _number(self, number: PlanNumber, columns: _Columns) -> Iterator[Any]:
        """Add what a number rules out between any two of its cuts, and what a missing one does."""
        import numpy as np

        cuts, table = columns.table(number.column)
        present, gone = columns.row(number.indicator, 0.0), columns.row(number.indicator, 1.0)
        if len(table) == 1 and (present == columns.nothing()).all() and (gone == columns.nothing()).all():
            return
        given = [cut_of(cut) for cut in cuts]
        self._numbers.append((number.feature, given, self._size, self._size + len(table)))
        self._cuts.append(np.array(given, dtype=np.float64))
        self._size += len(table) + 1
        yield table & present
        yield table[[bisect_left(cuts, number.missing)]] & gone

    def _categories(self, member: PlanMember, columns: _Columns, plan: ScoringPlan) -> Iterator[Any]:
        """Add what each level rules out; categories of few levels share a table, with a row for each combination."""
        group: list[tuple[PlanLevels, list[int]]] = []
        shared = columns.nothing()
        for each in member.levels:
            if not any(len(columns.table(column)[0]) for column in each.columns):
                continue
            rows, places = self._ruled_out(each, columns, plan)
            if group and shared.nbytes * len(rows) > SHARED_BYTES:
                yield self._table_of(group, shared)
                group, shared = [], columns.nothing()
            shared = (shared[:, None] & rows).reshape(-1, shared.shape[1])
            group = [(other, [place * len(rows) for place in told]) for other, told in group]
            group.append((each, places))
        if group:
            yield self._table_of(group, shared)

    def _ruled_out(self, each: PlanLevels, columns: _Columns, plan: ScoringPlan) -> tuple[Any, list[int]]:
        """Return rows of what a category rules out, and which of them is that of each level."""
        import numpy as np

        known: dict[bytes, int] = {}
        places = []
        for values in plan.arrays[each.table].tolist():
            row = columns.nothing()[0]
            for column, value in zip(each.columns, values, strict=True):
                row = row & columns.row(column, value)
            places.append(known.setdefault(row.tobytes(), len(known)))
        return np.frombuffer(b"".join(known), dtype=self._kind).reshape(len(known), -1), places

    def _table_of(self, group: Sequence[tuple[PlanLevels, list[int]]], shared: Any) -> Any:
        """Keep where the rows of some categories stand: the places of their levels add up to that of the row."""
        told = []
        first = self._size
        for each, places in group:
            levels: dict[str | None, int] = {
                level: first + place for level, place in zip(each.levels, places, strict=False)
            }
            if "" in levels:
                levels[None] = levels[""]
            told.append((each.feature, levels, first + places[-1]))
            first = 0
        self._levels.append(told)
        self._size += len(shared)
        return shared


def cut_of(threshold: float) -> float:
    """Return the largest number of 64 bits that is not above a threshold once it is rounded to 32 bits.

    >>> cut_of(0.5) > 0.5, cut_of(0.5) < 0.50000003
    (True, True)
    """
    import numpy as np

    with np.errstate(over="ignore"):
        below = np.float32(threshold)
        if float(below) > threshold:
            below = np.nextafter(below, np.float32(-np.inf))
        above = np.nextafter(below, np.float32(np.inf))
    if not np.isfinite(above) or not np.isfinite(below):
        return float(below)
    middle = (float(below) + float(above)) / 2
    is_even = not int(below.view(np.uint32)) & 1  # a tie is rounded to the even one
    return middle if is_even else math.nextafter(middle, -math.inf)


def trees_in(model: PlanModel, plan: ScoringPlan) -> list[PlanTree]:
    """Return the trees of a model, with their leaves in order."""
    arrays = {
        name: plan.arrays[f"{model.arrays}{name}"].tolist()
        for name in ("sizes", "outputs", "feature", "threshold", "left", "right")
    }
    found, begin = [], 0
    for size, output in zip(arrays["sizes"], arrays["outputs"], strict=True):
        part = {name: arrays[name][begin : begin + size] for name in ("feature", "threshold", "left", "right")}
        found.append(_tree(output, begin, part))
        begin += size
    return found


def _tree(output: int, begin: int, part: dict[str, Any]) -> PlanTree:
    left, right = part["left"], part["right"]
    leaves: list[int] = []
    reached: dict[int, list[int]] = {}
    waiting = [0]
    while waiting:
        place = waiting.pop()
        if left[place] < 0:
            leaves.append(begin + place)
            continue
        seen = reached.setdefault(place, [])
        seen.append(len(leaves))  # before its left side, behind it, behind its right side
        if len(seen) < 3:
            waiting += [place, (left, right)[len(seen) - 1][place]]
    splits = ((part["feature"][place], part["threshold"][place], *map(int, seen)) for place, seen in reached.items())
    return PlanTree(output, tuple(leaves), tuple(splits))


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Trees cut into pieces of one word each, ordered by rounds: the first piece of each output, then the second, and so on.

    Attributes:
        values: What each leaf of each piece adds: one number, or one for each output.
        starts: Where the leaves of each piece begin among the values.
        splits: Column to threshold, piece, and the bits that are ruled out above it and up to it.
        vectors: Whether a leaf has a number for each output.
    """

    bits: int
    values: NDArray[np.float64]
    starts: NDArray[np.intp]
    splits: dict[int, list[tuple[float, int, int, int]]]
    vectors: bool

    @classmethod
    def of(cls, trees: Sequence[PlanTree], model: PlanModel, plan: ScoringPlan) -> _Pieces:
        import numpy as np

        values = plan.arrays[f"{model.arrays}values"]
        vectors = values.shape[1] > 1
        bits = SMALL_WORD if max((len(tree.leaves) for tree in trees), default=1) <= SMALL_WORD else WORD
        sums: list[list[tuple[PlanTree | None, int, int]]] = [[] for _ in range(1 if vectors else model.outputs)]
        for tree in trees:
            sums[tree.output] += [(tree, begin, end) for begin, end in _parts(len(tree.leaves), bits)]
        rounds = max(map(len, sums))
        # What starts a sum is a tree of one leaf; shorter sums are filled up with such of nothing.
        filled = [[(None, 0, 0), *listed, *[(None, 0, 0)] * (rounds - len(listed))] for listed in sums]
        ordered = [listed[number] for number in range(rounds + 1) for listed in filled]
        base = plan.arrays[f"{model.arrays}base"]
        added: list[Any] = []
        starts, splits = [], {}  # type: ignore[var-annotated]
        for piece, (each, begin, end) in enumerate(ordered):
            starts.append(len(added))
            if each is None:
                first = piece < len(sums)
                added.append(base if vectors and first else [base[piece]] if first else [0.0] * values.shape[1])
                continue
            added += [values[leaf] for leaf in each.leaves[begin:end]]
            if end - begin < len(each.leaves):
                added.append([0.0] * values.shape[1])
            is_whole = end - begin == len(each.leaves)
            for column, threshold, low, middle, high in each.splits:
                above = _bits(low - begin, min(middle, end) - begin)
                # The first leaf that is left counts, so only a piece has to know of leaves on the right side.
                below = 0 if is_whole else _bits(middle - begin, min(high, end) - begin)
                if above or below:
                    splits.setdefault(column, []).append((threshold, piece, above, below))
        flat = np.array(added, dtype=np.float64)
        return cls(bits, flat if vectors else flat[:, 0], np.array(starts, dtype=np.intp), splits, vectors)


def _bits(begin: int, end: int) -> int:
    """Return a number with the bits from `begin` on and below `end` set."""
    return ((1 << max(0, end)) - 1) & ~((1 << max(0, begin)) - 1)


def _parts(leaves: int, bits: int) -> list[tuple[int, int]]:
    """Return the first and behind the last leaf of each piece of a tree."""
    if leaves <= bits:
        return [(0, leaves)]
    wide = bits - 1
    return [(begin, min(begin + wide, leaves)) for begin in range(0, leaves, wide)]


class _Columns:
    """What the values of each column of the estimator's matrix rule out."""

    def __init__(self, pieces: _Pieces, kind: Any) -> None:
        self._splits = pieces.splits
        self._kind = kind
        self._width = len(pieces.starts)
        self._known: dict[int, tuple[list[float], Any]] = {}

    def nothing(self) -> Any:
        """Return the row that rules out nothing."""
        import numpy as np

        return np.full((1, self._width), self._rest(0), dtype=self._kind)

    def bytes_for(self, member: PlanMember) -> int:
        """Return how large all tables are at most."""
        thresholds = {column: len({each[0] for each in splits}) for column, splits in self._splits.items()}
        rows = sum(thresholds.values()) + 2 * len(member.numbers)
        rows += sum(
            len(each.levels) + 1 for each in member.levels if any(thresholds.get(column) for column in each.columns)
        )
        return rows * self._width * int(self._kind().itemsize)

    def table(self, column: int) -> tuple[list[float], Any]:
        """Return the thresholds of a column in order, and a row below the first, between any two and above the last."""
        import numpy as np

        if column not in self._known:
            splits = self._splits.get(column, ()) if column != NOWHERE else ()
            cuts = sorted({threshold for threshold, *_ in splits})
            above, below = (np.repeat(self.nothing(), len(cuts) + 1, axis=0) for _ in range(2))
            for threshold, piece, ruled_above, ruled_below in splits:
                place = bisect_left(cuts, threshold)
                above[place + 1, piece] &= self._rest(ruled_above)
                below[place, piece] &= self._rest(ruled_below)
            joined = np.bitwise_and.accumulate(above) & np.bitwise_and.accumulate(below[::-1])[::-1]
            self._known[column] = cuts, joined
        return self._known[column]

    def _rest(self, ruled: int) -> Any:
        return self._kind(~ruled & ((1 << 8 * self._kind().itemsize) - 1))

    def row(self, column: int, value: float) -> Any:
        """Return what one value rules out."""
        cuts, rows = self.table(column)
        return rows[bisect_left(cuts, value)]
