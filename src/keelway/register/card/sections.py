"""The sections of a card, in the order and under the headings of Hugging Face's template.

Each asks its questions in turn. What the evidence answers is told; what people have to say and did not is a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from keelway.core import short, time_text
from keelway.evaluate import in_words
from keelway.register.card.evidence import CardEvidence
from keelway.register.card.measured import evaluation, examination
from keelway.register.card.records import CardBlock, CardSection, CardTable, CommandLines, FactList, Gap, Prose

MEGABYTE = 1 << 20


def sections_of(found: CardEvidence) -> tuple[CardSection, ...]:
    """Return all sections of a card."""
    parts: Sequence[Callable[[CardEvidence], Iterable[CardSection]]] = (
        _details, _uses, _risks, _start, _training, evaluation, examination, _environment, _technical, _provenance,
        _citation,
    )  # fmt: skip
    return tuple(section for part in parts for section in part(found))


def said(section: str, text: str, what: str, field: str, *, optional: bool = False) -> CardBlock:
    """Return what people say, or the gap where they say nothing."""
    return Prose(text) if text else Gap(section, what, f'Model(card=Card({field}="..."))', optional)


def _details(found: CardEvidence) -> Iterable[CardSection]:
    words, trained, title = found.words, found.trained, "Model Details"
    yield CardSection(title, 2)
    facts = [
        ("Version", f"{found.version.name} ({found.version.semver})"),
        ("Developed by", words.developed_by or found.version.author),
        ("Registered", time_text(found.version.created_at)),
        ("Model type", f"{trained.factory}, estimator {trained.estimator!r}"),
        ("Task", f"{trained.task}: {found.table.label} of each {found.table.entity}"),
    ]
    if trained.classes:
        facts.append(("Classes", ", ".join(trained.classes)))
    if words.language:
        facts.append(("Language", ", ".join(words.language)))
    if words.license:
        facts.append(("License", " ".join(filter(None, (words.license, words.license_name, words.license_link)))))
    blocks: list[CardBlock] = [said(title, words.summary, "what the model does", "summary"), FactList(tuple(facts))]
    if found.reads_texts and not words.language:
        blocks.append(Gap(title, "the language of the texts it reads", 'Model(card=Card(language=["en"]))'))
    if not words.license:
        blocks.append(Gap(title, "the licence", 'Model(card=Card(license="apache-2.0"))'))
    yield CardSection("Model Description", 3, tuple(blocks))
    commit = trained.code.commit
    sources: list[CardBlock] = [said(title, words.repository, "where the code is kept", "repository", optional=True)]
    if commit:
        sources.append(FactList((("Commit", commit),)))
    else:
        sources.append(Gap(title, "the commit of the code", "training inside a git repository", optional=True))
    yield CardSection("Model Sources", 3, tuple(sources))


def _uses(found: CardEvidence) -> Iterable[CardSection]:
    words, title = found.words, "Uses"
    downstream = said(title, words.downstream_use, "what it may be built into", "downstream_use", optional=True)
    yield CardSection(title, 2)
    yield CardSection("Direct Use", 3, (said(title, words.intended_use, "what it is for", "intended_use"),))
    yield CardSection("Downstream Use", 3, (downstream,))
    yield CardSection(
        "Out-of-Scope Use", 3, (said(title, words.out_of_scope, "what it must not be used for", "out_of_scope"),)
    )


def _risks(found: CardEvidence) -> Iterable[CardSection]:
    words, title = found.words, "Bias, Risks, and Limitations"
    overlap = found.scorecard.overlap_days
    reach = (f"Labels of training became known up to {overlap} days after the test cut.",) if overlap else ()
    warnings = tuple(Prose(f"From the evidence: {warning}") for warning in (*found.scorecard.warnings, *reach))
    worse = tuple(
        Prose(f"From the evidence: {each.metric} is worse where {each.column} is {each.level} ({each.rows:,} rows).")
        for each in found.scorecard.slices
        if each.verdict == "worse"
    )
    yield CardSection(
        title,
        2,
        (said(title, words.limitations, "where it fails, and whom that harms", "limitations"), *warnings, *worse),
    )
    advice = said(title, words.recommendations, "what its users should do about that", "recommendations")
    yield CardSection("Recommendations", 3, (advice,))


def _start(found: CardEvidence) -> Iterable[CardSection]:
    model, name = found.version.model, found.version.name
    lines = [f"keelway show {name}", f"keelway prove {name}"]
    if found.trained.task == "binary":
        lines.append(f"keelway score {model}")
    yield CardSection("How to Get Started with the Model", 2, (CommandLines("\n".join(lines)),))


def _training(found: CardEvidence) -> Iterable[CardSection]:
    yield CardSection("Training Details", 2)
    yield CardSection("Training Data", 3, tuple(_training_data(found)))
    yield CardSection("Training Procedure", 3, tuple(_procedure(found)))


def _training_data(found: CardEvidence) -> Iterable[CardBlock]:
    trained, table, title = found.trained, found.table, "Training Data"
    cuts = trained.train_as_ofs
    span = time_text(cuts[0]) if len(cuts) == 1 else f"{len(cuts)} cuts, {time_text(cuts[0])} to {time_text(cuts[-1])}"
    horizon = f"{table.horizon_s / 86_400:g} days after the cut" if table.horizon_s else "known at the cut"
    yield FactList(
        (
            ("Rows", f"{trained.train_rows:,}"),
            ("Moments", span),
            ("Label", f"{table.label}, {horizon}"),
            ("Features", f"{len(trained.features)}: {', '.join(each.name for each in trained.features)}"),
        )
    )
    yield CardTable(
        "Datasets",
        ("Dataset", "Snapshot", "Rows", "Known until", "Contract", "Owner", "Personal data"),
        tuple(
            (
                each.name,
                f"{each.snapshot or 'gone'} ({short(each.digest)})",
                f"{each.rows:,}" if each.rows is not None else "-",
                time_text(each.known_until) if each.known_until else "-",
                each.contract or "-",
                each.owner or "-",
                ", ".join(f"{column} ({kind})" for column, kind in sorted(each.personal.items())) or "none declared",
            )
            for each in found.data
        ),
    )
    for each in found.data:
        if not each.contract:
            yield Gap(title, f"the contract of {each.name}", "restoring its records from a backup")
        elif not each.owner:
            yield Gap(title, f"who answers for {each.name}", "naming a team member with the role owner in its contract")


def _procedure(found: CardEvidence) -> Iterable[CardBlock]:
    trained, title = found.trained, "Training Procedure"
    if found.as_declared:
        steps = found.declared.preprocessing.flat()
        yield CardTable(
            "Preprocessing", ("Choice", "Value"), tuple((name, str(value)) for name, value in sorted(steps.items()))
        )
    else:
        yield Gap(
            title,
            "how features were prepared: the project declares otherwise by now, or a search chose",
            f"keelway show {found.version.trained}",
            optional=True,
        )
    yield CardTable(
        "Training hyperparameters",
        ("Parameter", "Value"),
        (
            *((name, str(value)) for name, value in sorted(trained.parameters.items())),
            ("seed", str(trained.seed)),
            *((f"search {name}", short(digest)) for name, digest in sorted(trained.studies.items())),
        ),
    )
    facts = []
    if found.trained_seconds is not None:
        facts.append(("Time of the fit", f"{found.trained_seconds:.3g} s"))
    if found.model_bytes is not None:
        facts.append(("Size of the exported model", f"{found.model_bytes / MEGABYTE:.3g} MB"))
    if facts:
        yield FactList(tuple(facts))


def _environment(found: CardEvidence) -> Iterable[CardSection]:
    words, title = found.words, "Environmental Impact"
    blocks: list[CardBlock] = [said(title, words.hardware, "the hardware it was trained on", "hardware")]
    if words.emissions_g is None:
        blocks.append(Gap(title, "emissions of training", "Model(card=Card(emissions_g=...))", optional=True))
    else:
        source = f", {words.emissions_source}" if words.emissions_source else ""
        blocks.append(FactList((("Emissions", f"{words.emissions_g:g} g of CO2 equivalent{source}"),)))
    yield CardSection(title, 2, tuple(blocks))


def _technical(found: CardEvidence) -> Iterable[CardSection]:
    version, trained, parity = found.version, found.trained, found.version.parity
    yield CardSection("Technical Specifications", 2)
    facts = [
        ("Pipeline", f"{trained.factory} behind preprocessing that was fitted with it, stored without executable code"),
        ("Served as", f"ONNX, at most {parity.max_difference:.2g} from the pipeline over {parity.rows:,} rows"),
        ("Reads", ", ".join(f"{each.name} ({each.kind})" for each in version.features)),
    ]
    if found.members:
        facts.append(("Ensemble of", ", ".join(found.members)))
    yield CardSection("Model Architecture and Objective", 3, (FactList(tuple(facts)),))
    code = trained.code
    software: list[CardBlock] = [FactList((("Installed packages, digest", code.environment_digest),))]
    if code.lock_digest:
        software.append(FactList((("Lock file, digest", code.lock_digest),)))
    else:
        software.append(
            Gap("Compute Infrastructure", "a lock file", "pinning the environment in the project", optional=True)
        )
    yield CardSection("Compute Infrastructure", 3, tuple(software))


def _provenance(found: CardEvidence) -> Iterable[CardSection]:
    """Yield what a third party can check: digests, the ledger's entries, and the words for both."""
    entries = tuple(
        (
            str(each.index),
            each.action,
            each.environment or "-",
            each.principal,
            time_text(each.at),
            "yes" if each.allowed else "refused",
        )
        for each in found.entries
    )
    blocks: list[CardBlock] = [FactList(tuple(found.digests().items()))]
    if entries:
        heads = ("Entry", "Action", "Environment", "By", "At", "Allowed")
        blocks.append(CardTable("Decisions in the ledger", heads, entries))
    if not any(each.action == "approve" for each in found.entries):
        blocks.append(Prose("Nobody has approved this version yet."))
    if found.scorecard.versus_champion is not None:
        blocks.append(Prose(f"When it was trained: {in_words(found.scorecard.versus_champion)}."))
    yield CardSection("Provenance", 2, tuple(blocks))


def _citation(found: CardEvidence) -> Iterable[CardSection]:
    words = found.words
    yield CardSection("Citation", 2, (said("Citation", words.citation, "how to cite it", "citation", optional=True),))
    yield CardSection("Model Card Authors", 2, (Prose(f"Generated from the records behind {found.version.name}."),))
    yield CardSection("Model Card Contact", 2, (said("Model Card Contact", words.contact, "whom to ask", "contact"),))
