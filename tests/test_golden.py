"""Golden results on the shipped clip: a refactoring that changes any of them changes behaviour.

On the machine that wrote the files, results are equal bit for bit. On other machines they agree within tolerances.
``python tests/test_golden.py`` writes the files anew, after a change that is meant to change results.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from pathlib import Path

import cv2
import numba
import numpy as np
import onnxruntime
import pytest

from shls.runtime.backends.pretrained import ASSETS, EXACT, EXACT_REFINER
from shls.runtime.io.sources import open_source
from shls.runtime.segmenter import VideoSegmenter, open_segmenter

GOLDEN = Path(__file__).parent / "golden"
FRAMES = 15
DESCRIBED = (0, 8)
"""Frames whose superpixels and superfeatures are kept."""
LEAST_IOU, LEAST_COSINE = 0.97, 0.999
KINDS = [(objects, refined) for objects in (1, 2) for refined in (False, True)]


def machine() -> dict[str, str]:
    """Describe everything that the last bits of a result may depend on."""
    processors = Path("/proc/cpuinfo")
    lines = processors.read_text().splitlines() if processors.exists() else []
    described = {line.split(":")[0].strip(): line.split(":", 1)[1].strip() for line in lines if ":" in line}
    return {
        "processor": " ".join([platform.machine(), described.get("model name", ""), described.get("model", "")]),
        "threads": str(numba.config.NUMBA_NUM_THREADS),
        **{module.__name__: module.__version__ for module in (np, cv2, numba, onnxruntime)},
    }


def clip() -> Iterator[np.ndarray]:
    """The first frames of the shipped clip, (H, W, 3) uint8 RGB."""
    with open_source(str(ASSETS / "bunny.mp4")) as source:
        for frame, _ in zip(source, range(FRAMES), strict=False):
            yield frame.image


def first_mask(objects: int) -> np.ndarray:
    """The rabbit, and a tuft of grass where two objects are asked for."""
    mask = cv2.imread(str(ASSETS / "bunny_mask.png"), cv2.IMREAD_GRAYSCALE)
    mask = (mask > 0).astype(np.uint8)
    if objects == 2:
        ellipse = cv2.ellipse(np.zeros_like(mask), (150, 380), (70, 50), 0, 0, 360, 2, -1)
        mask = np.where(mask == 0, ellipse, mask)
    return mask


def segmenter(refined: bool) -> VideoSegmenter:
    return open_segmenter(ASSETS / EXACT, device="cpu", refiner=ASSETS / EXACT_REFINER, refined=refined)


def follow(objects: int, refined: bool) -> np.ndarray:
    """(FRAMES - 1, H, W) uint8 labels."""
    following = segmenter(refined)
    frames = clip()
    following.start(next(frames), first_mask(objects))
    return np.stack([following.step(frame).labels for frame in frames])


def describe() -> dict[str, np.ndarray]:
    """Superpixel labels and superfeatures of some frames."""
    found = {}
    following = segmenter(refined=False)
    for index, frame in enumerate(clip()):
        if index == 0:
            following.start(frame, first_mask(1))
        else:
            following.step(frame)
        if index in DESCRIBED:
            found[f"labels_{index}"] = following._frame.superpixels.labels.astype(np.uint16)
            found[f"features_{index}"] = following._frame.features.astype(np.float32)
    return found


def same_machine() -> bool:
    return bool(json.loads((GOLDEN / "machine.json").read_text()) == machine())


def iou(one: np.ndarray, other: np.ndarray) -> float:
    union = np.logical_or(one, other).sum()
    return float(np.logical_and(one, other).sum() / union) if union else 1.0


@pytest.mark.parametrize(("objects", "refined"), KINDS)
def test_masks(objects: int, refined: bool) -> None:
    expected = unpack(f"masks_{objects}_{'refined' if refined else 'unrefined'}")
    found = follow(objects, refined)
    if same_machine():
        np.testing.assert_array_equal(found, expected)
    for label in range(1, objects + 1):
        assert iou(found == label, expected == label) >= LEAST_IOU


def test_superpixels_and_superfeatures() -> None:
    found, expected = describe(), unpack_described()
    assert found.keys() == expected.keys()
    for name in found:
        if same_machine():
            np.testing.assert_array_equal(found[name], expected[name])
    labels, features = "labels_0", "features_0"  # later frames depend on earlier ones in too many ways
    assert (found[labels] == expected[labels]).mean() > 0.95
    both = min(len(found[features]), len(expected[features]))
    cosines = (found[features][:both] * expected[features][:both]).sum(1)
    assert np.median(cosines) >= LEAST_COSINE


def unpack(name: str) -> np.ndarray:
    with np.load(GOLDEN / f"{name}.npz") as stored:
        return np.asarray(stored["masks"])


def unpack_described() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "superpixels.npz") as stored:
        return dict(stored)


def write() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for objects, refined in KINDS:
        name = f"masks_{objects}_{'refined' if refined else 'unrefined'}.npz"
        np.savez_compressed(GOLDEN / name, masks=follow(objects, refined))
    np.savez_compressed(GOLDEN / "superpixels.npz", **describe())
    (GOLDEN / "machine.json").write_text(json.dumps(machine(), indent=1) + "\n")


if __name__ == "__main__":
    write()
