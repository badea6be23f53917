"""Layouts of data sets, set files, and annotations in several kinds of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shls.runtime.errors import BadInput
from shls.runtime.evaluation.davis import find_sequences, read_truth
from shls.runtime.io.palette import PALETTE

SIZE = (8, 10)
LABELS = np.zeros(SIZE, np.uint8)
LABELS[1:4, 1:4] = 1
LABELS[5:7, 5:9] = 2


def write_sequence(root: Path, folder: str, count: int = 3) -> None:
    """Write as many frames and annotations as wanted below JPEGImages and Annotations."""
    for index in range(count):
        for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
            path = root / kind / folder / f"{index:05d}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(LABELS).save(path)


def listed(root: Path, text: str) -> list[str]:
    (root / "set.txt").write_text(text)
    return [sequence.name for sequence in find_sequences(root, root / "set.txt")]


@pytest.mark.parametrize("below", ["", "480p/", "1080p/"])
def test_layouts(tmp_path: Path, below: str) -> None:
    write_sequence(tmp_path, f"{below}bear")
    (tmp_path / "JPEGImages" / ".cache").mkdir()
    (tmp_path / "JPEGImages" / "notes.txt").touch()
    (tmp_path / "set.txt").write_text("bear")
    (sequence,) = find_sequences(tmp_path, tmp_path / "set.txt")
    assert sequence.images == tmp_path / "JPEGImages" / below / "bear"
    assert [path.name for path in sequence.files] == ["00000.jpg", "00001.jpg", "00002.jpg"]
    assert sequence.truths == {i: tmp_path / "Annotations" / below / "bear" / f"{i:05d}.png" for i in range(3)}
    assert sequence.notes == ()


def test_480p_is_taken_of_several_resolutions(tmp_path: Path) -> None:
    write_sequence(tmp_path, "480p/bear")
    write_sequence(tmp_path, "1080p/bear")
    assert listed(tmp_path, "bear") == ["bear"]
    (tmp_path / "JPEGImages/480p").rename(tmp_path / "JPEGImages/720p")
    with pytest.raises(
        BadInput, match=r"JPEGImages: no sequence of the set found \(got 2 folders, expected a folder bear"
    ):
        listed(tmp_path, "bear")


def test_set_files(tmp_path: Path) -> None:
    write_sequence(tmp_path, "480p/bear")
    write_sequence(tmp_path, "480p/ant")
    assert listed(tmp_path, "# animals\n\nbear # large\n  ant\nbear\n") == ["bear", "ant"]
    assert listed(tmp_path, "\ufeffbear\r\n") == ["bear"]


def test_lists_of_davis_2016(tmp_path: Path) -> None:
    write_sequence(tmp_path, "480p/bear")
    write_sequence(tmp_path, "480p/ant")
    write_sequence(tmp_path, "1080p/ant", 5)
    lines = [
        f"/JPEGImages/480p/{name}/{index:05d}.jpg /Annotations/480p/{name}/{index:05d}.png"
        for name in ("bear", "ant")
        for index in range(3)
    ]
    (tmp_path / "set.txt").write_text("\n".join(lines))
    sequences = find_sequences(tmp_path, tmp_path / "set.txt")
    assert [(sequence.name, len(sequence.truths)) for sequence in sequences] == [("bear", 3), ("ant", 3)]
    assert listed(tmp_path, "JPEGImages/1080p/ant/00000.jpg\tAnnotations/1080p/ant/00000.png\nbear") == ["ant", "bear"]


def test_annotations_of_no_image_are_counted(tmp_path: Path) -> None:
    write_sequence(tmp_path, "bear")
    for name in ("00017.png", "00018.png", "._00001.png", "notes.txt"):
        (tmp_path / "Annotations/bear" / name).touch()
    (tmp_path / "set.txt").write_text("bear")
    (sequence,) = find_sequences(tmp_path, tmp_path / "set.txt")
    assert list(sequence.truths) == [0, 1, 2]
    assert sequence.notes == ("2 annotations match no image and are left out, such as 00017.png",)


def test_stray_files_are_no_frames(tmp_path: Path) -> None:
    write_sequence(tmp_path, "bear")
    for name in ("cover.jpg", "._00001.jpg", ".DS_Store", "notes.txt"):
        (tmp_path / "JPEGImages/bear" / name).touch()
    (tmp_path / "set.txt").write_text("bear")
    (sequence,) = find_sequences(tmp_path, tmp_path / "set.txt")
    assert [path.name for path in sequence.files] == ["00000.jpg", "00001.jpg", "00002.jpg"]
    assert sequence.notes == ("1 images with unlike names are left out, such as cover.jpg",)


def test_images_without_a_common_pattern_are_all_frames(tmp_path: Path) -> None:
    write_sequence(tmp_path, "bear")
    for number, name in enumerate("abc"):
        for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
            (tmp_path / kind / f"bear/{number:05d}.{suffix}").rename(tmp_path / kind / f"bear/{name}.{suffix}")
    (tmp_path / "set.txt").write_text("bear")
    (sequence,) = find_sequences(tmp_path, tmp_path / "set.txt")
    assert [path.stem for path in sequence.files] == ["a", "b", "c"]
    assert sequence.notes == ()


def test_what_is_missing(tmp_path: Path) -> None:
    write_sequence(tmp_path, "480p/bear")
    with pytest.raises(BadInput, match=r"nowhere\.txt: cannot be read as a list of sequences"):
        find_sequences(tmp_path, tmp_path / "nowhere.txt")
    with pytest.raises(BadInput, match=r"sequence cat: there is no folder .*JPEGImages/480p/cat"):
        listed(tmp_path, "bear\ncat")
    for text in ("", " \n", "# nothing\n"):
        with pytest.raises(BadInput, match="is empty"):
            listed(tmp_path, text)
    for path in (tmp_path / "Annotations/480p/bear").iterdir():
        path.rename(path.with_name(f"mask{path.name}"))
    with pytest.raises(BadInput, match="sequence bear: no annotation for 3 images"):
        listed(tmp_path, "bear")
    (tmp_path / "set.txt").write_text("bear")
    with pytest.raises(BadInput, match=r"JPEGImages: no sequence of the set found \(got no such folder"):
        find_sequences(tmp_path / "elsewhere", tmp_path / "set.txt")


def picture_of(kind: str) -> tuple[Image.Image, np.ndarray]:
    """Draw a picture of one kind, and the ids that it means."""
    void = LABELS.copy()
    void[0] = 255
    palette = Image.fromarray(void)
    palette.putpalette(PALETTE.tobytes())
    return {
        "palette with void": (palette, LABELS),
        "palette in colours": (Image.fromarray(PALETTE[void]), LABELS),
        "palette in colours and alpha": (Image.fromarray(PALETTE[LABELS]).convert("RGBA"), LABELS),
        "grey ids": (Image.fromarray(LABELS), LABELS),
        "grey ids of 16 bits": (Image.fromarray(LABELS.astype(np.uint16)), LABELS),
        "black and white": (Image.fromarray((LABELS > 0).astype(np.uint8) * 255), LABELS > 0),
        "black and white in colours": (Image.fromarray((LABELS > 0).astype(np.uint8) * 255).convert("RGB"), LABELS > 0),
        "one bit": (Image.fromarray(LABELS > 0), LABELS > 0),
        "black": (Image.new("RGB", SIZE[::-1]), np.zeros(SIZE)),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "palette with void",
        "palette in colours",
        "palette in colours and alpha",
        "grey ids",
        "grey ids of 16 bits",
        "black and white",
        "black and white in colours",
        "one bit",
        "black",
    ],
)
def test_kinds_of_annotations(tmp_path: Path, kind: str) -> None:
    picture, expected = picture_of(kind)
    picture.save(tmp_path / "truth.png")
    labels = read_truth(tmp_path / "truth.png", SIZE)
    assert labels.dtype == np.uint8
    assert labels.tolist() == expected.astype(int).tolist()


def test_annotations_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "truth.png"
    with pytest.raises(BadInput, match=r"truth\.png: annotation cannot be read \(No such file"):
        read_truth(path, SIZE)
    path.write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"annotation cannot be read \(not a readable picture\)"):
        read_truth(path, SIZE)
    Image.fromarray(LABELS).save(path)
    with pytest.raises(BadInput, match="got 10x8, expected 9x8"):
        read_truth(path, (8, 9))
    Image.fromarray(LABELS.astype(np.uint16) * 300).save(path)
    with pytest.raises(BadInput, match=r"object ids are too large \(got 600"):
        read_truth(path, SIZE)
    colours = PALETTE[LABELS]
    colours[2, 3] = (1, 2, 3)
    Image.fromarray(colours).save(path)
    with pytest.raises(BadInput, match=r"a colour is no object id \(got \(1, 2, 3\) at 3,2"):
        read_truth(path, SIZE)


def test_a_list_of_the_data_set_is_found_by_its_name(tmp_path: Path) -> None:
    write_sequence(tmp_path, "480p/bear")
    for year in ("2016", "2017"):
        (tmp_path / "ImageSets" / year).mkdir(parents=True)
    (tmp_path / "ImageSets/2017/val.txt").write_text("bear")
    assert [sequence.name for sequence in find_sequences(tmp_path, Path("val.txt"))] == ["bear"]
    (tmp_path / "ImageSets/2016/val.txt").write_text("bear")
    with pytest.raises(BadInput, match=r"val\.txt: several lists have this name .*2016/val\.txt, .*2017/val\.txt"):
        find_sequences(tmp_path, Path("val.txt"))
