"""Each format, read by the reader that its users have: the same masks come back."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import cv2
import numpy as np
import pytest

from shls.runtime.formats.convert import convert
from shls.runtime.formats.results import Results, read_results
from shls.runtime.io.json_sink import JsonLinesSink
from shls.runtime.io.masks import read_objects, write_mask
from shls.runtime.io.objects import NamedMask, ObjectTable
from shls.runtime.types import Frame, Mask

SIZE = 64, 96
FRAMES = 4


def labels_of(index: int) -> np.ndarray:
    """Object 1 is a disc with a hole, object 2 a box that is hidden in frame 2 and in two parts in frame 3."""
    labels = np.zeros(SIZE, np.uint8)
    cv2.circle(labels, (30 + 3 * index, 30), 14, 1, -1)
    cv2.circle(labels, (30 + 3 * index, 30), 5, 0, -1)
    if index != 2:
        labels[40:55, 60:80] = 2
    if index == 3:
        labels[40:55, 68:72] = 0
    return labels


@pytest.fixture(scope="module")
def truth() -> list[np.ndarray]:
    return [labels_of(index) for index in range(FRAMES)]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, truth: list[np.ndarray]) -> Path:
    """The frames of the results, as a folder of images."""
    folder = tmp_path_factory.mktemp("video") / "clip"
    folder.mkdir()
    for index, labels in enumerate(truth):
        image = np.dstack([40 * labels, np.full(SIZE, 30 * index, np.uint8), 90 * labels])
        cv2.imwrite(str(folder / f"{index:05d}.png"), image[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, truth: list[np.ndarray]) -> Results:
    """JSON lines as a run writes them, with names."""
    path = tmp_path_factory.mktemp("results") / "clip.jsonl"
    table = ObjectTable()
    table.add(NamedMask(truth[0], {1: "dog", 2: "cat"}))
    with JsonLinesSink(path, table) as sink:
        for index, labels in enumerate(truth):
            image = np.zeros((*SIZE, 3), np.uint8)
            sink.write(Frame(image, index, index / 25, f"{index:05d}"), Mask(labels, {1: 0.9, 2: 0.75 * (index != 2)}))
    return read_results(path)


def written(results: Results, to: str, tmp_path: Path, video: Path | None = None) -> Path:
    out = tmp_path / to
    convert([results], to, out, [str(video)] if video else [])
    assert [one.name for one in tmp_path.iterdir()] == [to], "nothing unfinished is left"
    return out


def test_json_lines_are_read_back(results: Results, truth: list[np.ndarray]) -> None:
    assert [frame.index for frame in results] == list(range(FRAMES))
    assert all(np.array_equal(frame.labels, labels) for frame, labels in zip(results, truth, strict=True))
    assert {label: one.name for label, one in results.objects.items()} == {1: "dog", 2: "cat"}
    assert results.fps == pytest.approx(25)
    assert [frame.scores[2] for frame in results] == [0.75, 0.75, 0, 0.75]


def test_palette_masks_are_read_back(tmp_path: Path, truth: list[np.ndarray]) -> None:
    for index, labels in enumerate(truth):
        write_mask(tmp_path / f"{index:05d}.png", labels, {1: "dog", 2: "cat"})
    found = read_results(tmp_path, "clip")
    assert all(np.array_equal(frame.labels, labels) for frame, labels in zip(found, truth, strict=True))
    assert [one.name for one in found.objects.values()] == ["dog", "cat"]


def test_coco_by_pycocotools(results: Results, tmp_path: Path, truth: list[np.ndarray]) -> None:
    from pycocotools.coco import COCO

    coco = COCO(str(written(results, "coco", tmp_path) / "annotations.json"))
    assert {one["name"] for one in coco.loadCats(coco.getCatIds())} == {"dog", "cat"}
    assert len(coco.getImgIds()) == FRAMES
    for image in coco.loadImgs(coco.getImgIds()):
        found = np.zeros(SIZE, np.uint8)
        for one in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
            inside = coco.annToMask(one)
            assert one["area"] == inside.sum()
            assert one["bbox"] == list(cv2.boundingRect(inside))
            found[inside > 0] = one["track_id"]
        assert np.array_equal(found, truth[image["frame_index"]])


def test_coco_by_supervision(results: Results, tmp_path: Path, video: Path, truth: list[np.ndarray]) -> None:
    sv = pytest.importorskip("supervision", reason="the package supervision is not installed")
    out = written(results, "coco", tmp_path, video)
    data = sv.DetectionDataset.from_coco(str(out), str(out / "annotations.json"), force_masks=True)
    assert sorted(data.classes) == ["cat", "dog"]
    assert len(data) == FRAMES
    for path, image, found in data:
        labels = np.zeros(SIZE, np.uint8)
        for inside, name in zip(found.mask, found.class_id, strict=True):
            labels[inside] = 1 if data.classes[name] == "dog" else 2
        assert np.array_equal(labels, truth[int(Path(path).stem)])
        assert image.shape == (*SIZE, 3)


def test_coco_by_our_own_reader(results: Results, tmp_path: Path, truth: list[np.ndarray]) -> None:
    found = read_objects(Path(f"{written(results, 'coco', tmp_path)}/annotations.json#00003"), SIZE)
    assert np.array_equal(found.labels, truth[3])
    assert found.names == {1: "dog", 2: "cat"}


def test_youtube_vis_by_trackeval(
    results: Results, tmp_path: Path, truth: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    trackeval = pytest.importorskip("trackeval", reason="the package trackeval is not installed")
    out = tmp_path / "gt/youtube_vis_all"
    convert([results], "youtube-vis", out)
    content = json.loads((out / "instances.json").read_text())
    (tmp_path / "trackers/youtube_vis_all/ours/data").mkdir(parents=True)
    keys = ("video_id", "category_id", "segmentations", "score")
    predicted = [{key: one[key] for key in keys} | {"segmentations": [None] * FRAMES} for one in content["annotations"]]
    (tmp_path / "trackers/youtube_vis_all/ours/data/results.json").write_text(json.dumps(predicted))
    monkeypatch.setattr(np, "float", float, raising=False)
    settings = {"GT_FOLDER": f"{tmp_path}/gt/", "TRACKERS_FOLDER": f"{tmp_path}/trackers/"}
    settings |= {"SPLIT_TO_EVAL": "all", "TRACKERS_TO_EVAL": ["ours"], "PRINT_CONFIG": False}
    data = trackeval.datasets.YouTubeVIS(settings)
    raw = data.get_raw_seq_data("ours", "clip")
    assert raw["num_timesteps"] == FRAMES
    from pycocotools import mask as coco_mask

    for index, (ids, shapes) in enumerate(zip(raw["gt_ids"], raw["gt_dets"], strict=True)):
        labels = np.zeros(SIZE, np.uint8)
        for number, shape in zip(ids, shapes, strict=True):
            labels[coco_mask.decode(shape) > 0] = number
        assert np.array_equal(labels, truth[index])


def test_yolo_by_ultralytics(results: Results, tmp_path: Path, video: Path, truth: list[np.ndarray]) -> None:
    reader = pytest.importorskip("ultralytics.data.utils", reason="the package ultralytics is not installed")
    out = written(results, "yolo", tmp_path, video)
    for index in range(FRAMES):
        image = out / f"images/train/clip_{index:05d}.jpg"
        label = out / f"labels/train/clip_{index:05d}.txt"
        found = reader.verify_image_label((str(image), str(label), "", False, 2, 0, 0, False))
        assert found[0] == str(image), found[-1]
        assert found[-2] == 0, "no file is corrupt"
        for number, segment in zip(found[1][:, 0], found[3], strict=True):
            drawn = reader.polygon2mask(SIZE, [(segment * SIZE[::-1]).ravel()])
            assert_nearly(drawn, truth[index] == number + 1, exact=index < 3 and number == 1)


def test_yolo_by_supervision(results: Results, tmp_path: Path, video: Path, truth: list[np.ndarray]) -> None:
    sv = pytest.importorskip("supervision", reason="the package supervision is not installed")
    out = written(results, "yolo", tmp_path, video)
    data = sv.DetectionDataset.from_yolo(
        str(out / "images/train"), str(out / "labels/train"), str(out / "data.yaml"), force_masks=True
    )
    assert data.classes == ["dog", "cat"]
    assert len(data) == FRAMES
    for path, _, found in data:
        index = int(Path(path).stem[-5:])
        for inside, number in zip(found.mask, found.class_id, strict=True):
            assert_nearly(inside, truth[index] == number + 1, exact=index < 3 and number == 1)


def assert_nearly(found: np.ndarray, truth: np.ndarray, exact: bool) -> None:
    """A mask with holes or of several parts gains the lines between its contours, and loses nothing."""
    found = found > 0
    assert not (truth & ~found).any()
    assert np.count_nonzero(found & ~truth) <= (0 if exact else 12)


def test_davis_by_our_evaluation_and_by_the_benchmark(results: Results, tmp_path: Path, video: Path) -> None:
    from vos_benchmark.benchmark import benchmark

    from shls.runtime.evaluation.davis import find_sequences

    out = written(results, "davis", tmp_path, video)
    found = find_sequences(out, out / "ImageSets/2017/val.txt")
    assert [len(one.files) for one in found] == [FRAMES]
    assert [len(one.truths) for one in found] == [FRAMES]
    masks = str(out / "Annotations/480p")
    scores = benchmark([masks], [masks], strict=True, num_processes=1, verbose=False, skip_first_and_last=False)
    assert scores[0] == [100.0]


def test_youtube_vos_lists_the_visible_frames(results: Results, tmp_path: Path, truth: list[np.ndarray]) -> None:
    out = written(results, "youtube-vos", tmp_path)
    objects = json.loads((out / "meta.json").read_text())["videos"]["clip"]["objects"]
    assert objects["2"] == {"category": "cat", "frames": ["00000", "00001", "00003"]}
    assert objects["1"]["frames"] == [f"{index:05d}" for index in range(FRAMES)]
    for index, labels in enumerate(truth):
        assert np.array_equal(read_objects(out / f"Annotations/clip/{index:05d}.png", SIZE).labels, labels)


def test_mots_by_trackeval(results: Results, tmp_path: Path, truth: list[np.ndarray]) -> None:
    trackeval = pytest.importorskip("trackeval", reason="the package trackeval is not installed")
    from pycocotools import mask as coco_mask

    out = written(results, "mots", tmp_path)
    base = trackeval.datasets._base_dataset._BaseDataset
    lines, _ = base._load_simple_text_file(str(out / "clip.txt"), is_zipped=False)
    for index, labels in enumerate(truth):
        found = np.zeros(SIZE, np.uint8)
        for _, number, kind, height, width, code in lines.get(str(index), []):
            inside = coco_mask.decode({"size": [int(height), int(width)], "counts": code.encode()})
            assert int(number) // 1000 == int(kind)
            found[inside > 0] = int(number) % 1000
        assert np.array_equal(found, labels)


def test_labelme_by_labelme(results: Results, tmp_path: Path, video: Path, truth: list[np.ndarray]) -> None:
    labelme = pytest.importorskip("labelme._label_file", reason="the package labelme is not installed")
    out = written(results, "labelme", tmp_path, video)
    for index, labels in enumerate(truth):
        content = labelme.read_label_file(str(out / f"clip/{index:05d}.json"))
        found = np.zeros(SIZE, np.uint8)
        for shape in content.shapes:
            (left, top), (right, bottom) = shape["points"]
            part = found[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
            part[shape["mask"]] = shape["group_id"]
            assert shape["label"] == {1: "dog", 2: "cat"}[shape["group_id"]]
        assert np.array_equal(found, labels)


def test_labelme_by_our_own_reader(results: Results, tmp_path: Path, truth: list[np.ndarray]) -> None:
    found = read_objects(written(results, "labelme", tmp_path) / "clip/00003.json", SIZE)
    assert np.array_equal(found.labels, truth[3])


def test_cvat_by_its_own_decoder(results: Results, tmp_path: Path, truth: list[np.ndarray]) -> None:
    masks = pytest.importorskip("cvat_sdk.masks", reason="the package cvat-sdk is not installed")
    root = Xml.parse(written(results, "cvat", tmp_path) / "clip.xml").getroot()
    assert [one.text for one in root.iter("name")][1:] == ["dog", "cat"]
    found = np.zeros((FRAMES, *SIZE), np.uint8)
    for number, track in enumerate(root.iter("track"), 1):
        for shape in track.iter("mask"):
            left, top, width, height = (int(shape.attrib[key]) for key in ("left", "top", "width", "height"))
            points = [float(run) for run in shape.attrib["rle"].split(",")]
            points += [left, top, left + width - 1, top + height - 1]
            inside = masks.decode_mask(points, image_width=SIZE[1], image_height=SIZE[0])
            assert masks.encode_mask(inside) == points, "its own encoder writes the same"
            if shape.attrib["outside"] == "0":
                found[int(shape.attrib["frame"])][inside] = number
    assert np.array_equal(found, np.stack(truth))


def test_label_studio_by_its_own_decoder(results: Results, tmp_path: Path, truth: list[np.ndarray]) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed")
    out = written(results, "label-studio", tmp_path)
    tasks = json.loads((out / "tasks.json").read_text())
    assert [one.attrib["value"] for one in Xml.parse(out / "interface.xml").getroot().iter("Label")] == ["dog", "cat"]
    for task, labels in zip(tasks, truth, strict=True):
        found = np.zeros(SIZE, np.uint8)
        for one in task["predictions"][0]["result"]:
            inside = brush.decode_rle(one["value"]["rle"]).reshape(*SIZE, 4)[..., 3] > 0
            found[inside] = 1 if one["value"]["brushlabels"] == ["dog"] else 2
        assert np.array_equal(found, labels)
