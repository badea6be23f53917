"""Tracking function for the agents of CVAT.

`cvat-cli function create-native shls --function-module shls.runtime.bridges.cvat -p device=str:cpu` registers the
function, `cvat-cli function run-agent` runs it.

Source: https://docs.cvat.ai/docs/api_sdk/sdk/auto-annotation/, `TrackingFunctionSpec`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from .._support.extras import require
from ..errors import BadInput
from ..prompts.prompt import Prompt
from ..segmenter import VideoSegmenter, open_segmenter

if TYPE_CHECKING:
    from cvat_sdk.auto_annotation import TrackableShape, TrackingFunctionSpec
    from PIL.Image import Image

TYPES = ("mask", "polygon", "rectangle")
"""Types of shapes that the function follows."""
PRECISION = 1.0
"""Largest distance of a polygon from the outline of its mask, pixels."""


def create(model: str | None = None, device: str = "auto", threads: int = 0) -> CvatTracker:
    """Open the tracking function; CVAT's agent calls this with the parameters of its option `-p`.

    Parameters
    ----------
    model, device, threads : see `shls.runtime.segmenter.open_segmenter`

    Raises
    ------
    MissingDependency
        If `cvat-sdk` is not installed.

    Examples
    --------
    >>> sorted(create(device="cpu").spec.supported_shape_types)  # doctest: +SKIP
    ['mask', 'polygon', 'rectangle']
    """
    require("cvat_sdk", "cvat")
    return CvatTracker(open_segmenter(model, threads, device=device))


class CvatTracker:
    """Tracking function of CVAT: each shape is followed by a segmenter of its own; the networks are shared.

    A rectangle is a prompt: the object in the rectangle is followed, and rectangles around the object are returned.

    Parameters
    ----------
    segmenter : its networks are used; the segmenter must stay open

    Examples
    --------
    >>> from PIL import Image
    >>> with open_segmenter(device="cpu") as segmenter:
    ...     CvatTracker(segmenter).preprocess_image(None, Image.new("L", (3, 2))).shape
    (2, 3, 3)
    """

    def __init__(self, segmenter: VideoSegmenter) -> None:
        self._segmenter = segmenter

    @property
    def spec(self) -> TrackingFunctionSpec:
        """Description of the function for CVAT: the types of shapes that the function follows."""
        from cvat_sdk.auto_annotation import TrackingFunctionSpec

        return TrackingFunctionSpec(supported_shape_types=set(TYPES))

    def preprocess_image(self, context: Any, image: Image) -> np.ndarray:  # noqa: ARG002
        """Convert an image to (H, W, 3) uint8 RGB."""
        return np.array(image.convert("RGB"))

    def init_tracking_state(self, context: Any, pp_image: np.ndarray, shape: TrackableShape) -> VideoSegmenter:  # noqa: ARG002
        """Start a segmenter with a shape.

        Raises
        ------
        BadInput
            If the shape has no pixels within the image, or nothing is found in a rectangle.
        """
        inside = self._inside(pp_image, shape)
        if not inside.any():
            raise BadInput(f"{shape.type}: no pixels within the image (got an empty shape). Draw the shape again")
        follower = VideoSegmenter(self._segmenter.session, self._segmenter.refiner, settings=self._segmenter.settings)
        follower.start(pp_image, inside.astype(np.uint8))
        return follower

    def track(self, context: Any, pp_image: np.ndarray, state: VideoSegmenter) -> TrackableShape | None:
        """Return the shape in the next image, of the type that was started with; None if the object is not visible."""
        from cvat_sdk.auto_annotation import TrackableShape

        inside = state.step(pp_image).labels > 0
        kind = context.original_shape_type
        points = _points(inside, kind) if inside.any() else []
        return TrackableShape(type=kind, points=points) if points else None

    def _inside(self, image: np.ndarray, shape: TrackableShape) -> np.ndarray:
        """Draw a shape, (H, W) bool."""
        height, width = image.shape[:2]
        if shape.type == "mask":
            from cvat_sdk.masks import decode_mask

            return decode_mask(shape.points, image_width=width, image_height=height)
        if shape.type == "polygon":
            drawn = np.zeros((height, width), np.uint8)
            cv2.fillPoly(drawn, [np.rint(np.reshape(shape.points, (-1, 2))).astype(np.int32)], 1)
            return drawn.astype(bool)
        (left, top), (right, bottom) = np.clip(np.reshape(shape.points, (2, 2)), 0, (width, height)).tolist()
        return self._segmenter.solve(image, Prompt(boxes=((left, top, right - left, bottom - top),)))


def _points(inside: np.ndarray, kind: str) -> list[float]:
    """Return a mask, (H, W) bool with a pixel, as the points of a shape; empty if too small for a polygon."""
    if kind == "mask":
        from cvat_sdk.masks import encode_mask

        return list(encode_mask(inside))
    if kind == "rectangle":
        left, top, width, height = cv2.boundingRect(inside.astype(np.uint8))
        return [float(value) for value in (left, top, left + width, top + height)]
    outlines, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = cv2.approxPolyDP(max(outlines, key=cv2.contourArea), PRECISION, True)
    return [float(value) for value in outline.ravel()] if len(outline) >= 3 else []
