"""The tracking function, run by the jobs of CVAT's own agent; only the server is absent."""

from __future__ import annotations

import importlib.util
from itertools import count

import numpy as np
import pytest
from PIL import Image

from shls.runtime.bridges import cvat
from shls.runtime.errors import BadInput, MissingDependency
from shls.runtime.evaluation.metrics import jaccard
from shls.runtime.segmenter import open_segmenter

pytest.importorskip("cvat_sdk", reason="the package cvat-sdk is not installed")
pytest.importorskip("cvat_cli", reason="the package cvat-cli is not installed")
from cvat_cli._internal import agent_driver_tracking as jobs
from cvat_cli._internal.agent import _worker_init
from cvat_cli._internal.common import FunctionLoader
from cvat_sdk.auto_annotation import TrackableShape
from cvat_sdk.masks import decode_mask, encode_mask

HEIGHT, WIDTH = 96, 144


def truth(step: int, which: int) -> np.ndarray:
    """Two boxes: one moves to the right, one moves up."""
    inside = np.zeros((HEIGHT, WIDTH), bool)
    if which:
        inside[50 - 2 * step : 82 - 2 * step, 90:126] = True
    else:
        inside[12:48, 14 + 3 * step : 54 + 3 * step] = True
    return inside


def picture(step: int) -> Image.Image:
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    image += np.random.default_rng(0).integers(0, 12, image.shape, np.uint8)
    image[truth(step, 0)] = 230, 200, 40
    image[truth(step, 1)] = 40, 60, 220
    return Image.fromarray(image)


@pytest.fixture(scope="module", autouse=True)
def worker() -> None:
    """Prepare this process as the agent prepares its worker, with the option `-p device=str:cpu`."""
    loader = FunctionLoader("shls.runtime.bridges.cvat", None, {"device": "cpu"})
    numbers = count()
    _worker_init(loader, lambda: f"state {next(numbers)}")


def box(inside: np.ndarray) -> list[float]:
    rows, columns = np.nonzero(inside)
    return [float(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


def decoded(shape: TrackableShape) -> np.ndarray:
    return decode_mask(shape.points, image_width=WIDTH, image_height=HEIGHT)


def test_the_agent_accepts_the_spec() -> None:
    fields = jobs.AgentTrackingFunctionDriver.get_remote_function_fields(jobs.worker_current_function().spec)
    assert fields == {"supported_shape_types": ["mask", "polygon", "rectangle"]}


def test_two_masks_are_followed_in_turn_as_each_alone() -> None:
    shapes = [TrackableShape(type="mask", points=encode_mask(truth(0, which))) for which in (0, 1)]
    states = jobs._worker_job_init_tracking(1, picture(0), shapes)
    alone = []
    for which in (0, 1):
        with open_segmenter(device="cpu") as segmenter:
            segmenter.start(np.array(picture(0)), truth(0, which).astype(np.uint8))
            alone.append([segmenter.step(np.array(picture(step))).labels > 0 for step in (1, 2)])
    for step in (1, 2):
        found = jobs._worker_job_track(1, picture(step), states)
        for which in (0, 1):
            assert np.array_equal(decoded(found[which]), alone[which][step - 1])
            assert jaccard(decoded(found[which]), truth(step, which)) > 0.85


def test_polygons_and_rectangles_come_back_as_such() -> None:
    left, top, right, bottom = box(truth(0, 0))
    corners = [left, top, right - 1, top, right - 1, bottom - 1, left, bottom - 1]
    shapes = [
        TrackableShape(type="polygon", points=corners),
        TrackableShape(type="rectangle", points=box(truth(0, 1))),
    ]
    states = jobs._worker_job_init_tracking(1, picture(0), shapes)
    polygon, rectangle = jobs._worker_job_track(1, picture(1), states)
    assert (polygon.type, rectangle.type) == ("polygon", "rectangle")
    assert len(polygon.points) >= 6
    assert np.abs(np.reshape(polygon.points, (-1, 2)).max(0) - [right + 2, bottom - 1]).max() <= 4
    assert np.abs(np.subtract(rectangle.points, box(truth(1, 1)))).max() <= 4


def test_an_object_that_is_gone_gives_no_shape() -> None:
    shape = TrackableShape(type="mask", points=encode_mask(truth(0, 0)))
    states = jobs._worker_job_init_tracking(1, picture(0), [shape])
    empty = np.full((HEIGHT, WIDTH, 3), 90, np.uint8) + np.random.default_rng(0).integers(
        0, 12, (HEIGHT, WIDTH, 3), np.uint8
    )
    found = [jobs._worker_job_track(1, Image.fromarray(empty), states) for _ in range(2)]
    assert found[-1] == [None]


def test_an_empty_shape_is_refused() -> None:
    outside = TrackableShape(type="polygon", points=[500, 500, 510, 500, 510, 510])
    with pytest.raises(BadInput, match=r"polygon: no pixels within the image"):
        jobs._worker_job_init_tracking(1, picture(0), [outside])


@pytest.mark.parametrize(("kind", "pixels"), [("polygon", 1), ("polygon", 2)])
def test_too_few_pixels_for_a_polygon(kind: str, pixels: int) -> None:
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[5, 5 : 5 + pixels] = True
    assert cvat._points(inside, kind) == []


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match=r"cvat_sdk: not installed"):
        cvat.create()
