"""The program of the process that asks rego-cpp; `processes.py` starts it and talks with it over its pipes.

It is started by its path, so it imports nothing of Keelway. A request is a frame with a JSON object:

    {"build": ID, "name": NAME, "files": {...}, "query": TEXT}    answered by one frame
    {"ask": ID, "count": N}    then N frames, each a document in JSON; answered by N frames, or by one of UNKNOWN

A frame is its length in four bytes, then that many bytes; those of an answer begin with one of the letters below.
What takes longer than it may, or more memory, ends the process: whoever asked sees that, and knows by what signal.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from regopy import Bundle, Interpreter

ANSWERED, FAILED, ERROR, NO_UNICODE, NO_ANSWER, UNKNOWN, BUILT = b"a", b"f", b"e", b"u", b"n", b"?", b"b"
OUT_OF_MEMORY = 3
"""Exit status when Python itself gets no memory."""
LONGEST_ANSWER = 4 << 20  # bytes
WALL_FACTOR = 30
"""By the clock an evaluation may take so many times its processor time: the machine may have other things to do."""
KEPT = 16
"""So many programs stay compiled."""


def read_frame(pipe: BinaryIO) -> bytes | None:
    """Return the next frame, or None at the end."""
    head = pipe.read(4)
    if len(head) < 4:
        return None
    length = int.from_bytes(head, "big")
    body = pipe.read(length)
    return body if len(body) == length else None


def frame(body: bytes) -> bytes:
    """Return bytes with their length before them."""
    return len(body).to_bytes(4, "big") + body


class Programs:
    """The programs that this process compiled: those that cannot be are kept as the answer that says why."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._kept: OrderedDict[str, tuple[Interpreter, Bundle] | bytes] = OrderedDict()

    def build(self, request: dict[str, Any]) -> bytes:
        """Compile a program, and return what came of it."""
        _set_timers(self._limit_s)
        found = _compiled(request["files"], request["query"])
        self._kept[request["build"]] = found
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found if isinstance(found, bytes) else BUILT

    def ask(self, key: str, documents: list[bytes]) -> list[bytes]:
        """Return a program's answers."""
        if key not in self._kept:
            return [UNKNOWN]
        self._kept.move_to_end(key)
        found = self._kept[key]
        return [found if isinstance(found, bytes) else self._answer(*found, document) for document in documents]

    def _answer(self, interpreter: Interpreter, bundle: Bundle, document: bytes) -> bytes:
        from regopy import RegoError

        _set_timers(self._limit_s)
        try:
            # As a term: `set_input` would keep six decimals of each number (rego-cpp 1.5).
            interpreter.set_input_term(document.decode())
            output = interpreter.query_bundle(bundle)
            text = str(output).encode()
        except RegoError as error:
            return ERROR + str(error).encode(errors="replace")
        except UnicodeError:
            return NO_UNICODE
        except ValueError:  # an answer of no characters, where one is expected in JSON
            return NO_ANSWER
        if not output.ok():
            return FAILED
        return ANSWERED + text if len(text) <= LONGEST_ANSWER else ERROR + b"the answer is too long"


def _compiled(files: dict[str, str], query: str) -> tuple[Interpreter, Bundle] | bytes:
    from regopy import Interpreter, LogLevel, RegoError

    interpreter = Interpreter()
    interpreter.log_level = LogLevel.NONE
    interpreter.strict_built_in_errors = True
    try:
        for name, text in sorted(files.items()):
            interpreter.add_module(name, text)
        bundle = interpreter.build(query)
    except RegoError as error:
        return ERROR + str(error).encode(errors="replace")
    except UnicodeError:
        return NO_UNICODE
    except ValueError:
        return NO_ANSWER
    return (interpreter, bundle) if bundle.ok() else NO_ANSWER


def _set_timers(limit_s: float) -> None:
    """End this process when it has used so much processor time from now on; 0 takes the limit away."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, limit_s)
        signal.setitimer(signal.ITIMER_REAL, limit_s * WALL_FACTOR)


def _limit_memory(most: int) -> None:
    """Limit what is allocated from now on; rego-cpp's allocator has 256 GB of addresses reserved by then."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  (pathlib takes 8 ms to import)
            now = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):  # neither Linux nor like it
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (now + most, now + most))


def main(packages: str, limit_s: float, most_memory: int) -> None:
    """Answer until nobody asks any more.

    Args:
        packages: The folder that regopy lies in.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks decides what becomes of an interrupt
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever rego-cpp prints is no answer
    sys.path.append(packages)
    import regopy  # noqa: F401  (before memory is limited)

    _limit_memory(most_memory)
    programs, requests = Programs(limit_s), sys.stdin.buffer
    while (head := read_frame(requests)) is not None:
        request = json.loads(head)
        if "build" in request:
            told = [programs.build(request)]
        else:
            documents = [read_frame(requests) or b"" for _ in range(request["count"])]
            told = programs.ask(request["ask"], documents)
        _set_timers(0)
        answers.write(b"".join(frame(body) for body in told))
        answers.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except BrokenPipeError:  # nobody waits for the answer any more
        os._exit(0)
