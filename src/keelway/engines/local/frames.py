"""What a server and a process that it started say to each other: frames of MessagePack behind their length in four bytes."""

from __future__ import annotations

import socket
import struct
from typing import TypeVar

import msgspec

from keelway.errors import EngineError

AT_ONCE = 1 << 16
"""So many bytes are read at once, mostly a whole frame: each call of the system lets the other threads of a server go first."""

_LENGTH = struct.Struct("<I")
_encode_into = msgspec.msgpack.Encoder().encode_into
T = TypeVar("T")


def send_frame(to: socket.socket, value: object) -> None:
    """Send one frame.

    Raises:
        OSError: The other side is gone, or takes nothing in time.
    """
    frame = bytearray(_LENGTH.size)
    _encode_into(value, frame, _LENGTH.size)
    _LENGTH.pack_into(frame, 0, len(frame) - _LENGTH.size)
    to.sendall(frame)


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
            raise EngineError("A process of the server ended", expected="a frame", found="its end of the line closed")
        data += part
    try:
        return msgspec.msgpack.decode(memoryview(data)[_LENGTH.size :], type=kind)
    except msgspec.DecodeError as error:  # also where something follows the frame
        raise EngineError("A process of the server sent something strange", found=str(error)) from error


def _end_of(data: bytearray) -> int:
    (length,) = _LENGTH.unpack_from(data)
    return _LENGTH.size + int(length)
