"""Masks in JSON: COCO, labelme and the JSON lines of a run, with their names, and every damage."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from shls.runtime.errors import BadInput
from shls.runtime.io.masks import read_objects
from shls.runtime.io.rle import encode_rle

SIZE = (40, 60)
LEFT, RIGHT = [5, 5, 14, 5, 14, 24, 5, 24], [30, 10, 49, 10, 49, 19, 30, 19]
"""Polygons of two boxes: columns 5 to 14, rows 5 to 24; columns 30 to 49, rows 10 to 19."""


def boxes(left: int = 1, right: int = 2) -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    labels[5:25, 5:15], labels[10:20, 30:50] = left, right
    return labels


def write(folder: Path, content: Any) -> Path:
    path = folder / "m.json"
    path.write_text(json.dumps(content))
    return path


def coco(*annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    images = [{"id": 7, "file_name": "clip/00000.jpg", "height": 40, "width": 60}]
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    return {"images": images, "categories": categories, "annotations": list(annotations)} | more


def polygon(points: list[int], category: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": 7, "category_id": category, "segmentation": [points]} | more


def test_coco_polygons_with_category_names(tmp_path: Path) -> None:
    found = read_objects(write(tmp_path, coco(polygon(LEFT, 2), polygon(RIGHT, 1))), SIZE)
    assert (found.labels == boxes()).all()
    assert found.names == {1: "cat", 2: "dog"}


def test_coco_polygons_are_those_of_pycocotools_within_the_outline(tmp_path: Path) -> None:
    api = pytest.importorskip("pycocotools.mask")
    points = cv2.ellipse2Poly((30, 20), (21, 14), 30, 0, 360, 10).ravel().tolist()
    found = read_objects(write(tmp_path, coco(polygon(points))), SIZE).labels
    expected = api.decode(api.merge(api.frPyObjects([points], *SIZE)))
    outline = cv2.dilate(expected, np.ones((3, 3), np.uint8)) - cv2.erode(expected, np.ones((3, 3), np.uint8))
    assert (found[outline == 0] == expected[outline == 0]).all()


def test_coco_rle_in_both_codes(tmp_path: Path) -> None:
    plain = {
        "size": [40, 60],
        "counts": np.diff([0, *np.flatnonzero(np.diff(boxes(1, 0).T.ravel())) + 1, 2400]).tolist(),
    }
    packed = encode_rle(boxes(0, 1))
    content = coco(polygon([], segmentation=plain), polygon([], 2, segmentation=packed, iscrowd=1))
    assert (read_objects(write(tmp_path, content), SIZE).labels == boxes()).all()
    results = [{"image_id": 3, "segmentation": packed, "score": 0.5}]
    assert (read_objects(write(tmp_path, results), SIZE).labels == boxes(0, 1)).all()


def test_coco_tracks_are_objects(tmp_path: Path) -> None:
    content = coco(
        polygon(LEFT, attributes={"track_id": 300}), polygon(RIGHT, attributes={"track_id": 300}),
        polygon([50, 30, 55, 30, 55, 35, 50, 35], track_id=9),
        tracks=[{"id": 300, "name": "Rex"}],
    )  # fmt: skip
    found = read_objects(write(tmp_path, content), SIZE)
    assert (found.labels[:30] == boxes(1, 1)[:30]).all()
    assert found.labels[32, 52] == 2
    assert found.names == {1: "Rex", 2: "dog"}
    assert found.file_ids == {1: 300, 2: 9}


def test_the_image_of_a_coco_file_is_chosen(tmp_path: Path) -> None:
    images = [{"id": at, "file_name": f"{at:05d}.jpg", "height": 40, "width": 60} for at in (7, 8, 9)]
    path = write(tmp_path, coco(polygon(LEFT), polygon(RIGHT, image_id=8), images=images))
    with pytest.raises(BadInput, match=r"annotations of 2 images, expected one of 00007.jpg, .* '.*m.json#00007.jpg'"):
        read_objects(path, SIZE)
    for choice in ("00008", "00008.jpg", "8"):
        assert (read_objects(f"{path}#{choice}", SIZE).labels == boxes(0, 1)).all()
    with pytest.raises(BadInput, match="the image is not clear"):
        read_objects(f"{path}#00077", SIZE)
    only = write(tmp_path, coco(polygon(RIGHT, image_id=8), images=images))
    assert (read_objects(only, SIZE).labels == boxes(0, 1)).all()


def test_the_smaller_object_is_on_top_and_a_hidden_one_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = [0, 0, 59, 0, 59, 39, 0, 39]
    content = coco(polygon(LEFT), polygon(whole, 2), polygon(LEFT), polygon([1, 2], segmentation=[]))
    found = read_objects(write(tmp_path, content), SIZE)
    assert found.labels[10, 10] == 3
    assert found.labels[0, 0] == 2
    assert found.names == {2: "cat", 3: "dog"}
    assert "object dog is hidden by smaller objects and is left out" in caplog.text
    assert "annotation 1 has no segmentation and is left out" in caplog.text


def shape(points: list[Any], label: str = "dog", kind: str = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None} | more


def pairs(flat: list[int]) -> list[list[int]]:
    return [list(pair) for pair in zip(flat[::2], flat[1::2], strict=True)]


def test_labelme_shapes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture = io.BytesIO()
    Image.fromarray(np.ones((10, 20), np.uint8) * 255).save(picture, "PNG")
    shapes = [
        shape(pairs(LEFT), "dog"),
        shape([[30, 10], [49, 19]], "a mask", "mask", mask=base64.b64encode(picture.getvalue()).decode()),
        shape([[20, 30], [25, 36]], "box", "rectangle"),
        shape([[55, 30], [55, 33]], "wheel", "circle"),
        shape([[1, 1], [3, 3]], "a line", "line"),
    ]
    found = read_objects(write(tmp_path, {"shapes": shapes, "imageHeight": 40, "imageWidth": 60}), SIZE)
    expected = boxes()
    expected[30:37, 20:26] = 3
    cv2.circle(expected, (55, 30), 3, 4, -1)
    assert (found.labels == expected).mean() > 0.998
    assert found.names == {1: "dog", 2: "a mask", 3: "box", 4: "wheel"}
    assert "shape 4 is a line, which has no area, and is left out" in caplog.text


def test_labelme_groups_are_objects_and_equal_labels_are_not(tmp_path: Path) -> None:
    shapes = [shape(pairs(LEFT)), shape(pairs(RIGHT))]
    found = read_objects(write(tmp_path, {"shapes": shapes}), SIZE)
    assert (found.labels == boxes()).all()
    assert found.names == {1: "dog", 2: "dog"}
    grouped = [one | {"group_id": 4} for one in shapes]
    assert (read_objects(write(tmp_path, {"shapes": grouped}), SIZE).labels == boxes(1, 1)).all()


def line(frame: int, *objects: dict[str, Any]) -> str:
    return json.dumps({"frame": frame, "time": 0.0, "objects": list(objects)}) + "\n"


def entry(object_id: int, mask: np.ndarray, **more: Any) -> dict[str, Any]:
    return {"id": object_id, "area": int(mask.sum()), "rle": encode_rle(mask)} | more


def test_json_lines_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "objects.jsonl"
    first = line(0, entry(4, boxes(1, 0), name="Rex"), entry(9, boxes(0, 1)), entry(12, boxes(0, 0), lost=True))
    path.write_text(first + line(5, entry(300, boxes(1, 0), name="Rex"), entry(2, boxes(0, 1))))
    found = read_objects(path, SIZE)
    assert (found.labels == boxes(4, 9)).all()
    assert found.names == {4: "Rex"}
    assert found.file_ids == {}
    for later in (read_objects(path, SIZE, frame=5), read_objects(f"{path}#5", SIZE)):
        assert (later.labels == boxes(1, 2)).all()
        assert later.names == {1: "Rex"}
        assert later.file_ids == {1: 300}
    with pytest.raises(
        BadInput, match=r"no line for this frame \(got frame 3, expected one of 0, 5\)\. .*objects.jsonl#0"
    ):
        read_objects(path, SIZE, frame=3)
    path.write_text(first)
    assert (read_objects(path, SIZE, frame=3).labels == boxes(4, 9)).all(), "one line needs no choice"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read as a mask"),
        ("[]", "got neither annotations, shapes nor objects"),
        ("[3]", "got neither annotations"),
        ('{"a": 1}', "got neither annotations"),
        ("[" * 99999, "nested too deeply"),
        (coco(), "the file has no object"),
        (coco(polygon([1, 2, 3, 4])), "a polygon of 4 numbers; three points or more"),
        (coco(polygon([1, 2, 3, 4, 5])), "cannot be read as a mask"),
        (coco(polygon(["a"] * 6)), "cannot be read as a mask"),
        (coco(polygon([float("nan")] * 6)), "a polygon of 6 numbers"),
        (coco(polygon([-9, -9, -5, -9, -5, -5])), "the file has no object"),
        (coco(polygon([], segmentation={"size": [40, 60], "counts": "55"})), "the runs do not fill the mask"),
        (coco(polygon([], segmentation={"size": [40, 60], "counts": [5, -1]})), "the runs do not fill the mask"),
        (coco(polygon([], segmentation={"size": [9, 9], "counts": "1"})), "another size than the frame"),
        (coco(polygon([], segmentation={"counts": "1"})), "KeyError: 'size'"),
        (coco(polygon([], segmentation=5)), "cannot be read as a mask"),
        (coco(polygon(LEFT), images=[{"id": 7, "height": 20, "width": 30}]), r"got 30x20, expected 60x40"),
        (coco(*[polygon([at % 60, 2, at % 60, 3, 9, 9], id=at) for at in range(255)]), r"too many objects \(got 255"),
        ({"shapes": [shape([[1, 1], [3, 3]], kind="mask", mask="AAAA")]}, "the picture of a shape is damaged"),
        ({"shapes": [shape([[1, 1], [3]])]}, "cannot be read as a mask"),
        ({"shapes": 3}, "cannot be read as a mask"),
        ({"shapes": [], "imageHeight": 4, "imageWidth": 4}, "got 4x4, expected 60x40"),
        ({"frame": 0, "objects": [{"id": 1}]}, "KeyError: 'rle'"),
        ({"objects": []}, "KeyError: 'frame'"),
    ],
)  # fmt: skip
def test_damaged_files(content: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(BadInput, match=words) as caught:
        read_objects(path, SIZE)
    assert str(path) in str(caught.value)


def test_vertices_far_outside_are_clipped(tmp_path: Path) -> None:
    path = write(tmp_path, coco(polygon([-1e300, -1e300, 1e300, -1e300, 1e300, 1e300, -1e300, 1e300])))
    assert read_objects(path, SIZE).labels.all()


def test_not_text(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(BadInput, match="cannot be read"):
        read_objects(tmp_path / "m.json", SIZE)
    with pytest.raises(BadInput, match="cannot be read as a mask"):
        read_objects(tmp_path / "absent.json#3", SIZE)
