"""Inputs of `fuzz.py`: small valid files of each kind, and their mutations."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.io.masks import write_mask
from shls.runtime.models.engine_info import Machine, Sidecar, sidecar_path, write_sidecar
from shls.runtime.models.onnx_reader import read_any_contract

HEIGHT, WIDTH, FRAMES = 64, 96, 6
VIDEOS = {".mp4": "mpeg4", ".mkv": "mpeg4", ".avi": "mjpeg", ".mov": "mpeg4"}
TEXTS = ("prompts", "mask json", "uri", "set file", "manifest", "sidecar")
"""Kinds whose inputs are text; their values are replaced, too."""
VALUES = (
    "-1", "0", "1e999", "-1e999", "NaN", "null", "true", "[]", "{}", '""', '"\\u0000"', '"\\ud800"', "0.5",
    "99999999999999999999", "9" * 5000, "[" * 20_000, '"' + "a" * 5000 + '"', "2147483648", "\x00", "#", "%", ",", "/",
)  # fmt: skip
"""Texts that replace numbers, words and marks in text files."""
INTEGERS = (
    b"\x00" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80\x00\x00\x00",
    b"\x00\x01\x00\x00",
)

Seeds = dict[str, list[tuple[str, bytes]]]


def make_seeds(folder: Path) -> Seeds:
    """Write valid inputs into a folder and return them by kind, each with its file ending."""
    box = np.zeros((HEIGHT, WIDTH), np.uint8)
    box[16:48, 20:60] = 1
    write_mask(folder / "mask.png", box)
    texts = {kind: [(ending, text.encode()) for ending, text in written] for kind, written in _texts().items()}
    _sequences(folder, box)
    model = (ASSETS / "shls-edge.onnx").read_bytes()
    return {
        "video": [(ending, _video(folder / f"seed{ending}", codec)) for ending, codec in VIDEOS.items()]
        + [_animation(folder / "seed.gif"), _animation(folder / "seed.webp")],
        "image": [
            (ending, cv2.imencode(ending, _frame(0))[1].tobytes()) for ending in (".png", ".jpg", ".bmp", ".tiff")
        ],
        "mask": [(".png", (folder / "mask.png").read_bytes())]
        + [(ending, cv2.imencode(ending, box * 255)[1].tobytes()) for ending in (".png", ".jpg", ".bmp")],
        "onnx": [(".onnx", model)],
        **texts,
        "sidecar": [(".engine.json", _sidecar(folder / "seed.engine"))],
    }


def mutate(kind: str, seeds: Seeds, chance: random.Random) -> tuple[str, bytes]:
    """Draw a valid input of a kind and change it in one to four places."""
    ending, content = chance.choice(seeds[kind])
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if kind in TEXTS and chance.random() < 0.6:
            content = _replace_value(content, chance)
        else:
            content = _change_bytes(content, chance.choice(seeds[kind])[1], chance, tail=kind == "onnx")
    return ending, content


def _replace_value(content: bytes, chance: random.Random) -> bytes:
    """Replace a number, a quoted text, a word or a mark by an extreme value."""
    found = list(re.finditer(rb'-?[\d.]+|"[^"]*"|\w+|[^\w\s]', content))
    if not found:
        return content
    place = chance.choice(found)
    return content[: place.start()] + chance.choice(VALUES).encode() + content[place.end() :]


def _change_bytes(content: bytes, other: bytes, chance: random.Random, *, tail: bool) -> bytes:
    """Flip a bit, set an integer, truncate, delete, repeat, insert, or splice with another input."""
    size = len(content)
    at = chance.randrange(max(size - 6000, 0) if tail else 0, max(size, 1)) if size else 0
    length = min(int(2 ** chance.uniform(0, 12)), size - at)
    how = chance.randrange(7)
    if how == 0 and size:
        return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]
    if how == 1:
        return content[:at] + chance.choice(INTEGERS) + content[at + 4 :]
    if how == 2:
        return content[:at]
    if how == 3:
        return content[:at] + content[at + length :]
    if how == 4:
        return content[:at] + content[at : at + length] * 2 + content[at + length :]
    if how == 5:
        return content[:at] + chance.randbytes(max(length, 1)) + content[at:]
    return content[:at] + other[chance.randrange(max(len(other), 1)) :]


def _frame(index: int) -> np.ndarray:
    """Draw a frame with a square that moves."""
    frame = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    frame[16:48, 20 + 2 * index : 60 + 2 * index] = (30, 60, 220)
    return frame


def _video(path: Path, codec: str) -> bytes:
    """Encode a video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_frame(index), format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


def _animation(path: Path) -> tuple[str, bytes]:
    """Write an animated picture."""
    first, *rest = [Image.fromarray(_frame(index)) for index in range(FRAMES)]
    first.save(path, save_all=True, append_images=rest, duration=40)
    return path.suffix, path.read_bytes()


def _sequences(folder: Path, mask: np.ndarray) -> None:
    """Write the two sequences that the set files name."""
    for name in ("cup", "hand"):
        for path in (folder / "JPEGImages/480p" / name, folder / "Annotations/480p" / name):
            path.mkdir(parents=True)
        cv2.imwrite(str(folder / "JPEGImages/480p" / name / "00000.jpg"), _frame(0))
        write_mask(folder / "Annotations/480p" / name / "00000.png", mask)


def _sidecar(engine: Path) -> bytes:
    """Write the description of an engine."""
    contract = read_any_contract(ASSETS / "shls-edge.onnx")
    write_sidecar(Sidecar(contract, Machine("Orin", "8.7", "10.3.0"), "a.onnx", "0" * 64, "0" * 64), engine)
    return sidecar_path(engine).read_bytes()


def _texts() -> dict[str, list[tuple[str, str]]]:
    """Write valid inputs of the kinds of text."""
    prompts = [{"frame": 4, "point": [3, 4], "name": "dog"}, {"frame": 9, "remove": 2}]
    boxed = [{"frame": 2, "box": [1, 2, 30, 40]}]
    shape = {"label": "cup", "shape_type": "polygon", "points": [[10, 10], [40, 10], [40, 40]]}
    labelme = {"imageWidth": WIDTH, "imageHeight": HEIGHT, "imagePath": "a.jpg", "shapes": [shape]}
    segments = [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[10, 10, 40, 10, 40, 40]]}]
    runs = {"size": [HEIGHT, WIDTH], "counts": [700, 30, 5414]}
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [*segments, {"id": 2, "image_id": 1, "category_id": 1, "segmentation": runs}],
    }
    row = {"frame": 0, "time": 0.0, "objects": [{"id": 1, "visible": True, "box": [0, 0, 9, 9], "rle": runs}]}
    uris = (
        "file:///a/b.mp4#stream=1", "camera:0?width=640&height=480&fps=30", "0?width=640", "csi:0?fps=30",
        "rtsp://user:word@10.0.0.1:554/live?transport=tcp&latency=100", "udp://@239.0.0.1:1234", "frames/%04d.png",
        "https://example.com/a.m3u8?token=b", "xyxy:10,10,40,40", "10,10,30,30", "cup:box=1,2,30,40;point=5,6",
    )  # fmt: skip
    return {
        "prompts": [(".json", json.dumps(one)) for one in (prompts, boxed)],
        "mask json": [(".json", json.dumps(one)) for one in (coco, labelme)] + [(".jsonl", json.dumps(row) + "\n")],
        "uri": [("", uri) for uri in uris],
        "set file": [
            (".txt", "# a comment\ncup\nhand\n"),
            (".txt", "/JPEGImages/480p/cup/00000.jpg /Annotations/480p/cup/00000.png\n"),
        ],
        "manifest": [
            (".csv", 'video,box,output,start\na.mp4,"1,2,30,40",a,0\nb.mp4,"5,6,30,40",b,2\n'),
            (".tsv", "video\tmask\na.mp4\tmask.png\n"),
            (".jsonl", '{"video": "a.mp4", "box": "1,2,30,40", "camera": "north"}\n'),
            (".txt", "a.mp4\nb.mp4\n"),
        ],
    }
