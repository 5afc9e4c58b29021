"""Puts a scoring server together from a project: one app for its models, in this process or in several on one port."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from keelway.core import Clock
from keelway.errors import UsageError
from keelway.serve import Breaker, RequestTally, Row, Shedder
from keelway.surfaces.scoring.app import ScoringApp
from keelway.surfaces.scoring.compose import gate_of, limits_of, lookup_of, tracing_of
from keelway.surfaces.scoring.logs import configure_logs, fields
from keelway.surfaces.scoring.metrics import MetricFamilies, ScoringMetrics
from keelway.surfaces.scoring.route import Lookup, ModelRoute
from keelway.surfaces.scoring.server import address_of, bind, raise_file_limit, serve
from keelway.surfaces.scoring.workers import Inherited, Supervisor, inherited

if TYPE_CHECKING:
    from datetime import datetime

    from keelway.app import App

_log = logging.getLogger(__name__)

ONLINE = "online store"
"""What the breaker around the online store is called in metrics and refusals."""
OnReady = Callable[[str, tuple[int, ...]], None]
"""Told the address and the process ids of the workers; none where one process does everything."""


def run_house(
    app: App,
    models: Sequence[str],
    environment: str,
    *,
    host: str,
    port: int,
    workers: int,
    clock: Clock,
    ready: OnReady,
) -> None:
    """Answer predictions of models until SIGTERM, from one process or from several.

    Args:
        workers: How many processes; 0 takes `serving.workers`.

    Raises:
        UsageError: A model is named twice.
        ServingError: The port is taken, or a worker ended before it answered.
    """
    if len(set(models)) < len(models):
        raise UsageError("A model is named twice", expected="each model once", found=", ".join(models))
    settings = app.workspace.settings.serving
    configure_logs(settings.log, requests=settings.log_requests)
    worker = inherited()
    count = workers or settings.workers
    if worker is None and count > 1:
        supervise([sys.executable, "-m", "keelway", *sys.argv[1:]], count, host=host, port=port, ready=ready)
        return
    scoring = scoring_app(
        app, models, environment, clock=clock, records_pins=worker is None or worker.number == 0,
        replica=replica_name(host, port, worker),
    )  # fmt: skip

    def told(address: str) -> None:
        _log.info(
            "Predictions are answered", extra=fields(address=address, environment=environment, models=",".join(models))
        )
        if worker is not None:
            worker.tell_ready()
        else:
            ready(address, ())

    serve(scoring, host=host, port=port, on_ready=told, worker=worker, keep_alive_s=settings.keep_alive_s)
    _log.info("The server ends: what was answered is sealed", extra=fields(models=",".join(models)))


def supervise(command: Sequence[str], workers: int, *, host: str, port: int, ready: OnReady) -> None:
    """Run a command in several processes that share a port, until SIGTERM."""
    raise_file_limit()
    bind(host, port).close()  # refuses a port that somebody else shares among their own processes
    with bind(host, port, shared=True, listens=False) as held:
        address = address_of(host, held)
        Supervisor(
            command, workers=workers, port=held.getsockname()[1], on_ready=lambda pids: ready(address, pids)
        ).run()


def replica_name(host: str, port: int, worker: Inherited | None) -> str:
    """Return what a serving process is called: the same when it is started again in the same place.

    Args:
        port: 0 where any free one is taken; then only the process tells it from others.
    """
    if worker is not None:
        return f"{socket.gethostname()}/{host}:{worker.port}/{worker.number}"
    return f"{socket.gethostname()}/{host}:{port}" if port else f"{socket.gethostname()}/process-{os.getpid()}"


def scoring_app(
    app: App, models: Sequence[str], environment: str, *, clock: Clock, records_pins: bool, replica: str = ""
) -> ScoringApp:
    """Return the app for some models, everything loaded and verified, nothing started.

    Args:
        replica: What this process is called where deployments are observed; empty keeps it unseen.
    """
    settings = app.workspace.settings
    families = MetricFamilies()
    routes = {}
    for model in models:
        tally = RequestTally(clock)
        metrics = ScoringMetrics(model, environment, families, tally=tally)
        keeper = app.traffic.tally_keeper(model, environment, tally=tally)
        router, log = app.traffic.router_and_log(
            model, environment, on_unlogged=metrics.unlogged, on_breaker=metrics.breaker,
            on_switch=keeper.switched, records_pins=records_pins, replica=replica,
        )  # fmt: skip
        found = lookup_of(app, model)
        lookup = with_breaker(found, app.traffic.breaker((ONLINE,), on_state=metrics.breaker)) if found else None
        names = app.traffic.entity_names(model)
        explainers = app.traffic.explainers(model, environment)
        routes[model] = ModelRoute(
            router, log=log, metrics=metrics, names=names, lookup=lookup, keeper=keeper, explainers=explainers
        )
    return ScoringApp(
        routes,
        clock=clock,
        limits=limits_of(settings.requests),
        gate=gate_of(settings.callers, root=app.workspace.root),
        shedder=Shedder(app.traffic.shed_rule()),
        tracing=tracing_of(settings.serving, environment=environment, root=app.workspace.root),
    )


def with_breaker(lookup: Lookup, breaker: Breaker) -> Lookup:
    """Return a lookup that leaves the online store alone while it keeps failing."""

    def guarded(entities: Sequence[str], names: Sequence[str], now: datetime) -> list[Row]:
        return breaker.call(ONLINE, lambda: lookup(entities, names, now))

    return guarded
