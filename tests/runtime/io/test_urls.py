"""Recordings by URL and live streams of every scheme, from servers on loopback."""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io import capture, live, video
from shls.runtime.io.sources import open_source
from tests.live_servers import broadcast, files, free_port, mjpeg, silent


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAUSES", (0.05, 0.2))
    monkeypatch.setattr(capture, "READ_TIMEOUT", 1.0)
    monkeypatch.setattr(capture, "OPEN_TIMEOUT", 5.0)
    monkeypatch.setattr(video, "TIMEOUTS", (5.0, 2.0))


def write(path: Path, count: int = 60, key_frames: int = 15, form: str | None = None, **options: str) -> Path:
    """Write frames that get brighter by 4, with some noise so that each has some bytes."""
    noise = np.random.default_rng(0)
    with av.open(str(path), "w", format=form, options=options) as container:
        stream = container.add_stream("libvpx" if path.suffix == ".webm" else "libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = key_frames
        for at in range(count):
            image = np.full((48, 64, 3), 4 * at, np.uint8)
            image[24:, 32:] = noise.integers(0, 255, (24, 32, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))
    return path


def playlist(folder: Path, name: str = "list.m3u8") -> Path:
    return write(folder / name, form="hls", hls_time="0.5", hls_list_size="0", hls_playlist_type="vod")


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("name", ["one_key.mp4", "keys.mp4", "fast.mp4", "fragments.mp4", "a.mkv", "a.ts", "a.webm"])
def test_a_recording_by_url_gives_every_frame(tmp_path: Path, name: str, ranges: bool) -> None:
    flags = {"fast.mp4": "faststart", "fragments.mp4": "frag_keyframe+empty_moov"}.get(name)
    options = {"movflags": flags} if flags else {}
    write(tmp_path / name, key_frames=100 if name == "one_key.mp4" else 15, **options)
    with files(tmp_path, ranges) as address, open_source(f"{address}/{name}?token=secret") as source:
        frames = list(source)
        assert (source.live, source.dropped, source.breaks) == (False, 0, 0)
        assert source.name == name.partition(".")[0]
        assert source.info.address == f"{address}/{name}?token=secret"
    assert [frame.index for frame in frames] == list(range(60))
    assert [frame.time for frame in frames] == pytest.approx([at / 30 for at in range(60)], abs=2e-3)
    assert [int(frame.image[10, 10, 1]) for frame in frames] == pytest.approx([4 * at for at in range(60)], abs=9)


def test_a_finished_playlist_is_a_recording(tmp_path: Path) -> None:
    playlist(tmp_path)
    with files(tmp_path) as address:
        with open_source(f"{address}/list.m3u8") as source:
            assert (source.live, source.count) == (False, 60)
            assert [frame.index for frame in source] == list(range(60))
        with open_source(f"{address}/list.m3u8", start=50) as source:
            assert [frame.index for frame in source] == list(range(50, 60))
    with open_source(tmp_path / "list.m3u8") as source:
        assert len(list(source)) == 60


def test_a_playlist_without_an_end_is_live(tmp_path: Path) -> None:
    path = playlist(tmp_path)
    path.write_text(path.read_text().replace("#EXT-X-ENDLIST\n", "").replace("#EXT-X-PLAYLIST-TYPE:VOD\n", ""))
    with files(tmp_path) as address:
        with open_source(f"{address}/list.m3u8") as source:
            assert (source.live, source.count) == (True, None)
            assert next(source).image.shape == (48, 64, 3)
        with pytest.raises(BadInput, match=r"is live and has no frame 5 yet"):
            open_source(f"{address}/list.m3u8", start=5)


def test_a_live_stream_by_http_is_opened_once() -> None:
    port = free_port()
    with mjpeg(port) as server, open_source(f"http://127.0.0.1:{port}/video") as source:
        assert source.live
        assert [next(source).image.shape for _ in range(3)] == [(48, 64, 3)] * 3
        assert server.connections == 1


def test_a_recording_takes_no_options_of_live_streams(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", count=5)
    with files(tmp_path) as address:
        with pytest.raises(BadInput, match=r"a recording takes no options of live streams"):
            open_source(f"{address}/a.mp4#fps=5")
        with open_source(f"{address}/a.mp4#stream=0") as source:
            assert len(list(source)) == 5
        with pytest.raises(BadInput, match=r"no such video stream \(got 3, video streams: 0\)"):
            open_source(f"{address}/a.mp4#stream=3")


def test_a_connection_that_breaks_is_opened_again(tmp_path: Path) -> None:
    size = write(tmp_path / "a.mp4", movflags="faststart").stat().st_size
    with files(tmp_path, break_at=size // 3) as address, open_source(f"{address}/a.mp4") as source:
        assert len(list(source)) == 60


def test_a_connection_that_breaks_for_good(tmp_path: Path) -> None:
    size = write(tmp_path / "a.mp4", movflags="faststart").stat().st_size
    frames = []
    with (
        files(tmp_path, ranges=False, break_at=2 * size // 3) as address,
        open_source(f"{address}/a.mp4?key=secret") as source,
        pytest.raises(BadInput, match=r"a\.mp4\?\.\.\.: connection lost after \d+ frames") as error,
    ):
        frames.extend(source)
    assert 5 < len(frames) < 60
    assert f" {len(frames)} frames" in str(error.value)
    assert "secret" not in str(error.value)


def test_urls_that_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>not a video</html>" * 100)
    with files(tmp_path) as address:
        with pytest.raises(BadInput, match="has no such stream"):
            open_source(f"{address}/none.mp4")
        with pytest.raises(BadInput, match="sends no video that FFmpeg reads"):
            open_source(f"{address}/page.html")
    port = free_port()
    with silent(port), pytest.raises(BadInput, match="did not send anything in time"):
        open_source(f"http://127.0.0.1:{port}/a.mp4")
    with pytest.raises(BadInput, match="refuses the connection"):
        open_source(f"http://127.0.0.1:{free_port()}/a.mp4")


def test_tcp_is_live_and_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = write(tmp_path / "a.ts", count=30).read_bytes()
    with (
        caplog.at_level(logging.WARNING, "shls"),
        broadcast(data) as address,
        open_source(address) as source,
    ):
        assert source.live
        for frame in source:
            if source.breaks and frame.index > 40:
                break
        assert source.info.time_base is not None
    messages = [record.message for record in caplog.records]
    assert any(f"{address}: ends its stream; opening it again" in message for message in messages)
    assert any(f"{address}: gives frames again" in message for message in messages)


def test_udp_is_live(tmp_path: Path) -> None:
    data = write(tmp_path / "a.ts", count=30).read_bytes()
    port, stopped = free_port(), threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while True:
                for at in range(0, len(data), 1316):
                    sender.sendto(data[at : at + 1316], ("127.0.0.1", port))
                    if stopped.wait(0.01):
                        return

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        with open_source(f"udp://127.0.0.1:{port}") as source:
            assert source.live
            assert [next(source).image.shape for _ in range(3)] == [(48, 64, 3)] * 3
    finally:
        stopped.set()
        thread.join()


@pytest.mark.parametrize("scheme", ["rtmp", "tcp", "rtsp"])
def test_a_port_where_nobody_listens(scheme: str) -> None:
    with pytest.raises(BadInput, match="refuses the connection"):
        open_source(f"{scheme}://127.0.0.1:{free_port()}/a")


def test_srt_is_read_or_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "OPEN_TIMEOUT", 1.0)
    with pytest.raises(BadInput, match=r"scheme not supported by this PyAV|did not send anything|cannot be reached"):
        open_source(f"srt://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("uri", ["gopher://host/a", "ftp://host/a.mp4", "FOO+bar://a"])
def test_schemes_that_are_not_supported(uri: str) -> None:
    with pytest.raises(BadInput, match=r"scheme not supported \(got .*expected one of file, rtsp"):
        open_source(uri)


@pytest.mark.parametrize("uri", ["", " ", "\n"])
def test_an_empty_name_is_refused(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.mp4", count=2)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="the name is empty"):
        open_source(uri)


def test_file_urls(tmp_path: Path) -> None:
    path = write(tmp_path / "a b%.mp4", count=2)
    with open_source(path.as_uri()) as source:
        assert (source.name, len(list(source))) == ("a b%", 2)
    with pytest.raises(BadInput, match=r"names another machine \(got host\)"):
        open_source("file://host/a.mp4")
    with pytest.raises(BadInput, match="no such file or folder"):
        open_source(tmp_path.as_uri() + "/none.mp4")
