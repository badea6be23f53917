"""Scalars in the files that TensorBoard shows, written without it: it brings fifty megabytes for one format.

A file is a row of records (length, checksum, bytes, checksum), each an `Event` message of
tensorflow/core/util/event.proto: wall_time (1, double), step (2, int64), file_version (3, string) and
summary (5): value (1): tag (1, string), simple_value (2, float).
"""

from __future__ import annotations

import os
import struct
import time
from functools import lru_cache
from io import FileIO
from pathlib import Path

DOUBLE, FLOAT, VARINT, COUNTED = 1, 5, 0, 2  # protobuf's wire types


class EventFile:
    """One run's scalars, from the first that is added on; a resumed run has a file more, TensorBoard joins them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: FileIO | None = None

    def add(self, step: int, scalars: dict[str, float]) -> None:
        """Write a step's numbers by their names; a slash in a name makes a group."""
        values = b"".join(
            _counted(1, _counted(1, name.encode()) + _field(2, FLOAT, struct.pack("<f", value)))
            for name, value in scalars.items()
        )
        when = _field(1, DOUBLE, struct.pack("<d", time.time()))
        self._write(when + _field(2, VARINT, _varint(step)) + _counted(5, values))

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _write(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        if self._file is None:
            name = f"events.out.tfevents.{time.time():.6f}.shls.{os.getpid()}"
            self._file = FileIO(self._folder / name, "w")  # unbuffered: TensorBoard reads while we write
            self._write(_field(1, DOUBLE, struct.pack("<d", time.time())) + _counted(3, b"brain.Event:2"))
        self._file.write(length + _checksum(length) + event + _checksum(event))


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum; RFC 3720, appendix B.4, has test vectors."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _checksum(data: bytes) -> bytes:
    """TensorFlow's records rotate the checksum and add a constant."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@lru_cache(1)
def _table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


def _counted(number: int, data: bytes) -> bytes:
    return _field(number, COUNTED, _varint(len(data)) + data)


def _field(number: int, kind: int, data: bytes) -> bytes:
    return _varint(number << 3 | kind) + data


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
