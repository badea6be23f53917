"""The stream of stills: its order, its memory, and what is wrong with shards."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io import image_collection as stills_module
from shls_train.data import image_stream as stream_module
from shls_train.data.image_stream import ReadableStills, StillStream


def shard(path: Path, first: int, count: int) -> None:
    """A tar of images whose red tells which they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for number in range(first, first + count):
            data = cv2.imencode(".png", np.full((4, 6, 3), (0, 0, number), np.uint8))[1].tobytes()
            member = tarfile.TarInfo(f"{number}.png")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Shards of 7, 5 and 4 stills, and 3 loose ones."""
    shard(tmp_path / "a.tar", 0, 7)
    shard(tmp_path / "deep" / "b.tar", 10, 5)
    shard(tmp_path / "c.tar", 20, 4)
    for number in range(30, 33):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((4, 6, 3), (0, 0, number), np.uint8))
    return tmp_path


@pytest.fixture(autouse=True)
def short_visits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "VISIT", 3)


def reds(stream: StillStream, positions: range) -> list[int]:
    return [int(stream.draw(position)[0].image[0, 0, 0]) for position in positions]


def test_each_shard_gives_all_its_stills_before_one_again(root: Path) -> None:
    drawn = reds(StillStream(root, 0), range(3 * 4 * 20))
    assert set(drawn) == {*range(7), *range(10, 15), *range(20, 24), *range(30, 33)}
    for first, count in ((0, 7), (10, 5), (20, 4), (30, 3)):
        of_shard = [red for red in drawn if first <= red < first + 10]
        for begin in range(0, len(of_shard) - count, count):
            assert len(set(of_shard[begin : begin + count])) == count
    visits = [{red // 10 for red in drawn[begin : begin + 3]} for begin in range(0, len(drawn), 3)]
    assert all(len(visit) == 1 for visit in visits)
    orders = [tuple(visit.copy().pop() for visit in visits[begin : begin + 4]) for begin in range(0, len(visits), 4)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders), "a round comes to every shard"
    assert len(set(orders)) > 1, "in another order each time"


def test_any_position_can_be_gone_to(root: Path) -> None:
    drawn = reds(StillStream(root, 5), range(40))
    assert reds(StillStream(root, 5), range(25, 40)) == drawn[25:]
    assert reds(StillStream(root, 6), range(40)) != drawn


def test_companions_come_from_the_same_shard(root: Path) -> None:
    stream = StillStream(root, 1)
    for position in range(30):
        together = [still.image[0, 0, 0] for still in stream.draw(position, 3)]
        assert len({red // 10 for red in together}) == 1
        assert len(set(together)) == 3


def test_only_a_few_indices_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[Path] = []
    read = stills_module.read_shard

    def counted(path: Path) -> tuple[list[tarfile.TarInfo], str]:
        alive.append(path)
        return read(path)

    for number in range(20):
        shard(tmp_path / f"{number:02}.tar", number, 4)
    monkeypatch.setattr(stills_module, "read_shard", counted)
    stream = StillStream(tmp_path, 0)
    assert not alive, "nothing is read before it is asked for"
    stream.draw(0)
    stream.draw(1)
    assert len(alive) == 1
    reds(stream, range(3 * 20))
    assert len(alive) == 20, "each shard is opened once a round"
    assert stream._opened.cache_info().currsize == stream_module.OPEN


def test_names_are_those_of_the_whole(root: Path) -> None:
    stream = StillStream(root, 0)
    names = {stream.draw(position)[0].name for position in range(3 * 4 * 5)}
    assert names == set(stills_module.Stills(root).names)


def test_too_few_stills(root: Path) -> None:
    StillStream(root, 0).require(19)
    with pytest.raises(BadInput, match="got 19, expected at least 20"):
        StillStream(root, 0).require(20)


def test_a_still_that_cannot_be_read_is_left_out(root: Path) -> None:
    (root / "31.png").write_bytes(b"no image")
    stream = StillStream(root, 0)
    drawn = reds(stream, range(3 * 4 * 4))
    assert 31 not in drawn
    assert drawn == reds(StillStream(root, 0), range(3 * 4 * 4))
    (message,) = stream.left_out.messages
    assert "31.png" in message


def test_a_shard_without_a_readable_still_is_left_out(root: Path) -> None:
    for number in range(30, 33):
        (root / f"{number}.png").write_bytes(b"")
    (root / "c.tar").write_bytes(b"no tar" * 1000)
    stream = StillStream(root, 0)
    assert set(reds(stream, range(3 * 4 * 20))) == {*range(7), *range(10, 15)}
    assert len(stream.left_out.messages) == 4
    stream.require(7 + 5 + 3)
    with pytest.raises(BadInput, match="got 15, expected at least 16"):
        stream.require(16)
    for path in (root / "a.tar", root / "deep" / "b.tar"):
        path.write_bytes(b"")
    with pytest.raises(BadInput, match="an empty shard"):
        reds(StillStream(root, 0), range(3 * 4))


def test_an_unreadable_still_is_not_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        cv2.imwrite(str(tmp_path / f"{number:02}.png"), np.full((4, 6, 3), (0, 0, number), np.uint8))
    monkeypatch.setattr(stream_module, "LEAST", 20)
    held_out = [still.name for still in StillStream(tmp_path, 0).held_out()]
    (tmp_path / f"{held_out[0]}.png").write_bytes(b"no image")
    assert [still.name for still in StillStream(tmp_path, 0).held_out()] == held_out[1:]


def test_at_random_access_the_next_one_takes_its_place(root: Path) -> None:
    whole = stills_module.Stills(root)
    index = whole.names.index("31")
    (root / "31.png").write_bytes(b"no image")
    stills = ReadableStills(root)
    np.testing.assert_array_equal(stills[index], whole[index + 1])
    np.testing.assert_array_equal(stills[index + 1], whole[index + 1])
    (root / "only").mkdir()
    (root / "only" / "1.png").write_bytes(b"no image")
    assert [message.split(":")[0] for message in stills.left_out.messages] == [str(root / "31.png")]
    with pytest.raises(BadInput, match="not a readable image"):
        ReadableStills(root / "only")[0]


def test_of_a_damaged_shard_the_rest_is_streamed(root: Path) -> None:
    path = root / "c.tar"
    content = bytearray(path.read_bytes())
    content[1024:1536] = b"?" * 512  # the header of the second image
    path.write_bytes(content)
    stream = StillStream(root, 0)
    drawn = set(reds(stream, range(3 * 4 * 4)))
    assert drawn & set(range(20, 24)) == {20, 22, 23}
    (message,) = stream.left_out.messages
    assert "c.tar: a damaged shard (got 3 images; 1024 of" in message


def test_places_without_stills(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        StillStream(tmp_path / "nothing", 0)
    with pytest.raises(BadInput, match="no images found"):
        StillStream(tmp_path, 0)


def test_collections_are_told_apart(root: Path) -> None:
    before = StillStream(root, 0).inputs
    assert before["shards"] == 4
    assert before["files"] == 6
    shard(root / "d.tar", 40, 1)
    assert StillStream(root, 0).inputs != before


def test_a_large_first_shard_keeps_some_out(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", 0, 255)
    shard(tmp_path / "b.tar", 0, 7)
    assert StillStream(tmp_path, 0).held_out() == [], "too few to spare any"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "LEAST", 200)
        stream = StillStream(tmp_path, 0)
        kept = {still.name for still in stream.held_out()}
        assert len(kept) == stream_module.HELD_OUT
        assert kept == {still.name for still in StillStream(tmp_path, 9).held_out()}
        drawn = {stream.draw(position)[0].name for position in range(3 * 2 * 100)}
        assert not kept & drawn
        assert len(drawn) == 255 - len(kept) + 7
