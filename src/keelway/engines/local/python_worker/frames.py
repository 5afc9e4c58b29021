"""What a server and a model's process say to each other: frames of MessagePack behind their length in four bytes."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from keelway.core import Digest
from keelway.errors import EngineError
from keelway.features import FeatureColumn
from keelway.project import Task

AT_ONCE = 1 << 16
"""So many bytes are read at once, mostly a whole frame: each call of the system lets the other threads of a server go first."""

_LENGTH = struct.Struct("<I")
T = TypeVar("T")


NOT_FINITE = "an answer that is not finite"
"""What a worker tells instead of a NaN or an infinite number."""


@dataclass(frozen=True, slots=True)
class WorkerModel:
    """What a process is told first: the model it is to answer for.

    Attributes:
        pipeline: The artifact that holds the fitted pipeline, or the list of an ensemble's members.
        artifacts: The bytes of that artifact and of those that it names.
        folders: Put on the import path, for a project with classes of its own.
        module: The project's module, which trusts those classes; empty imports nothing.
        memory_mb: The most memory that it may take; 0 for no limit.
    """

    pipeline: Digest
    artifacts: dict[Digest, bytes]
    features: tuple[FeatureColumn, ...]
    task: Task
    classes: tuple[str, ...]
    folders: tuple[str, ...] = ()
    module: str = ""
    memory_mb: int = 0


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """What comes back for a batch of rows: an answer for each, or why there is none."""

    answers: list[Any]
    error: str = ""


def send_frame(to: socket.socket, value: object) -> None:
    """Send one frame.

    Raises:
        OSError: The other side is gone, or takes nothing in time.
    """
    data = msgspec.msgpack.encode(value)
    to.sendall(_LENGTH.pack(len(data)) + data)


def read_frame(source: socket.socket, kind: type[T]) -> T:
    """Read one frame; nothing may follow it before it is answered.

    Raises:
        EngineError: The other side is gone, or sent something else.
        TimeoutError: Nothing comes in time.
    """
    data = bytearray()
    while len(data) < _LENGTH.size or len(data) < _end_of(data):
        part = source.recv(AT_ONCE)
        if not part:
            raise EngineError("A model's process ended", expected="an answer", found="its end of the line closed")
        data += part
    try:
        return msgspec.msgpack.decode(memoryview(data)[_LENGTH.size :], type=kind)
    except msgspec.DecodeError as error:  # also where something follows the frame
        raise EngineError("A model's process sent something strange", found=str(error)) from error


def _end_of(data: bytearray) -> int:
    (length,) = _LENGTH.unpack_from(data)
    return _LENGTH.size + int(length)
