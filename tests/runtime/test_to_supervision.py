"""Masks as detections of the package supervision, drawn with its annotators."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from shls.runtime.errors import MissingDependency
from shls.runtime.types import Mask


def two_objects() -> Mask:
    labels = np.zeros((64, 96), np.uint8)
    labels[10:30, 8:40] = 2
    labels[35:60, 50:90] = 7
    return Mask(labels, {1: 0.0, 2: 0.75, 7: 0.5})


def test_detections_have_masks_ids_and_confidence() -> None:
    pytest.importorskip("supervision", reason="the package supervision is not installed")
    mask = two_objects()
    found = mask.to_supervision()
    assert found.tracker_id.tolist() == found.class_id.tolist() == [2, 7]
    assert found.confidence.tolist() == [0.75, 0.5]
    assert found.xyxy.tolist() == [[8, 10, 39, 29], [50, 35, 89, 59]]
    assert np.array_equal(found.mask, np.stack([mask.labels == 2, mask.labels == 7]))


def test_annotators_draw_each_object_and_nothing_else() -> None:
    sv = pytest.importorskip("supervision", reason="the package supervision is not installed")
    mask = two_objects()
    image = np.full((64, 96, 3), 100, np.uint8)
    drawn = sv.MaskAnnotator(opacity=1.0).annotate(image.copy(), mask.to_supervision())
    assert np.array_equal((drawn != 100).any(axis=2), mask.labels > 0)
    assert not np.array_equal(drawn[15, 20], drawn[50, 70])
    colour = drawn[15, 20].copy()
    alone = sv.MaskAnnotator(opacity=1.0).annotate(image.copy(), mask.to_supervision()[:1])
    assert (alone[mask.labels == 2] == colour).all()
    boxes = sv.BoxAnnotator(thickness=1).annotate(image.copy(), mask.to_supervision())
    assert (boxes[10, 8:40] != 100).any(axis=1).all()


def test_no_visible_object_gives_no_detection() -> None:
    sv = pytest.importorskip("supervision", reason="the package supervision is not installed")
    found = Mask(np.zeros((4, 6), np.uint8), {1: 0.0}).to_supervision()
    assert len(found) == 0
    image = np.zeros((4, 6, 3), np.uint8)
    assert not sv.MaskAnnotator().annotate(image.copy(), found).any()


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "supervision" else find(name))
    with pytest.raises(MissingDependency, match=r"supervision: not installed.*pip install 'supervision>=0.27'"):
        two_objects().to_supervision()
