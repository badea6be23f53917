"""The Python API cannot be misused: copies in and out, paths, wrong arguments, threads, closing, forks."""

from __future__ import annotations

import multiprocessing
import pathlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import shls
from shls.runtime.models.settings import Settings, SuperpixelSettings
from shls.runtime.segmenter import VideoSegmenter
from shls.runtime.superpixels.isec import isec
from tests.conftest import scene


@pytest.fixture
def segmenter(small_model: pathlib.Path) -> Iterator[VideoSegmenter]:
    with shls.open_segmenter(str(small_model), device="cpu", refined=False) as opened:
        yield opened


def first_mask() -> np.ndarray:
    mask = np.zeros((80, 120), np.uint8)
    mask[20:60, 30:80] = 1
    return mask


def labels_after(segmenter: VideoSegmenter, mask: np.ndarray) -> list[np.ndarray]:
    segmenter.start(scene(0), mask)
    return [segmenter.step(scene(0)).labels for _ in range(3)]


def test_what_is_returned_is_a_copy(segmenter: VideoSegmenter) -> None:
    expected = labels_after(segmenter, first_mask())
    segmenter.start(scene(0), first_mask())
    for labels in expected:
        found = segmenter.step(scene(0))
        np.testing.assert_array_equal(found.labels, labels)
        found.labels[:] = 255
        found.scores.clear()


def test_what_is_given_is_copied(segmenter: VideoSegmenter) -> None:
    expected = labels_after(segmenter, first_mask())
    mask = first_mask()
    segmenter.start(scene(0), mask)
    mask[:] = 0
    np.testing.assert_array_equal(segmenter.step(scene(0)).labels, expected[0])
    added = np.where(first_mask() == 0, np.uint8(2), np.uint8(0))
    kept = added.copy()
    found = segmenter.add(added)
    added[:] = 7
    np.testing.assert_array_equal(found.labels[kept == 2], 2)
    assert 7 not in segmenter.step(scene(0)).labels


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "image: not a NumPy array .got NoneType"),
        ([[0]], "image: not a NumPy array .got list"),
        (Image.new("RGB", (120, 80)), "image: not a NumPy array .got PIL.Image.Image"),
        (np.zeros((80, 120), np.uint8), r"image: wrong shape .got \(80, 120\)"),
        (np.zeros((80, 120, 4), np.uint8), r"image: wrong shape .got \(80, 120, 4\)"),
        (np.zeros((80, 120, 3)), "image: wrong type .got float64"),
        (np.zeros((81, 120, 3), np.uint8), "image: the size changed .got 120x81, expected 120x80"),
    ],
)
def test_wrong_images(segmenter: VideoSegmenter, image: Any, message: str) -> None:
    segmenter.start(scene(0), first_mask())
    with pytest.raises(shls.ShlsError, match=message):
        segmenter.step(image)


def test_a_torch_tensor_is_named(segmenter: VideoSegmenter) -> None:
    torch = pytest.importorskip("torch")
    segmenter.start(scene(0), first_mask())
    with pytest.raises(shls.ShlsError, match=r"image: not a NumPy array .got torch\.Tensor"):
        segmenter.step(torch.zeros((80, 120, 3), dtype=torch.uint8))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (None, "mask: not a NumPy array"),
        (np.zeros((80, 120, 3), np.uint8), r"mask: wrong shape .got \(80, 120, 3\), expected \(80, 120\)"),
        (np.ones((80, 120), np.int64), "mask: wrong type .got int64"),
        (np.zeros((80, 120), np.uint8), "mask: wrong number of objects .got 0"),
    ],
)
def test_wrong_masks(segmenter: VideoSegmenter, mask: Any, message: str) -> None:
    with pytest.raises(shls.ShlsError, match=message):
        segmenter.start(scene(0), mask)


def test_a_bool_mask_marks_object_1(segmenter: VideoSegmenter) -> None:
    segmenter.start(scene(0), first_mask() > 0)
    assert segmenter.step(scene(0)).scores.keys() == {1}


def test_arrays_need_not_be_contiguous(segmenter: VideoSegmenter) -> None:
    expected = labels_after(segmenter, first_mask())
    wide = np.repeat(scene(0), 2, axis=1)
    segmenter.start(wide[:, ::2], np.repeat(first_mask(), 2, axis=1)[:, ::2])
    np.testing.assert_array_equal(segmenter.step(wide[:, ::2]).labels, expected[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threads": -1}, "threads: not a number of threads .got -1"),
        ({"threads": 1.5}, "threads: not a number of threads .got 1.5"),
        ({"model": 3}, "model: not a path .got 3"),
        ({"model": ""}, "model: not a path"),
        ({"refiner": b"x"}, "refiner: not a path"),
        ({"model": "absent.onnx"}, "absent.onnx"),
    ],
)
def test_wrong_ways_to_open(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(shls.ShlsError, match=message):
        shls.open_segmenter(**arguments)


def test_settings_replace_those_of_the_model(small_model: pathlib.Path) -> None:
    with shls.open_segmenter(small_model, device="cpu", refined=False) as plain:
        settings = plain.settings
    few = replace(settings, superpixels=replace(settings.superpixels, count=20))
    with shls.open_segmenter(small_model, device="cpu", refined=False, settings=few) as segmenter:
        segmenter.start(scene(0), first_mask())
        segmenter.step(scene(0))
        assert len(segmenter._frame.superpixels.areas) <= 20


def test_the_published_superpixels_are_a_setting(small_model: pathlib.Path) -> None:
    settings = replace(Settings(), superpixels=SuperpixelSettings(count=60, algorithm="isec"))
    with shls.open_segmenter(small_model, device="cpu", refined=False, settings=settings) as segmenter:
        segmenter.start(scene(0), first_mask())
        expected = isec(segmenter._frame.image, settings.superpixels)
        np.testing.assert_array_equal(segmenter._encoder.encode(scene(0)).superpixels.labels, expected.labels)
        assert segmenter.step(scene(0)).labels.shape == (80, 120)


def test_several_threads_take_turns(segmenter: VideoSegmenter) -> None:
    segmenter.start(scene(0), first_mask())
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: segmenter.step(scene(0)).labels.shape, range(12)))
    assert found == [(80, 120)] * 12


def test_a_closed_segmenter_says_so(small_model: pathlib.Path) -> None:
    with shls.open_segmenter(small_model, device="cpu", refined=False) as segmenter:
        segmenter.start(scene(0), first_mask())
    segmenter.close()
    with pytest.raises(shls.BadInput, match="segmenter: was closed"):
        segmenter.step(scene(0))


def test_a_fork_says_what_to_do(segmenter: VideoSegmenter) -> None:
    segmenter.start(scene(0), first_mask())
    context = multiprocessing.get_context("fork")
    queue: Any = context.Queue()

    def child() -> None:
        try:
            segmenter.step(scene(0))
        except shls.BadInput as error:
            queue.put(str(error))

    process = context.Process(target=child)
    process.start()
    message = queue.get(timeout=60)
    process.join(60)
    assert "another process" in message
    assert "spawn" in message


def test_names_are_loaded_when_they_are_used() -> None:
    assert {"open_segmenter", "VideoSegmenter", "Mask", "open_source", "__version__"} <= set(dir(shls))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = shls.nothing
