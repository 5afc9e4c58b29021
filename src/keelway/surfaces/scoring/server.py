"""Runs the scoring app on uvicorn: binds first, tells when it is ready, and seals the log before it ends."""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn

from keelway.errors import ServingError
from keelway.privacy import scrub_logs
from keelway.surfaces.scoring.app import ScoringApp

BACKLOG = 2048
GRACEFUL_SHUTDOWN_S = 10


def serve(app: ScoringApp, *, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Answer requests until SIGTERM or SIGINT; then answer what was begun, seal the log and return.

    Args:
        port: 0 takes a free one.
        on_ready: Called once with the address, when requests are answered.

    Raises:
        ServingError: The port is taken, or may not be used.
    """
    bound = bind(host, port)
    address = f"http://{host}:{bound.getsockname()[1]}"
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
    )
    scrub_logs("uvicorn", "uvicorn.error")  # the configuration has just made their handlers
    server = _Server(config, ready=lambda: on_ready(address))
    app.log.start()
    app.router.start()
    try:
        with _signals_end_quietly():
            server.run(sockets=[bound])
    finally:
        app.router.close()
        app.log.close()
        bound.close()


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ServingError: The port is taken, or may not be used.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
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


class _Server(uvicorn.Server):
    """Tells when it is ready."""

    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets=sockets)
        self._ready()


@contextlib.contextmanager
def _signals_end_quietly() -> Iterator[None]:
    """Let uvicorn's second raising of the signal that ended it pass, so that the log can be sealed after it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
