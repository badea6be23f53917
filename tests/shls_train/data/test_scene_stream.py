"""Clips from many shards: few are open, each comes, small ones are passed over, masks go with their stills."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls_train.data import scene_stream
from shls_train.data.clips import ClipSize
from shls_train.data.image_stream import ReadableStills
from shls_train.data.scene_stream import SceneStream
from shls_train.data.scenes import HELD_OUT
from shls_train.pseudo_labels.masks import PseudoMasks

SIZE = ClipSize(frames=2, height=48, width=64)


def write_shard(path: Path, count: int, colour: int) -> None:
    """Plain stills of one grey, as PNG."""
    with tarfile.open(path, "w") as tar:
        png = cv2.imencode(".png", np.full((40, 50, 3), colour, np.uint8))[1].tobytes()
        for number in range(count):
            member = tarfile.TarInfo(f"{number:03d}.png")
            member.size = len(png)
            tar.addfile(member, io.BytesIO(png))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three shards that one can tell apart, and a small one."""
    folder = tmp_path / "stills"
    folder.mkdir()
    for name, colour in (("a", 20), ("b", 120), ("c", 230)):
        write_shard(folder / f"{name}.tar", HELD_OUT, colour)
    write_shard(folder / "small.tar", 3, 70)
    return folder


def test_a_clip_is_of_one_shard_and_every_shard_comes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_from: list[str] = []
    inner = ReadableStills.__getitem__

    def watched(self: ReadableStills, index: int) -> np.ndarray:
        drawn_from.append(self.names[index].split("/")[0])
        return inner(self, index)

    monkeypatch.setattr(ReadableStills, "__getitem__", watched)
    scenes, seen = SceneStream(root, None, SIZE), set()
    for seed in range(20):
        drawn_from.clear()
        scenes.draw(np.random.default_rng(seed))
        assert len(set(drawn_from)) == 1
        seen |= set(drawn_from)
    assert seen == {"a", "b", "c"}


def test_the_same_seed_gives_the_same_clip_whatever_was_drawn_before(root: Path) -> None:
    one, other = (SceneStream(root, None, SIZE) for _ in range(2))
    for seed in range(4):
        other.draw(np.random.default_rng(seed))
    for held_out in (False, True):
        clips = [scenes.draw(np.random.default_rng(7), held_out) for scenes in (one, other)]
        np.testing.assert_array_equal(clips[0].frames, clips[1].frames)


def test_few_shards_are_open(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    inner = SceneStream._open
    monkeypatch.setattr(scene_stream, "OPEN", 1)
    monkeypatch.setattr(SceneStream, "_open", lambda self, shard: opened.append(shard) or inner(self, shard))
    scenes = SceneStream(root, None, SIZE)
    assert opened == [0], "the others when they come"
    for _ in range(3):
        scenes._from(1)
    assert opened == [0, 1]
    scenes._from(0)
    assert opened == [0, 1, 0]


def test_masks_go_with_their_stills(root: Path, tmp_path: Path) -> None:
    names = [f"{shard}/{number:03d}" for shard in "abc" for number in range(HELD_OUT)]
    names += [f"small/{number:03d}" for number in range(3)]
    folder = tmp_path / "masks"
    rows = "".join(f"{name},{0.9 if name.startswith('b') else 0.1}\n" for name in names)
    folder.mkdir()
    (folder / "index.csv").write_text("name,confidence\n" + rows)
    scenes = SceneStream(root, PseudoMasks(folder), SIZE)
    assert [len(scenes._from(shard)._confident[False]) for shard in range(3)] == [0, HELD_OUT - 1, 0]
    assert scenes.inputs["masks"] == len(names)


def test_masks_of_other_stills(root: Path, tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("name,confidence\none,0.9\n")
    with pytest.raises(BadInput, match=r"no mask of a/000\. Run `shls pseudo` on the same stills"):
        SceneStream(root, PseudoMasks(tmp_path), SIZE)


def test_too_few_stills(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", HELD_OUT - 1, 50)
    write_shard(tmp_path / "b.tar", HELD_OUT - 1, 50)
    with pytest.raises(BadInput, match=r"too few stills \(expected a folder or shard of at least 50\)"):
        SceneStream(tmp_path, None, SIZE)


def test_a_small_shard_gives_way_to_the_next(root: Path) -> None:
    scenes = SceneStream(root, None, SIZE)
    assert scenes._from(3) is scenes._from(0)
