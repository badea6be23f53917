"""A session: playing, seeking, marking, correcting and removing, on frames that are drawn."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.json_sink import JsonLinesSink
from shls.runtime.io.objects import NamedMask, ObjectTable
from shls.runtime.prompts.prompt import Prompt
from shls.runtime.prompts.timeline import Entry
from shls.runtime.server.drafts import MarkRequest, Stroke
from shls.runtime.server.session import Session
from tests.fake_server import SHIFT, Camera, Shifts, open_session

POINT = MarkRequest(points=((20.0, 30.0),), name="square")


def until(true: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "nothing changed in time"
        time.sleep(0.01)


def labels(session: Session) -> np.ndarray:
    assert session.player.shown is not None
    return session.player.shown.mask.labels


def index(session: Session) -> int:
    assert session.player.shown is not None
    return session.player.shown.frame.index


def left_of(session: Session, object_id: int = 1) -> int:
    return int(np.flatnonzero((labels(session) == object_id).any(0))[0])


def test_a_file_waits_at_its_first_frame_for_a_mark() -> None:
    with open_session() as session:
        session.pause().result()
        assert (session.player.state, index(session), labels(session).any()) == ("paused", 0, False)


def test_a_preview_is_not_followed_until_it_is_accepted() -> None:
    with open_session() as session:
        draft = session.preview(POINT).result()
        assert draft.mask.sum() == 81
        session.step().result()
        assert not labels(session).any()
        with pytest.raises(BadInput, match="nothing to accept"):
            session.accept().result()
        session.seek(0).result()
        session.preview(POINT).result()
        entry = session.accept("dog").result()
        assert (entry.object_id, entry.name, left_of(session)) == (1, "dog", 16)
        session.step().result()
        assert (index(session), left_of(session)) == (1, 16 + SHIFT)


def test_two_objects_of_one_frame_are_started_together() -> None:
    with open_session(segmenter=(segmenter := Shifts())) as session:
        session.mark(POINT).result()
        session.mark(MarkRequest(boxes=((50.0, 5.0, 10.0, 10.0),))).result()
        assert segmenter.log[-1] == ("start", 0, 1, 2)
        session.step().result()
        session.mark(MarkRequest(points=((70.0, 50.0),))).result()
        assert segmenter.log[-1] == ("add", 3)
        assert sorted(np.unique(labels(session)).tolist()) == [0, 1, 2, 3]


def test_the_end_of_a_file_stays_and_play_begins_again() -> None:
    with open_session(5) as session:
        session.mark(POINT).result()
        session.play().result()
        until(lambda: session.player.state == "ended")
        assert index(session) == 4
        session.play().result()
        until(lambda: session.player.state == "ended")
        assert left_of(session) == 16 + 4 * SHIFT


def test_a_looped_file_begins_again_with_its_marks() -> None:
    with open_session(4, loop=True, segmenter=(segmenter := Shifts())) as session:
        session.mark(POINT).result()
        session.play().result()
        until(lambda: segmenter.log.count(("start", 0, 1)) >= 2)
        assert session.player.state == "playing"


def test_seeking_shows_the_known_mask_and_goes_on_from_it() -> None:
    with open_session(segmenter=(segmenter := Shifts())) as session:
        session.mark(POINT).result()
        for _ in range(6):
            session.step().result()
        session.seek(3).result()
        assert (left_of(session), session.player.state) == (16 + 3 * SHIFT, "paused")
        segmenter.log.clear()
        session.step().result()
        assert segmenter.log == [("start", 0, 1), ("step", 3), ("add", 1), ("step", 4)]
        assert (index(session), left_of(session)) == (4, 16 + 4 * SHIFT)


def test_a_correction_in_the_past_is_kept_and_later_marks_come_again() -> None:
    with open_session(segmenter=(segmenter := Shifts())) as session:
        session.mark(POINT).result()
        for _ in range(6):
            session.step().result()
        session.mark(MarkRequest(points=((70.0, 50.0),))).result()  # object 2 in frame 6
        session.seek(2).result()
        session.mark(MarkRequest(object_id=1, points=((40.0, 10.0),))).result()
        assert (labels(session) == 1).sum() == 162, "the new part is added to the known mask"
        segmenter.log.clear()
        for _ in range(4):
            session.step().result()
        assert index(session) == 6
        assert segmenter.log[-1] == ("add", 2), "the mark of frame 6 is applied when the frame comes"
        assert {mark for marks in session.player.follower.marks for mark in [marks]} == {0, 2, 6}


def test_a_click_on_a_frame_that_was_seen_a_moment_ago_goes_back_to_it() -> None:
    with open_session() as session:
        session.mark(POINT).result()
        for _ in range(5):
            session.step().result()
        draft = session.preview(MarkRequest(points=((60.0, 10.0),), frame=3)).result()
        assert (draft.frame, index(session)) == (3, 3)
        session.accept().result()
        assert sorted(np.unique(labels(session)).tolist()) == [0, 1, 2]


def test_an_object_that_is_removed_is_gone_from_all_frames() -> None:
    with open_session() as session:
        session.mark(POINT).result()
        session.step().result()
        session.remove(1).result()
        assert not labels(session).any()
        session.seek(0).result()
        assert not labels(session).any()
        assert session.mark(POINT).result().object_id == 2, "the id is not used again"


def test_an_object_that_ends_keeps_its_earlier_masks() -> None:
    with open_session(segmenter=(segmenter := Shifts())) as session:
        session.mark(POINT).result()
        session.mark(MarkRequest(points=((60.0, 10.0),))).result()
        session.step().result()
        session.end(1).result()
        assert np.unique(labels(session)).tolist() == [0, 2]
        session.step().result()
        assert np.unique(labels(session)).tolist() == [0, 2]
        session.seek(0).result()
        assert np.unique(labels(session)).tolist() == [0, 1, 2]
        session.step().result()
        assert segmenter.log[-1] == ("remove", 1)
        with pytest.raises(BadInput, match="object 1: is not followed in frame 1"):
            session.end(1).result()


def test_strokes_paint_and_erase() -> None:
    with open_session() as session:
        stroke = Stroke(((20.0, 30.0), (40.0, 30.0)), 4.0)
        session.mark(MarkRequest(strokes=(stroke,))).result()
        painted = labels(session) == 1
        assert painted[30, 18:42].all()
        assert not painted[40].any()
        session.mark(MarkRequest(object_id=1, strokes=(Stroke(((30.0, 30.0),), 5.0, True),))).result()
        assert not labels(session)[30, 27:33].any()


def test_marks_of_the_command_line_play_at_once() -> None:
    prompts = [Prompt("a", points=((20.0, 30.0),)), Prompt(boxes=((60.0, 10.0, 10.0, 10.0),))]
    entries = [Entry(2, Prompt("late", points=((70.0, 50.0),)), "late"), Entry(3, None, "a")]
    with open_session(5, prompts=prompts, entries=entries) as session:
        until(lambda: session.player.state == "ended")
        assert [one.name for one in session.objects.all()] == ["a", "", "late"]
        assert sorted(np.unique(labels(session)).tolist()) == [0, 2, 3]
        session.seek(2).result()
        assert sorted(np.unique(labels(session)).tolist()) == [0, 1, 2, 3]


def test_a_mask_of_the_command_line_and_json_lines(tmp_path: Path) -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[10:20, 10:20] = 4
    table = ObjectTable()
    sink = JsonLinesSink(tmp_path / "o.jsonl", table)
    with open_session(3, mask=NamedMask(mask, {4: "cat"}), sink=sink, table=table) as session:
        until(lambda: session.player.state == "ended")
        assert [(one.object_id, one.name) for one in session.objects.all()] == [(4, "cat")]
    lines = (tmp_path / "o.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert all('"name":"cat"' in line for line in lines)


def test_ids_of_a_file_are_kept_in_the_outputs(tmp_path: Path) -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[10:20, 10:20] = 1
    table = ObjectTable()
    sink = JsonLinesSink(tmp_path / "o.jsonl", table)
    entries = [Entry(1, None, 300)]
    with open_session(3, mask=NamedMask(mask, {}, {1: 300}), sink=sink, table=table, entries=entries) as session:
        until(lambda: session.player.state == "ended")
        assert not labels(session).any(), "removed in frame 1 by its original id"
    assert '"id":300' in (tmp_path / "o.jsonl").read_text().splitlines()[0]


def test_a_truncated_file_keeps_its_page_and_says_why() -> None:
    with open_session(9, fails_at=3) as session:
        session.mark(POINT).result()
        session.play().result()
        until(lambda: session.player.state == "ended")
        assert "truncated after 3 frames" in session.player.problem
        assert index(session) == 2
        session.seek(1).result()
        assert left_of(session) == 16 + SHIFT


def test_wrong_frames_and_objects() -> None:
    with open_session(3, start=1) as session:
        for work, message in (
            (session.seek(3), "frame 3: there is no such frame. The last frame is 2"),
            (session.seek(0), "frame 0: is before the first frame, 1"),
            (session.remove(5), "object 5: there is no such object"),
            (session.preview(MarkRequest(object_id=7, points=((1.0, 1.0),))), "object 7: there is no such object"),
            (session.record(False), "none is running"),
        ):
            with pytest.raises(BadInput, match=message):
                work.result()
        assert index(session) == 1


def test_a_defect_ends_the_session_and_is_kept() -> None:
    class Broken(Shifts):
        def add(self, mask: np.ndarray) -> None:  # type: ignore[override]  # noqa: ARG002
            raise ZeroDivisionError

    with open_session(segmenter=Broken()) as session:
        session.mark(POINT).result()
        session.step().result()
        with pytest.raises(ZeroDivisionError):
            session.mark(MarkRequest(points=((60.0, 10.0),))).result()
        until(lambda: session.failure is not None)
        with pytest.raises(BadInput, match="has ended"):
            session.play().result()


def test_a_camera_plays_pauses_and_is_marked_in_the_shown_frame() -> None:
    with open_session(source=(camera := Camera()), segmenter=(segmenter := Shifts())) as session:
        until(lambda: session.player.shown and index(session) > 3)
        session.preview(POINT).result()
        here = index(session)
        time.sleep(0.1)
        assert index(session) == here, "marking pauses"
        session.accept().result()
        session.play().result()
        until(lambda: index(session) > here + 3)
        assert segmenter.log[-1][0] == "step"
        assert session.player.reader.dropped > 0
        assert session.player.age is not None
        with pytest.raises(BadInput, match="seek: the source is live"):
            session.seek(0).result()
        with pytest.raises(BadInput, match="frame 0: is gone"):
            session.preview(MarkRequest(points=((1.0, 1.0),), frame=0)).result()
        camera.stop()


def test_a_camera_that_stalls_is_lost_and_can_be_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shls.runtime.server.readers.LOST_AFTER", 0.1)
    with open_session(source=(camera := Camera())) as session:
        until(lambda: session.player.shown)
        camera.stalled.set()
        until(lambda: session.player.reader.lost() is not None)
        entry = session.mark(POINT).result()
        assert (labels(session) == entry.object_id).sum() == 81
        session.play().result()
        here = index(session)
        camera.stalled.clear()
        until(lambda: index(session) > here)
        assert session.player.reader.lost() is None


def test_a_camera_that_ends_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shls.runtime.server.readers.REOPEN_PAUSE", 0.05)
    with open_session(source=(camera := Camera())) as session:
        until(lambda: session.player.shown)
        camera.ended.set()
        until(lambda: session.player.reader.breaks == 1)
        draft = session.preview(POINT).result()
        assert draft.mask.any(), "the last frame can be marked while the source is away"
        camera.ended.clear()
        session.accept().result()
        here = index(session)
        session.play().result()
        until(lambda: index(session) > here)


def test_a_recording_has_the_frames_while_it_runs() -> None:
    with open_session() as session:
        session.mark(POINT).result()
        session.record(True).result()
        with pytest.raises(BadInput, match="is running already"):
            session.record(True).result()
        for _ in range(3):
            session.step().result()
        session.seek(0).result()
        session.step().result()  # back in time: the recording goes on forward
        session.record(False).result()
        (recording,) = session.player.recorder.all()
        assert (recording.frames, recording.running) == (4, False)
        import av

        with av.open(str(recording.path)) as video:
            times = [frame.time for frame in video.decode(video=0)]
        assert len(times) == 4
        assert times == sorted(times)
    assert not recording.path.exists(), "recordings are removed with the session"
