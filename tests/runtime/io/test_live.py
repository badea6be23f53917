"""Live sources against real peers on loopback: MJPEG over HTTP and RTSP, broken in the middle."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Generator

import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io import capture as feeds
from shls.runtime.io import live
from shls.runtime.io.capture import Feed, FeedError
from shls.runtime.io.live import LiveSource, open_live
from shls.runtime.io.sources import open_source
from tests.live_servers import ball, free_port, mjpeg, rtsp, silent, until, why_no_rtsp

NO_RTSP = why_no_rtsp()
needs_rtsp = pytest.mark.skipif(bool(NO_RTSP), reason=NO_RTSP)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSES", (0.05, 0.2))
    monkeypatch.setattr(live, "PATIENCE", 15.0)
    monkeypatch.setattr(feeds, "READ_TIMEOUT", 1.0)
    monkeypatch.setattr(feeds, "OPEN_TIMEOUT", 5.0)


def wait_for_break(source: LiveSource, seconds: float = 15) -> None:
    """Take frames until the stream has come back once."""
    for _ in until(seconds):
        next(source)
        if source.breaks:
            next(source)
            return


def test_mjpeg_latest_wins_and_ages_are_short() -> None:
    port = free_port()
    with mjpeg(port), open_source(f"http://127.0.0.1:{port}/video") as source:
        assert (source.live, source.size, source.count) == (True, (48, 64), None)
        frames = [next(source)]
        for _ in range(3):
            for _ in until(30):  # slower than the camera
                if source._index > frames[-1].index + 5:  # type: ignore[attr-defined]
                    break
                time.sleep(0.01)
            frames.append(next(source))
            assert frames[-1].index - frames[-2].index >= 5, "the frames between were dropped, not queued"
        assert source.dropped >= 12
        assert np.ptp(frames[-1].image[:, 40:]) < 8
        assert source.age(next(source)) < 5


def test_mjpeg_comes_back_after_it_broke() -> None:
    port = free_port()
    with mjpeg(port):
        source = open_live(f"http://127.0.0.1:{port}/video")
        first = next(source)
    with source, mjpeg(port):
        wait_for_break(source)
        assert next(source).index > first.index


def test_mjpeg_of_another_size_after_it_broke() -> None:
    port = free_port()
    with mjpeg(port):
        source = open_live(f"http://127.0.0.1:{port}/video")
    with source, mjpeg(port, size=(96, 128)):
        wait_for_break(source)
        assert next(source).image.shape == (48, 64, 3)


def test_mjpeg_with_halves_of_pictures() -> None:
    port = free_port()
    with mjpeg(port, half=True), open_live(f"http://127.0.0.1:{port}/video") as source:
        assert [next(source).image.shape for _ in range(5)] == [(48, 64, 3)] * 5


def test_mjpeg_with_options() -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}/video#width=32&height=24&fps=5&flip=horizontal"
    with mjpeg(port), open_live(uri) as source:
        frames = [next(source) for _ in range(4)]
        assert (source.fps, source.size) == (5, (24, 32))
        assert frames[3].time - frames[0].time > 0.3, "three fifths of a second, give or take"
        assert frames[3].image[:, :12].mean() > 10 + frames[3].image[:, 20:].mean(), "black on the right"


def test_mjpeg_that_falls_silent_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "READ_TIMEOUT", 0.5)
    port = free_port()
    with mjpeg(port, stall_at=20), open_live(f"http://127.0.0.1:{port}/video") as source:
        wait_for_break(source)


def test_pictures_that_cannot_be_read_are_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "PICTURE_TIMEOUT", 0.5)
    port = free_port()
    with mjpeg(port, spoilt_from=20), open_live(f"http://127.0.0.1:{port}/video") as source:
        wait_for_break(source)
    port = free_port()
    with (
        mjpeg(port, spoilt_from=0),
        pytest.raises(BadInput, match=r"sent no picture that can be decoded for .* Check its codec"),
    ):
        open_live(f"http://127.0.0.1:{port}/video")


def test_a_reader_of_spoilt_pictures_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with mjpeg(port, spoilt_from=20):
        source = open_live(f"http://127.0.0.1:{port}/video")
        for _ in until(10):
            if source._index >= 15:
                break
        time.sleep(0.5)  # now all that comes is spoilt
        monkeypatch.setattr(live, "FIRST_FRAME", 2.0)  # less than PICTURE_TIMEOUT
        source.close()
        assert not source._thread.is_alive()


@pytest.mark.parametrize(("path", "words"), [("closed", "refuses user or password"), ("other", "has no such stream")])
def test_a_server_that_refuses_and_no_password_is_shown(path: str, words: str) -> None:
    port = free_port()
    with mjpeg(port), pytest.raises(BadInput, match=words) as caught:
        open_live(f"http://me:secret@127.0.0.1:{port}/{path}?token=secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_server_that_says_nothing(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "OPEN_TIMEOUT", 0.5)
    port = free_port()
    with silent(port), pytest.raises(BadInput, match="did not send anything in time"):
        open_live(f"{scheme}://127.0.0.1:{port}/video")


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_nobody_there(scheme: str) -> None:
    with pytest.raises(BadInput, match="refuses the connection"):
        open_live(f"{scheme}://127.0.0.1:{free_port()}/video")


@needs_rtsp
def test_rtsp_killed_and_started_again() -> None:
    port = free_port()
    with rtsp(port):
        source = open_live(f"rtsp://127.0.0.1:{port}/test")
        assert source.size == (120, 160)
        assert len({next(source).index for _ in range(5)}) == 5
    with source, rtsp(port):
        wait_for_break(source)
        assert [next(source).image.shape for _ in range(3)] == [(120, 160, 3)] * 3


@needs_rtsp
def test_rtsp_with_a_wrong_path() -> None:
    port = free_port()
    with rtsp(port), pytest.raises(BadInput, match="has no such stream"):
        open_live(f"rtsp://127.0.0.1:{port}/other")


@needs_rtsp
def test_rtsp_that_wants_a_password() -> None:
    port = free_port()
    with rtsp(port, login=("me", "secret")):
        for login in ("", "me:wrong@"):
            with pytest.raises(BadInput, match="refuses user or password") as caught:
                open_live(f"rtsp://{login}127.0.0.1:{port}/test")
            assert "wrong" not in str(caught.value)
        with open_live(f"rtsp://me:secret@127.0.0.1:{port}/test") as source:
            assert next(source).image.shape == (120, 160, 3)


@needs_rtsp
def test_rtsp_of_another_codec_and_over_udp() -> None:
    port = free_port()
    with rtsp(port, ball(codec="vp8enc deadline=1 ! rtpvp8pay")):
        for options in ("", "#transport=udp"):
            with open_live(f"rtsp://127.0.0.1:{port}/test{options}") as source:
                assert next(source).image.shape == (120, 160, 3)


@needs_rtsp
def test_rtsp_without_pictures() -> None:
    port, sound = free_port(), "audio/x-raw,rate=44100,channels=2"
    launch = f"audiotestsrc is-live=true ! audioconvert ! {sound} ! rtpL16pay name=pay0"
    with rtsp(port, launch), pytest.raises(BadInput, match="has no video stream"):
        open_live(f"rtsp://127.0.0.1:{port}/test")


def made_up(images: int, fail: str = "") -> Feed:
    def give() -> Generator[np.ndarray, None, None]:
        for at in range(images):
            yield np.full((4, 6, 3), at, np.uint8)
            time.sleep(0.002)
        if fail:
            raise FeedError(fail)

    return Feed(50.0, give())


def test_it_gives_up_when_its_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PATIENCE", 0.2)
    feeds_left = iter([made_up(3)])

    def connect() -> Feed:
        feed = next(feeds_left, None)
        if feed is None:
            raise FeedError("was unplugged")
        return feed

    lost = pytest.raises(BadInput, match="camera: lost, 0 s ago; now it was unplugged")
    with LiveSource("camera", "camera", connect) as source, lost:
        list(zip(source, until(10), strict=False))


def test_a_camera_that_gives_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_FRAME", 0.1)
    hold = threading.Event()

    def connect() -> Feed:
        hold.wait(5)
        raise FeedError("late")

    with pytest.raises(BadInput, match="no frame within"):
        LiveSource("camera", "camera", connect)
    hold.set()


def test_a_camera_whose_driver_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STUCK", 0.1)
    hold = threading.Event()

    def give() -> Generator[np.ndarray, None, None]:
        yield np.zeros((4, 6, 3), np.uint8)
        hold.wait(5)

    with LiveSource("camera", "camera", lambda: Feed(50.0, give())) as source:
        next(source)
        with pytest.raises(BadInput, match="gives neither a frame nor an error"):
            next(source)
        hold.set()


def test_a_bug_in_the_reader_is_not_swallowed() -> None:
    def connect() -> Feed:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        LiveSource("camera", "camera", connect)


def test_stop_ends_the_waiting() -> None:
    given = iter([1])
    with LiveSource("camera", "camera", lambda: made_up(next(given, 0))) as source:
        next(source)
        threading.Timer(0.05, source.stop).start()
        for _ in until(10):
            if next(source, None) is None:
                return


def test_names_for_outputs() -> None:
    port = free_port()
    with mjpeg(port), open_live(f"http://127.0.0.1:{port}/video") as source:
        assert source.name == f"127-0-0-1-{port}"


def test_frame_times_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(live.time, "perf_counter", lambda: float(next(ticks)))
    with LiveSource("camera", "camera", lambda: made_up(4)) as source:
        frames = [next(source) for _ in range(3)]
    assert frames[0].time < frames[1].time < frames[2].time
