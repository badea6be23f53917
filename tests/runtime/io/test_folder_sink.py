"""One file per frame: masks, overlays and cut-outs, each whole, and what an earlier run left."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.folder_sink import CutoutFolderSink, FolderSink, MaskFolderSink, OverlayFolderSink
from shls.runtime.io.masks import overlay, read_mask
from shls.runtime.io.palette import PALETTE
from tests.sink_inputs import file_size_limit, result


def test_masks_are_named_after_frames(tmp_path: Path) -> None:
    with MaskFolderSink(tmp_path / "a" / "b") as sink:
        for index in range(2):
            frame, mask = result(index)
            sink.write(frame._replace(name=f"img {index}"), mask)
    assert sorted(os.listdir(tmp_path / "a" / "b")) == ["img 0.png", "img 1.png"]
    assert (read_mask(tmp_path / "a" / "b" / "img 1.png", (48, 64)) == result(1)[1].labels).all()
    assert cv2.imread(str(tmp_path / "a" / "b" / "img 1.png"))[15, 10, ::-1].tolist() == PALETTE[2].tolist()


def test_names_with_colons(tmp_path: Path) -> None:
    frame, mask = result(0)
    for at, kind in enumerate((MaskFolderSink, OverlayFolderSink, CutoutFolderSink)):
        folder = tmp_path / f"12:30:0{at}"
        with kind(folder) as sink:
            sink.write(frame._replace(name="2024-01-01T12:30:00"), mask)
        assert os.listdir(folder) == [f"2024-01-01T12:30:00{kind.suffix}"]


def test_overlays(tmp_path: Path) -> None:
    frame, mask = result(30)
    with OverlayFolderSink(tmp_path) as sink:
        sink.write(frame, mask)
    read = cv2.imread(str(tmp_path / "00030.jpg"))[..., ::-1]
    assert np.abs(read.astype(int) - overlay(frame.image, mask.labels)).mean() < 3


def test_cutouts_are_transparent_outside(tmp_path: Path) -> None:
    frame, mask = result(7, noise=True)
    mask.labels[30:40, 30:40] = 9
    with CutoutFolderSink(tmp_path) as sink:
        sink.write(frame, mask)
    pixels = cv2.imread(str(tmp_path / "00007.png"), cv2.IMREAD_UNCHANGED)
    inside = mask.labels > 0
    assert pixels.shape == (48, 64, 4)
    assert (pixels[..., 3] == np.where(inside, 255, 0)).all()
    assert (pixels[inside, 2::-1] == frame.image[inside]).all(), "the colours of the frame"
    assert not pixels[~inside].any()


@pytest.mark.parametrize("kind", [MaskFolderSink, OverlayFolderSink, CutoutFolderSink])
def test_files_of_an_earlier_longer_run_are_reported(
    kind: type[FolderSink], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for count, said in ((8, 0), (8, 0), (3, 1)):
        caplog.clear()
        with kind(tmp_path) as sink:
            for index in range(count):
                sink.write(*result(index))
            sink.close()  # twice in all
        assert len(caplog.records) == said
    assert caplog.records[0].levelno == logging.WARNING
    assert f"{tmp_path}: 5 earlier {kind.suffix} files are not of this run" in caplog.text
    assert f"00003{kind.suffix}, 00004{kind.suffix}, 00005{kind.suffix}, ..." in caplog.text
    assert len(os.listdir(tmp_path)) == 8, "nothing was deleted"


def test_a_run_without_a_frame_reports_no_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with MaskFolderSink(tmp_path) as sink:
        sink.write(*result(0))
    with MaskFolderSink(tmp_path):
        pass
    assert not caplog.records


@pytest.mark.parametrize("kind", [MaskFolderSink, OverlayFolderSink, CutoutFolderSink])
def test_full_disk_leaves_whole_files(kind: type[FolderSink], tmp_path: Path) -> None:
    sink = kind(tmp_path)
    sink.write(*result(0))
    with file_size_limit(100), pytest.raises(BadInput, match=rf"00001\{kind.suffix}: cannot be written"):
        sink.write(*result(1, noise=True))
    assert os.listdir(tmp_path) == [f"00000{kind.suffix}"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot be written"):
        MaskFolderSink(tmp_path / "file")
