"""TensorBoard's files: checksums by published values, records by hand, and TensorBoard's own reader."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from shls_train.engine.events import EventFile, crc32c


def test_checksums_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA, "RFC 3720, B.4"
    assert crc32c(bytes(range(32))) == 0x46DD794E


def write(folder: Path) -> bytes:
    file = EventFile(folder)
    file.add(300, {"train/loss": 1.5})
    file.add(301, {"train/loss": 1.25, "lr": 0.5})
    file.close()
    (path,) = folder.glob("events.out.tfevents.*")
    return path.read_bytes()


def test_records_by_hand(tmp_path: Path) -> None:
    data, events = write(tmp_path), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        events.append(data[12 : 12 + length])
        data = data[16 + length :]
    assert len(events) == 3
    assert events[0].endswith(b"\x1a\x0dbrain.Event:2"), "field 3, 13 bytes"
    value = b"\x0a\x0atrain/loss" + b"\x15" + struct.pack("<f", 1.5)
    summary = b"\x0a" + bytes([len(value)]) + value
    assert events[1][9:] == b"\x10\xac\x02" + b"\x2a" + bytes([len(summary)]) + summary, "step 300 is AC 02"


def test_tensorboard_reads_them(tmp_path: Path) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader", reason="no tensorboard")
    write(tmp_path)
    (path,) = tmp_path.glob("events.out.tfevents.*")
    read = [
        (event.step, value.tag, value.simple_value or value.tensor.float_val[0])
        for event in loader.EventFileLoader(str(path)).Load()
        for value in event.summary.value
    ]
    assert read == [(300, "train/loss", 1.5), (301, "train/loss", 1.25), (301, "lr", 0.5)]
