"""Points traced back through synthetic motion."""

from __future__ import annotations

import cv2
import numpy as np

from shls.runtime.features.optical_flow import MotionTracker


def texture() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    return cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)


def test_a_pan_is_traced() -> None:
    tracker = MotionTracker(3)
    for t in range(4):
        tracker.step(np.roll(texture(), 8 * t, axis=1))
    places = tracker.trace(np.array([[160, 120], [200, 60]], np.float32))
    assert places.shape == (4, 2, 2)
    np.testing.assert_allclose(places[0], [[160, 120], [200, 60]])
    np.testing.assert_allclose(places[3], [[136, 120], [176, 60]], atol=4)


def test_the_first_frame_has_no_past() -> None:
    tracker = MotionTracker(3)
    tracker.step(texture())
    assert tracker.trace(np.zeros((5, 2), np.float32)).shape == (1, 5, 2)


def test_tiny_frames_stand_still() -> None:
    tracker = MotionTracker(3)
    for _ in range(3):
        tracker.step(np.zeros((1, 1, 3), np.uint8))
    assert tracker.trace(np.zeros((1, 2), np.float32)).shape == (1, 1, 2)


def test_motion_and_light_are_no_cut_and_another_picture_is() -> None:
    tracker = MotionTracker(3)
    tracker.step(texture())
    assert tracker.is_cut()
    tracker.step(np.roll(texture(), 8, axis=1) // 2)
    assert not tracker.is_cut()
    tracker.step(texture()[::-1, ::-1])
    assert tracker.is_cut()
