"""Asks Great Expectations about a version, rule by rule, and counts the same rows by Keelway's own rules beside it.

Nothing leaves the machine: its analytics is off, and the pages it writes are told to load nothing from anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.contract import Contract, Rule, RuleKind, violations
from keelway.core import memory_duckdb
from keelway.engines.great_expectations.suite import UnaskedRule, plan_of, quiet_import, suite_of
from keelway.errors import EngineError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

EXAMPLES = 5
"""Values that break a rule which a page shows."""
POLICY = "default-src 'self' 'unsafe-inline' data:"
"""What the pages may load: nothing but their own files. As written they would fetch scripts and a logo."""


@dataclass(frozen=True, slots=True)
class RuleOpinion:
    """How many rows break a rule, by both.

    Attributes:
        reason: The rule, as the contract tells its break.
        expectation: The expectation that asks the same.
        keelway: Rows by Keelway; of a key that repeats all its rows, as Great Expectations counts.
        great_expectations: Rows by Great Expectations.
    """

    reason: str
    expectation: str
    keelway: int
    great_expectations: int


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """What both say of the same rows.

    Attributes:
        unasked: Rules that Great Expectations was not asked.
        page: Path of the first page of the Data Docs; empty where none were wanted.
    """

    dataset: str
    rows: int
    opinions: tuple[RuleOpinion, ...]
    unasked: tuple[UnaskedRule, ...]
    page: str

    @property
    def agree(self) -> bool:
        """Whether both counted the same rows for every rule."""
        return all(each.keelway == each.great_expectations for each in self.opinions)


def second_opinion(
    contract: Contract, rows: pa.Table, *, docs: Path | None = None, of_version: bool = True
) -> SecondOpinion:
    """Return what Great Expectations and Keelway say of the same rows.

    Args:
        rows: One typed column for each column of the contract.
        docs: The folder to write Data Docs to; None writes none.
        of_version: Whether the rows are a version, which holds tokens for people and many batches.

    Raises:
        MissingExtraError: Great Expectations is not installed.
        EngineError: It could not evaluate an expectation.
    """
    plan = plan_of(contract, of_version=of_version)
    theirs = _theirs(contract, _frame(rows), docs=docs, of_version=of_version)
    ours = _ours(contract, rows, [planned.rule for planned in plan.asked])
    opinions = tuple(
        RuleOpinion(
            each.rule.reason, each.expectation, ours[each.rule.reason], _count(theirs[each.rule.reason], each.rule)
        )
        for each in plan.asked
    )
    page = str(docs / "index.html") if docs is not None and plan.asked else ""
    return SecondOpinion(contract.dataset, rows.num_rows, opinions, plan.unasked, page)


def _frame(rows: pa.Table) -> pd.DataFrame:
    """Return the rows for pandas, dates as moments: of bare dates it compares texts."""
    import pyarrow as pa

    moment = pa.timestamp("us", "UTC")
    fields = [pa.field(field.name, moment if pa.types.is_date(field.type) else field.type) for field in rows.schema]
    frame: pd.DataFrame = rows.cast(pa.schema(fields)).to_pandas()
    return frame


def _theirs(contract: Contract, frame: pd.DataFrame, *, docs: Path | None, of_version: bool) -> dict[str, Any]:
    """Return the result of each expectation by the reason of its rule."""
    suite = suite_of(contract, of_version=of_version)
    if not suite.expectations:
        return {}
    with quiet_import():
        import great_expectations as gx
        from great_expectations.checkpoint.actions import UpdateDataDocsAction, ValidationAction
        from great_expectations.exceptions.exceptions import GreatExpectationsError

    try:
        context = gx.get_context(project_config=_config(docs), mode="ephemeral")
        batch = context.data_sources.add_pandas("keelway").add_dataframe_asset(contract.dataset)
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(
                name=contract.dataset,
                data=batch.add_batch_definition_whole_dataframe("version"),
                suite=context.suites.add(suite),
            )
        )
        actions: list[ValidationAction] = []
        if docs is not None:
            actions.append(UpdateDataDocsAction(name="docs", site_names=["keelway"]))
        checkpoint = gx.Checkpoint(
            name=contract.dataset,
            validation_definitions=[definition],
            actions=actions,
            result_format={"result_format": "BASIC", "partial_unexpected_count": EXAMPLES},
        )
        done = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": frame})
    except GreatExpectationsError as error:
        raise EngineError("Great Expectations cannot give an opinion", found=str(error)) from error
    if docs is not None:
        _shut(docs)
    (validated,) = done.run_results.values()
    return {_reason(each): each for each in validated.results}


def _reason(result: Any) -> str:
    """Return the reason of the rule that a result is about."""
    return str(result.expectation_config.meta["keelway"]["reason"])


def _config(docs: Path | None) -> Any:
    """Return the settings of a context in memory that tells nobody and draws no bars."""
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    sites = {}
    if docs is not None:
        docs.mkdir(parents=True, exist_ok=True)
        sites["keelway"] = {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        }
    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        data_docs_sites=sites,
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
    )


def _shut(docs: Path) -> None:
    """Tell every page to load nothing from anywhere."""
    header = f'<head><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    for page in sorted(docs.rglob("*.html")):
        text = page.read_text("utf8")
        if POLICY not in text:
            page.write_text(text.replace("<head>", header, 1), "utf8")


def _count(result: Any, rule: Rule) -> int:
    """Return how many rows break an expectation; a rule on the whole counts 1."""
    raised = result.exception_info or {}
    if raised.get("raised_exception"):
        raise EngineError(
            "Great Expectations cannot evaluate an expectation",
            expected=f"a count for {rule.reason}",
            found=str(raised.get("exception_message")),
        )
    found = result.result.get("unexpected_count")
    return int(not result.success) if found is None else int(found)


def _ours(contract: Contract, rows: pa.Table, rules: Sequence[Rule]) -> dict[str, int]:
    """Return how many rows break each rule by Keelway's own expressions, in one pass."""
    import ibis

    found = {rule.reason: _outside(rule, rows.num_rows) for rule in rules if rule.kind is RuleKind.ROW_COUNT}
    asked = [rule.reason for rule in rules if rule.reason not in found]
    if not asked:
        return found
    table = ibis.table(ibis.Schema.from_pyarrow(rows.schema), name="held")
    tests = {rule.reason: test for rule, test in violations(table, contract)}
    tests |= {rule.reason: _repeated(table, rule.columns) for rule in rules if rule.kind is RuleKind.UNIQUE}
    marked = table.select(**{f"_v{at}": tests[reason] for at, reason in enumerate(asked)})
    query = marked.aggregate(**{name: marked[name].fill_null(False).sum() for name in marked.columns})
    with memory_duckdb() as connection:
        connection.register("held", rows)
        (counts,) = connection.execute(str(ibis.to_sql(query, dialect="duckdb"))).fetchall()
    return found | {reason: int(count or 0) for reason, count in zip(asked, counts, strict=True)}


def _repeated(table: Any, columns: Sequence[str]) -> Any:
    """Return whether a row's key stands more than once, where no part of it is missing."""
    import ibis

    present = ibis.and_(*(table[name].notnull() for name in columns))  # noqa: PD004 - a column of Ibis
    return present & (table.count().over(group_by=list(columns)) > 1)


def _outside(rule: Rule, count: int) -> int:
    """Return 1 where a number of rows lies outside a rule's bounds."""
    low = rule.minimum is not None and count < float(rule.minimum)
    return int(low or (rule.maximum is not None and count > float(rule.maximum)))
