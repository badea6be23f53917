"""First masks: numbers and names of the objects, overlaps, and too many or too large ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.masks import write_mask
from shls.runtime.prompts.first_frame import first_mask
from shls.runtime.prompts.prompt import Box, Prompt
from tests.runtime.prompts.scenes import scene


def boxed(*boxes: Box) -> list[Prompt]:
    return [Prompt(boxes=(box,)) for box in boxes]


def test_prompts_are_numbered_in_order_and_named() -> None:
    image, labels = scene((60, 60), (250, 170), (60, 190))
    prompts = [*boxed((25, 25, 70, 70)), Prompt("dog", boxes=((215, 135, 70, 70),)), Prompt("cat", points=((60, 190),))]
    found = first_mask(image, prompts=prompts)
    assert found.labels.dtype == np.uint8
    assert (found.labels == labels).mean() > 0.99
    assert found.names == {2: "dog", 3: "cat"}


def test_the_smaller_object_is_on_top() -> None:
    image = np.full((100, 100, 3), 90, np.uint8)  # flat: boxes stay boxes
    found = first_mask(image, prompts=boxed((40, 40, 10, 10), (20, 20, 50, 50))).labels
    assert (found == 1).sum() == 100
    assert (found == 2).sum() == 2400
    with pytest.raises(BadInput, match=r"object 1 \(box 20,20,50,50\): smaller objects hide the object wholly"):
        first_mask(image, prompts=boxed((20, 20, 50, 50), (20, 20, 50, 50)))


def test_first_mask_from_a_file(tmp_path: Path) -> None:
    image, labels = scene((60, 60))
    write_mask(tmp_path / "m.png", labels, {1: "dog"})
    found = first_mask(image, tmp_path / "m.png")
    assert (found.labels == labels).all()
    assert found.names == {1: "dog"}
    assert first_mask(image, found) is found
    with pytest.raises(BadInput, match="expected one of them"):
        first_mask(image, tmp_path / "m.png", [Prompt(points=((1, 1),))])


def test_nothing_or_too_much_is_marked() -> None:
    image, _ = scene()
    with pytest.raises(BadInput, match=r"wrong number \(got 0, expected 1 to 254\)"):
        first_mask(image)
    with pytest.raises(BadInput, match=r"wrong number \(got 255,"):
        first_mask(image, prompts=[Prompt(points=((1, 1),))] * 255)


def test_a_bad_prompt_is_refused_before_any_is_solved() -> None:
    def solve(image: np.ndarray, prompt: Prompt) -> np.ndarray:
        raise AssertionError(f"solved {prompt} in {image.shape}")

    with pytest.raises(BadInput, match="outside the frame"):
        first_mask(scene()[0], prompts=boxed((1, 1, 9, 9), (400, 1, 9, 9)), solve=solve)


def test_another_solver_can_take_the_place_of_grab_cut() -> None:
    def solve(image: np.ndarray, prompt: Prompt) -> np.ndarray:
        found = np.zeros(image.shape[:2], bool)
        found[int(prompt.points[0][1])] = True
        return found

    found = first_mask(scene()[0], prompts=[Prompt("row", points=((0, 7),))], solve=solve)
    assert np.flatnonzero(found.labels.any(1)).tolist() == [7]


def test_an_object_without_a_pixel_is_refused() -> None:
    image, labels = scene((60, 60))
    with pytest.raises(BadInput, match=r"object 1 \(dog\): nothing was found"):
        first_mask(image, prompts=[Prompt("dog", boxes=((200, 200, 20, 20),), mask=labels)])


@pytest.mark.parametrize(("rows", "said"), [(95, True), (89, False)])
def test_a_mask_of_nearly_everything_is_said(
    rows: int, said: bool, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    labels = np.zeros((100, 60), np.uint8)
    labels[:rows] = 1
    write_mask(tmp_path / "m.png", labels)
    first_mask(np.zeros((100, 60, 3), np.uint8), tmp_path / "m.png")
    assert (
        "the mask covers 95 % of the frame. If the object is the other part, invert the mask" in caplog.text
    ) is said
