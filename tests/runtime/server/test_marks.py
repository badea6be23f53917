"""Marks of the command line in a session."""

from __future__ import annotations

import numpy as np

from shls.runtime.prompts.prompt import Prompt
from shls.runtime.prompts.timeline import Entry
from shls.runtime.server.marks import FirstMarks
from shls.runtime.server.objects import ObjectRegistry
from shls.runtime.types import Frame


def test_points_of_a_later_frame_correct_a_followed_object() -> None:
    seen: list[Prompt] = []

    def solve(image: np.ndarray, prompt: Prompt) -> np.ndarray:
        seen.append(prompt)
        return np.ones(image.shape[:2], bool)

    objects = ObjectRegistry()
    dog = objects.add("dog").object_id
    labels = np.zeros((8, 12), np.uint8)
    labels[2:6, 3:9] = dog
    entries = [
        Entry(5, Prompt(negative_points=((4, 3),)), "dog"),
        Entry(5, Prompt(boxes=((1, 1, 4, 4),)), "dog"),
        Entry(5, Prompt(points=((1, 1),), name="cat"), "cat"),
    ]
    marks = FirstMarks(None, [], entries, solve)
    frame = Frame(np.zeros((8, 12, 3), np.uint8), 5, 0.2, "00005")
    assert [mark.object_id for mark in marks.later(frame, objects, {dog}, labels)] == [dog, dog, objects.find("cat")]
    corrected, anew, new = seen
    assert isinstance(corrected.mask, np.ndarray)
    assert np.array_equal(corrected.mask, labels == dog)
    assert anew.mask is None, "a box marks the object anew"
    assert new.mask is None, "an object that is not visible has nothing to correct"
