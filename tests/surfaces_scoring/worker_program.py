"""A worker that answers with its process id, as a child of a `Supervisor` under test; argument 1 says how it behaves."""

from __future__ import annotations

import os
import signal
import sys
import time

from keelway.surfaces.scoring.server import bind
from keelway.surfaces.scoring.workers import inherited


def main() -> None:
    if sys.argv[1] == "fails":
        sys.exit(3)
    worker = inherited()
    assert worker is not None
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    worker.end_with_supervisor()
    listening = bind("127.0.0.1", worker.port, shared=True)
    worker.tell_ready()
    while not ended:
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, InterruptedError):
            time.sleep(0.002)
            continue
        connection.sendall(f"{os.getpid()}\n".encode())
        connection.close()


if __name__ == "__main__":
    main()
