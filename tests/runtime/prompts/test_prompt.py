"""Prompts as text: what is read, what is refused, and boxes and points against the frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.prompts.first_frame import first_mask
from shls.runtime.prompts.prompt import Prompt, clip_box, parse_box, parse_object, parse_point, pixel_of

SIZE = (240, 320)


def test_parsing() -> None:
    assert parse_box("1, 2,30,40") == (1, 2, 30, 40)
    assert parse_box("-10,62.5,124,68") == (-10, 62.5, 124, 68)
    assert parse_box("xyxy:46,62,114,130") == parse_box("xywh:46,62,68,68") == (46, 62, 68, 68)
    assert parse_point("5,6.5") == (5, 6.5)


@pytest.mark.parametrize(
    "text", ["", "46", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1 2 3 4", "nan,1,2,3", "1,2,inf,3", "yx:1,2,3,4"]
)
def test_box_that_cannot_be_read(text: str) -> None:
    words = (
        f"box '{text}': cannot be read (expected x,y,width,height: 4 numbers of pixels, with commas and without blanks"
    )
    with pytest.raises(BadInput) as caught:
        parse_box(text)
    assert str(caught.value).startswith(words)
    assert str(caught.value).endswith("Write --box 46,62,68,68")


def test_corners_that_cannot_be_read() -> None:
    with pytest.raises(BadInput, match=r"expected xyxy:left,top,right,bottom: 4 numbers"):
        parse_box("xyxy:1,2,3")


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "x,y", "1e999,2"])
def test_point_that_cannot_be_read(text: str) -> None:
    with pytest.raises(BadInput, match=f"point '{text}': cannot be read \\(expected x,y: 2 numbers"):
        parse_point(text)


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((46, 62, 68, 68), (46, 62, 68, 68)),
        ((-10, 62, 124, 68), (0, 62, 114, 68)),
        ((46.5, 62.2, 68, 68), (47, 62, 68, 68)),
        ((46.4, 61.5, 67.2, 68.4), (46, 62, 68, 68)),
        ((300, 200, 40, 80), (300, 200, 20, 40)),
        ((-1e9, -1e9, 3e9, 3e9), (0, 0, 320, 240)),
    ],
)
def test_boxes_are_rounded_and_clipped(box: tuple[float, ...], clipped: tuple[int, ...]) -> None:
    assert len(box) == 4
    assert clip_box(box, SIZE) == clipped


def test_a_box_mostly_outside_is_said(caplog: pytest.LogCaptureFixture) -> None:
    Prompt(boxes=((-30, 10, 70, 20),)).warn_if_outside(SIZE)
    assert caplog.text == ""
    first_mask(np.full((*SIZE, 3), 90, np.uint8), prompts=[Prompt(boxes=((300, 200, 400, 20),))])
    assert caplog.text.count("more than half") == 1
    assert "box 300,200,400,20: more than half of the box is outside the frame of 320x240" in caplog.text


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (5, 5, -2, 5), (-6, 0, 5, 5), (320, 0, 30, 5), (5, 5, 0.4, 9)])
def test_box_outside_or_empty(box: tuple[float, ...]) -> None:
    assert len(box) == 4
    with pytest.raises(BadInput, match=r"the box is empty or outside the frame .* expected x within 0 to 320"):
        clip_box(box, SIZE)


def test_points_belong_to_a_pixel() -> None:
    assert pixel_of((46.9, 62.0), SIZE) == (46, 62)
    assert pixel_of((319.99, 239.99), SIZE) == (319, 239)


@pytest.mark.parametrize("point", [(-1, 0), (-0.1, 0), (320, 0), (0, 240)])
def test_point_outside(point: tuple[float, float]) -> None:
    with pytest.raises(BadInput, match="the point is outside the frame"):
        pixel_of(point, SIZE)


def test_an_object_in_words() -> None:
    prompt = parse_object("name='big dog'  box=1,2,3,4 point=5,6 not=7,8 not=9,10 point=xx".replace("xx", "1,1"))
    assert prompt.name == prompt.label == "big dog"
    assert prompt.boxes == ((1, 2, 3, 4),)
    assert prompt.points == ((5, 6), (1, 1))
    assert prompt.negative_points == ((7, 8), (9, 10))
    assert prompt.mask is None
    assert parse_object("mask=a.png not=1,2").mask == Path("a.png")
    assert parse_object("point=1,2").label == "point 1,2"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing says where the object is"),
        ("name=dog", "nothing says where the object is"),
        ("not=1,2", "nothing says where the object is"),
        ("box=1,2,3", "box '1,2,3': cannot be read"),
        ("box=1, 2,3,4", "unknown word .got '2,3,4'"),
        ("colour=red point=1,2", "unknown word .got 'colour=red'"),
        ("46,62,68,68", "unknown word"),
        ("name= point=1,2", "unknown word"),
        ("name=a name=b point=1,2", "name is repeated"),
        ("mask=a mask=b", "mask is repeated"),
        ("name='dog point=1,2", "Close the quotes"),
    ],
)
def test_an_object_that_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse_object(text)


def test_a_prompt_says_where_the_object_is() -> None:
    with pytest.raises(BadInput, match=r"dog: nothing says where the object is \(got 1 negative points only"):
        Prompt("dog", negative_points=((1, 1),)).check(SIZE)
    with pytest.raises(BadInput, match=r"point 1,1: on the object and not on it"):
        Prompt(points=((1, 1),), negative_points=((1.5, 1.5),)).check(SIZE)
    with pytest.raises(BadInput, match="outside the frame"):
        Prompt(points=((1, 1),), negative_points=((1, 999),)).check(SIZE)


def test_a_mask_in_a_prompt() -> None:
    mask = np.zeros(SIZE, np.uint8)
    with pytest.raises(BadInput, match=r"the mask does not fit \(got shape \(240, 320\) with 0 pixels"):
        Prompt(mask=mask).drawn(SIZE)
    mask[5] = 3
    drawn = Prompt(mask=mask).drawn(SIZE)
    assert drawn is not None
    assert (drawn == (mask > 0)).all()
    with pytest.raises(BadInput, match=r"expected shape \(9, 9\)"):
        Prompt(mask=mask).drawn((9, 9))
    assert Prompt().drawn(SIZE) is None
