"""Preprocessing: what is done to features before an estimator sees them, for all columns and for single ones."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from keelway.core import Scalar
from keelway.errors import ProjectError
from keelway.project.choice import check_choice

Imputation = Literal["median", "mean", "zero", "most_frequent"]
Scaling = Literal["standard", "minmax", "robust"]
Encoding = Literal["one_hot", "ordinal", "target"]
TextEncoding = Literal["tfidf", "hashing"]
Selection = Literal["variance", "mutual_information", "l1", "permutation"]


@dataclass(frozen=True, slots=True)
class ColumnPreprocessing:
    """What is done to one column otherwise than to all; None leaves what holds for all.

    Attributes:
        impute: What takes the place of a missing number.
        missing_indicator: Whether a column tells where the number was missing.
        scale: How the number is scaled; False for not at all.
        encode: How the category becomes numbers.
        rare_level: A category seen less often than this in training counts as unknown.
        text: How the text becomes numbers.
        text_columns: How many columns the text may take.
    """

    impute: Imputation | None = None
    missing_indicator: bool | None = None
    scale: bool | Scaling | None = None
    encode: Encoding | None = None
    rare_level: int | None = None
    text: TextEncoding | None = None
    text_columns: int | None = None

    def __post_init__(self) -> None:
        _check(self, optional=(None,))

    def declared(self) -> dict[str, Any]:
        """Return what is declared otherwise than for all columns."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not None}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What is done to features before an estimator sees them.

    Attributes:
        impute: What takes the place of a missing number.
        missing_indicator: Whether a column more tells where a number was missing.
        scale: How numbers are scaled: True or `standard` to mean 0 and deviation 1, `minmax` to 0..1, `robust` by median and
            quartiles, False not at all. Trees always see numbers as they are.
        encode: How a category becomes numbers: a column per level, its place in the sorted levels, or the mean outcome
            of its level, fitted on other rows than those it is given to.
        rare_level: A category seen less often than this in training counts as unknown.
        text: How a text becomes numbers: by words weighed by how rare they are, or by words hashed into columns.
        text_columns: How many columns a text may take.
        select: How useless columns are dropped: not at all, by variance, by mutual information with the label, by an L1
            penalty, or by what a shuffled column costs a quick model.
        keep: How many columns the selection keeps at most; None for all that are of use.
        columns: What holds for single features, by name.
    """

    impute: Imputation = "median"
    missing_indicator: bool = False
    scale: bool | Scaling = True
    encode: Encoding = "one_hot"
    rare_level: int = 20
    text: TextEncoding = "tfidf"
    text_columns: int = 1000
    select: Selection | None = None
    keep: int | None = None
    columns: dict[str, ColumnPreprocessing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self, optional=())
        check_choice(self.select, (None, *get_args(Selection)), what="way to select columns")
        if self.keep is not None and self.keep < 1:
            raise ProjectError("Wrong keep", expected="a count of one or more, or None", found=str(self.keep))
        if self.keep is not None and self.select is None:
            raise ProjectError(
                "Nothing decides which columns to keep",
                expected="select where there is keep",
                found=f"keep={self.keep}",
                fix='Declare select="mutual_information", or another way to select.',
            )

    def of(self, column: str) -> Preprocessing:
        """Return what holds for one column: what is declared for it, and for all where nothing is."""
        own = self.columns.get(column)
        if own is None:
            return replace(self, columns={})
        return replace(self, columns={}, **own.declared())

    def flat(self) -> dict[str, Scalar]:
        """Return every choice under one name each, for people who compare runs.

        >>> told = Preprocessing(columns={"plan": ColumnPreprocessing(encode="target")}).flat()
        >>> told["encode"], told["columns.plan.encode"]
        ('one_hot', 'target')
        """
        told = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "columns"}
        for name, own in self.columns.items():
            told |= {f"columns.{name}.{what}": value for what, value in own.declared().items()}
        return told


def _check(declared: Preprocessing | ColumnPreprocessing, *, optional: tuple[None, ...]) -> None:
    """Refuse what is none of the choices; `optional` holds None where a choice may be left out."""
    check_choice(declared.impute, (*optional, *get_args(Imputation)), what="way to impute")
    check_choice(declared.scale, (*optional, True, False, *get_args(Scaling)), what="way to scale")
    check_choice(declared.encode, (*optional, *get_args(Encoding)), what="way to encode")
    check_choice(declared.text, (*optional, *get_args(TextEncoding)), what="way to read a text")
    for name in ("rare_level", "text_columns"):
        value = getattr(declared, name)
        if value is not None and value < 1:
            raise ProjectError(f"Wrong {name}", expected="a count of one or more", found=str(value))
