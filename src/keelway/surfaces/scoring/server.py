"""Runs the scoring app on uvicorn: binds first, tells when it is ready, and seals the log before it ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import uvicorn

from keelway.errors import ServingError
from keelway.privacy import scrub_logs
from keelway.serve import Shedder
from keelway.surfaces.scoring.app import ScoringApp
from keelway.surfaces.scoring.whole import WholeRequestProtocol
from keelway.surfaces.scoring.workers import Inherited

BACKLOG = 4096
GRACEFUL_SHUTDOWN_S = 10
KEEP_ALIVE_S = 75
LAG_EVERY_S = 0.01
NEW_OBJECTS = 50_000
"""So many objects are made before Python looks for rings among them; requests make none, and 1,000 rows make 5,000 objects."""
MOST_WAITING = 128
"""So many requests wait in threads at once, for what cannot be awaited; more wait for those."""


def serve(
    app: ScoringApp,
    *,
    host: str,
    port: int,
    on_ready: Callable[[str], None],
    worker: Inherited | None = None,
    keep_alive_s: int = KEEP_ALIVE_S,
) -> None:
    """Answer requests until SIGTERM or SIGINT; then answer what was begun, seal the log and return.

    SIGHUP looks at once for another deployment.

    Args:
        port: 0 takes a free one.
        on_ready: Called once with the address, when requests are answered.
        worker: What this process inherited from its supervisor; None where it listens by itself.
        keep_alive_s: How long a connection may stay open without a request.

    Raises:
        ServingError: The port is taken, or may not be used.
    """
    raise_file_limit()
    bound = bind(host, worker.port if worker else port, shared=worker is not None)
    address = address_of(host, bound)
    config = configured(app, keep_alive_s)
    scrub_logs("uvicorn", "uvicorn.error")  # the configuration has just made their handlers
    server = _Server(config, shedder=app.shedder, ready=lambda: on_ready(address))
    app.start()
    gc.collect()
    gc.freeze()  # what is loaded by now stays, so no later collection has to walk through it while requests wait
    thresholds = gc.get_threshold()
    gc.set_threshold(NEW_OBJECTS, *thresholds[1:])
    try:
        with _signals_end_quietly(on_hangup=app.refresh):
            if worker is not None:
                worker.end_with_supervisor()
            server.run(sockets=[bound])
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        app.close()
        bound.close()


def configured(app: ScoringApp, keep_alive_s: int = KEEP_ALIVE_S) -> uvicorn.Config:
    """Return how uvicorn runs the app."""
    return uvicorn.Config(
        app,
        http=partial(WholeRequestProtocol, whole=app),  # type: ignore[arg-type]  # it is only called
        proxy_headers=False,  # nothing here asks where a caller comes from
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,  # its lines go where the others go
        log_level="warning",
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
    )


def bind(host: str, port: int, *, shared: bool = False, listens: bool = True) -> socket.socket:
    """Return a socket that has a port.

    Args:
        shared: Whether other processes of this user may have the port too, if they also share it.
        listens: Whether connections come to it; one that does not only holds the port.

    Raises:
        ServingError: The port is taken, or may not be used.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
        if listens:
            bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        taken = error.errno == errno.EADDRINUSE
        raise ServingError(
            f"Port {port} of {host} is taken" if taken else f"Port {port} of {host} cannot be used",
            expected="a free port",
            found=error.strerror or str(error),
            fix="End the other server, or take another port: --port 0 takes a free one.",
        ) from error
    bound.setblocking(False)
    return bound


def address_of(host: str, bound: socket.socket) -> str:
    """Return the URL of a listening socket."""
    return f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"


def raise_file_limit() -> None:
    """Let this process open as many connections as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Server(uvicorn.Server):
    """Tells when it is ready, and how late its loop is."""

    def __init__(self, config: uvicorn.Config, *, shedder: Shedder, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._shedder = shedder
        self._watch: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets=sockets)
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(MOST_WAITING, thread_name_prefix="keelway-wait"))
        self._watch = loop.create_task(self._watch_lag())
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop watching, then answer what was begun."""
        if self._watch is not None:
            self._watch.cancel()
        await super().shutdown(sockets=sockets)

    async def _watch_lag(self) -> None:
        """Measure how long the loop takes to come around: so long waits what it reads now."""
        loop = asyncio.get_running_loop()
        while True:
            asked = loop.time()
            await asyncio.sleep(LAG_EVERY_S)
            self._shedder.lag_s = max(0.0, loop.time() - asked - LAG_EVERY_S)


@contextlib.contextmanager
def _signals_end_quietly(*, on_hangup: Callable[[], object]) -> Iterator[None]:
    """Let uvicorn's second raising of the signal that ended it pass, so that the log can be sealed after it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hang_up(*_: object) -> None:
        threading.Thread(target=on_hangup, name="keelway-refresh", daemon=True).start()

    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, hang_up)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
