"""Commands on policies: test, check, explain, replay, coverage, rules, measure."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click

from keelway.core import parse_time, short, time_text
from keelway.errors import UsageError
from keelway.surfaces.cli.session import FAILURE_EXIT, Session, command, table

if TYPE_CHECKING:
    from keelway.app.policies import PolicyTested
    from keelway.promote import ExplainedClause, Explanation, MeasuredKind, PolicyCoverage, Replay, ReplayedDecision

SHOWN = 10
"""So many decisions of a replay are shown to people; JSON holds all."""

_policies = click.argument("policies", nargs=-1, metavar="[POLICY]...")


@click.group(name="policy")
def policy() -> None:
    """Test, check, explain and replay the policies of gates."""


@command(name="test")
@_policies
@click.option("--coverage", "covered", is_flag=True, help="Also tell which clauses the tests exercise.")
def test(session: Session, policies: tuple[str, ...], covered: bool) -> None:
    """Run the tests beside policies; POLICY is a folder or an environment, and all that are in use where none is named."""
    told = session.app.policies.test(policies, covered=covered)

    def human() -> None:
        for each in told:
            _tell_tests(each)

    session.show([_tested(each) for each in told], human)
    if any(each.failed or not each.outcomes for each in told):
        sys.exit(FAILURE_EXIT)


@command(name="coverage")
@_policies
@click.option("--least", type=click.FloatRange(0, 1), default=0.0, help="Fail under this share of clauses.")
def coverage(session: Session, policies: tuple[str, ...], least: float) -> None:
    """Tell which clauses of policies their tests saw refuse and let pass."""
    told = session.app.policies.test(policies, covered=True)

    def human() -> None:
        for each in told:
            if each.coverage is not None:
                click.echo(f"{each.policy}: {len(each.outcomes)} tests")
                _tell_coverage(each.coverage)

    session.show([_tested(each) for each in told], human)
    if any(each.coverage is not None and each.coverage.share < least for each in told):
        sys.exit(FAILURE_EXIT)


@command(name="check")
@_policies
def check(session: Session, policies: tuple[str, ...]) -> None:
    """Look policies through: do they compile, read what evidence holds, and can each clause refuse?"""
    told = session.app.policies.check(policies)

    def human() -> None:
        for each in told:
            click.echo(f"{each.policy}: {'nothing found' if not each.findings else f'{len(each.findings)} found'}")
            for finding in each.findings:
                click.echo(f"  {finding.level:<8}{finding.place}: {finding.text}")

    session.show(told, human)
    if not all(each.ok for each in told):
        sys.exit(FAILURE_EXIT)


@command(name="explain")
@click.argument("version")
@click.option("--to", "environment", required=True, help="The environment, such as staging or prod.")
@click.option("--all", "everything", is_flag=True, help="Also show the clauses that let it pass.")
def explain(session: Session, version: str, environment: str, everything: bool) -> None:
    """Say what an environment's policy makes of VERSION: which clause, which evidence, what would have to change."""
    told = session.app.policies.explain(version, environment)
    answer = {"verdict": told.verdict, "clauses": [_clause(each) for each in told.clauses], "unplaced": told.unplaced}
    session.show(answer, lambda: _tell_explanation(told, everything=everything))


@command(name="rules")
@click.argument("name", required=False)
def rules(session: Session, name: str | None) -> None:
    """List the ready rules, or tell all about one: what it asks for, reads, and what makes it known."""
    told = [rule for rule in session.app.policies.rules() if name in (None, rule.name)]
    if not told:
        raise UsageError(f"There is no ready rule {name}", expected="one of keelway policy rules", found=str(name))

    def human() -> None:
        if name is None:
            table(["rule", "asks for"], [[rule.usage, rule.says.split(". ")[0].rstrip(".")] for rule in told])
            return
        for rule in told:
            click.echo(f"{rule.usage}\n  {rule.says}")
            for read in rule.reads:
                click.echo(f"  reads    {f'{read.path} {read.operator} {read.limit}'.strip()}")
            click.echo(f"  made by  {rule.made_by}")

    session.show([{**_fields(rule), "usage": rule.usage} for rule in told], human)


@command(name="replay")
@click.argument("policy_name", metavar="[POLICY]", required=False)
@click.option("--against", required=True, metavar="FROM..[TO]", help="Decisions of this time, such as 2026-01-01.. .")
@click.option("--policy", "edited", default="", help="The folder of the edited policy (instead of POLICY).")
@click.option("--environment", default="", help="Only decisions about this environment.")
@click.option(
    "--workers", type=click.IntRange(min=0), default=0, help="How many processes judge; 0 is one for each processor."
)
def replay(
    session: Session, policy_name: str | None, against: str, edited: str, environment: str, workers: int
) -> None:
    """Judge past decisions by POLICY (a folder, or an environment) as it is now, and show what would change."""
    named = edited or policy_name or environment
    if not named:
        raise UsageError("Which policy?", expected="--policy FOLDER or --environment NAME", found="neither")
    since, until = _time_span(against)
    told = session.app.policies.replay(named, since=since, until=until, environment=environment, workers=workers)
    answer = {**_fields(told), "changed": told.changed}
    session.show(answer, lambda: _tell_replay(told))


@command(name="measure")
@click.argument("version")
@click.option("--latency", is_flag=True, help="Time single answers of the exported model on this machine.")
@click.option("--leakage", is_flag=True, help="Look for leaks in the rows it was trained and tested on.")
@click.option("--reproduce", is_flag=True, help="Train it again, and compare.")
def measure(session: Session, version: str, latency: bool, leakage: bool, reproduce: bool) -> None:
    """Measure of VERSION what rules ask for and its training does not tell; the gate reads it from then on."""
    asked: dict[MeasuredKind, bool] = {"latency": latency, "leakage": leakage, "reproduction": reproduce}
    told = session.app.policies.measure(version, [kind for kind, wanted in asked.items() if wanted])

    def human() -> None:
        for each in told:
            figures = ", ".join(f"{name} {value}" for name, value in each.figures.items())
            click.echo(f"{each.version}: {each.kind}: {figures}")

    session.show(told, human)


def _time_span(text: str) -> tuple[datetime, datetime | None]:
    """Return the moments of `FROM..TO`, where TO may be missing and days begin at midnight in UTC."""
    start, dots, end = text.partition("..")
    if not dots or not start:
        raise UsageError("This is no time span", expected="FROM..[TO], such as 2026-01-01..2026-04-01", found=text)
    since, until = _moment(start), _moment(end) if end else None
    if until is not None and until <= since:
        raise UsageError("The time span ends before it begins", expected=f"an end after {start}", found=end)
    return since, until


def _moment(text: str) -> datetime:
    return parse_time(text if "T" in text else f"{text}T00:00:00Z")


def _fields(record: object) -> dict[str, object]:
    from keelway.core import plain

    found: dict[str, object] = plain(record)
    return found


def _tested(told: PolicyTested) -> dict[str, object]:
    tests = [
        {"file": each.file, "name": each.name, "passed": each.passed, "problem": each.problem} for each in told.outcomes
    ]
    answer: dict[str, object] = {"policy": told.policy, "tests": tests, "failed": told.failed}
    if told.coverage is not None:
        answer["coverage"] = {
            "share": told.coverage.share,
            "rules": told.coverage.rules,
            "clauses": [{**_fields(each), "covered": each.covered} for each in told.coverage.clauses],
        }
    return answer


def _tell_tests(told: PolicyTested) -> None:
    if not told.outcomes:
        click.echo(f"{told.policy}: it has no tests; write *_test.rego or tests/*.yaml beside it")
        return
    click.echo(f"{told.policy}: {len(told.outcomes) - told.failed} of {len(told.outcomes)} tests passed")
    for each in told.outcomes:
        if not each.passed:
            click.echo(click.style(f"  failed  {each.file}: {each.name}", fg="red"))
            click.echo(f"          {each.problem}")
    if told.coverage is not None:
        _tell_coverage(told.coverage)


def _tell_coverage(told: PolicyCoverage) -> None:
    click.echo(f"  {told.share:.0%} of {len(told.clauses)} clauses seen to refuse and to let pass")
    for each in told.clauses:
        if not each.covered:
            never = "refuse" if not each.refused else "let pass"
            click.echo(f"  never seen to {never}: {each.clause} ({each.rule or 'no rule'}, {each.place})")


def _clause(told: ExplainedClause) -> dict[str, object]:
    return {**_fields(told), "changes": told.changes}


def _tell_explanation(told: Explanation, *, everything: bool) -> None:
    click.echo(f"the policy {'lets it in' if told.verdict.allowed else 'refuses it'} ({len(told.clauses)} clauses)")
    for reason in told.unplaced:
        click.echo(f"  - {reason}")
    for clause in told.clauses:
        if not clause.reasons and not everything:
            continue
        mark = click.style("refuses", fg="red") if clause.reasons else "passes"
        click.echo(f"{clause.rule or 'no rule'}: {mark}    {clause.clause} ({clause.place})")
        for reason in clause.reasons:
            click.echo(f"  - {reason}")
        for place in clause.found:
            value = "not recorded" if place.value is None else _one_line(place.value)
            click.echo(f"  read    {place.path} = {value}{f', wants {place.wanted}' if place.wanted else ''}")
        for change in clause.changes:
            click.echo(f"  change  {change}")
        if clause.reasons:
            for made in clause.made_by:
                click.echo(f"  by      {made}")


def _one_line(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _tell_replay(told: Replay) -> None:
    click.echo(
        f"{told.policy} ({short(told.policy_digest)}) against {told.judged} decisions: {told.changed} would change"
    )
    groups = (
        ("would be refused", told.refused_now),
        ("would be admitted", told.admitted_now),
        ("stay as they are, for other reasons", told.same_decision),
    )
    for title, found in groups:
        if found:
            click.echo(f"{title}: {len(found)}")
            for each in found[:SHOWN]:
                _tell_decision(each)
            if len(found) > SHOWN:
                click.echo(f"  ... and {len(found) - SHOWN} more (--json has all)")
    for title, kinds in (("new reasons", told.gained), ("reasons that fall away", told.lost)):
        if kinds:
            click.echo(title)
            for kind, count in kinds.items():
                click.echo(f"  {count:>6}  {kind}")
    for one, problem in told.unreadable:
        click.echo(f"not judged: entry {one.entry} ({one.subject} to {one.environment}): {problem}")


def _tell_decision(told: ReplayedDecision) -> None:
    one = told.decision
    click.echo(f"  entry {one.entry}: {one.subject} to {one.environment}, {time_text(one.at)}")
    for sign, reasons in (("-", told.lost), ("+", told.gained)):
        for reason in reasons:
            click.echo(f"    {sign} {reason}")


for _each in (test, coverage, check, explain, rules, replay, measure):
    policy.add_command(_each)
