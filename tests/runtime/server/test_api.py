"""The REST API and the WebSocket of a session, through Starlette's test client."""

from __future__ import annotations

import io
import json
import struct
import threading
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from shls.runtime.io.rle import decode_rle, encode_rle
from shls.runtime.prompts.timeline import read_prompts
from shls.runtime.server import viewers
from shls.runtime.server.access import Rules
from shls.runtime.server.app import Api, make_app
from shls.runtime.server.runs import decode_runs
from shls.runtime.server.session import Session
from tests.fake_server import SIZE, drawn, open_session

WS = "ws://127.0.0.1:8000/ws"
POINT = {"points": [[20, 30]]}


@pytest.fixture
def session() -> Iterator[Session]:
    with open_session() as one:
        yield one


@pytest.fixture
def client(session: Session) -> Iterator[TestClient]:
    with TestClient(make_app(session, Rules("127.0.0.1")), base_url="http://127.0.0.1:8000") as one:
        yield one


def until_first_frame(client: TestClient) -> None:
    for _ in range(400):
        if client.get("/api/status").json()["state"] != "starting":
            return
        time.sleep(0.02)
    raise AssertionError("no first frame")


def until_alone(client: TestClient) -> None:
    for _ in range(200):
        if client.get("/api/status").json()["viewers"] == 0:
            return
        time.sleep(0.02)
    raise AssertionError("a page is still there")


def error_of(answer: Any, code: int = 400) -> str:
    assert answer.status_code == code, answer.text
    assert answer.json().keys() == {"error"}
    return str(answer.json()["error"])


def test_a_whole_round(client: TestClient) -> None:
    preview = client.post("/api/prompts", json=POINT).json()
    assert (preview["area"], preview["box"], preview["frame"]) == (81, [16, 26, 9, 9], 0)
    assert decode_rle(preview["mask"]).sum() == 81
    assert client.get("/api/objects").json() == {"frame": 0, "time": 0.0, "objects": []}
    accepted = client.post("/api/prompts", json=POINT | {"name": "dog", "accept": True}).json()["accepted"]
    assert accepted == {"id": 1, "name": "dog", "color": "#18b6ff", "hidden": False}
    status = client.post("/api/control", json={"action": "step"}).json()
    assert (status["frame"], status["state"], status["count"], status["size"]) == (1, "paused", 12, [96, 64])
    (found,) = client.get("/api/objects").json()["objects"]
    assert (found["box"], found["confidence"], found["lost"]) == ([18, 26, 9, 9], 0.9, False)
    changed = client.patch("/api/objects/1", json={"name": "cat", "color": "#FF0000", "hidden": True}).json()
    assert changed == {"id": 1, "name": "cat", "color": "#ff0000", "hidden": True}
    assert client.delete("/api/objects/1").status_code == 204
    assert client.get("/api/objects").json()["objects"] == []
    assert client.delete("/api/prompts").status_code == 204


def test_pictures_of_the_shown_frame(client: TestClient) -> None:
    client.post("/api/prompts", json=POINT | {"accept": True})
    plain = client.get("/api/frame?overlay=0")
    image = cv2.imdecode(np.frombuffer(plain.content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert (plain.headers["content-type"], plain.headers["x-shls-frame"]) == ("image/jpeg", "0")
    assert np.abs(image.astype(int) - drawn(0)).mean() < 4
    painted = cv2.imdecode(np.frombuffer(client.get("/api/frame").content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(painted[30, 20].astype(int) - drawn(0)[30, 20]).max() > 40
    mask = Image.open(io.BytesIO(client.get("/api/mask").content))
    assert mask.mode == "P"
    assert (np.asarray(mask) == 1).sum() == 81


def test_a_mask_from_the_client_and_a_time_line(client: TestClient) -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[30:40, 80:90] = 1
    client.post("/api/prompts", json={"mask": encode_rle(mask), "accept": True})
    for _ in range(9):
        client.post("/api/control", json={"action": "step"})
    (row,) = client.get("/api/timeline?columns=12").json()["objects"]
    assert row["confidence"][:2] == [1.0, 0.9]
    assert row["lost"] == [[8, 9]], "the mask has left the frame"
    assert row["area"][:4] == [100, 100, 100, 100]
    assert row["confidence"][10] is None
    assert "columns" in error_of(client.get("/api/timeline?columns=0"))
    assert "columns" in error_of(client.get("/api/timeline?columns=x"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"points": [[200, 30]]}, "the point is outside the frame"),
        ({"points": [[-1, 3]]}, "the point is outside the frame"),
        ({"points": [[20, 30]], "not": [[20, 30]]}, "on the object and not on it"),
        ({"boxes": [[10, 10, 0, 5]]}, "the box is empty or outside the frame"),
        ({"boxes": [[500, 10, 5, 5]]}, "the box is empty or outside the frame"),
        ({"not": [[20, 30]]}, "nothing says where the object is"),
        ({}, "nothing says where the object is"),
        ({"points": [[20, 30]], "frame": 99}, "frame 99: there is no such frame"),
        ({"points": [[20, "x"]]}, "points: wrong value"),
        ({"points": [[20]]}, "points: wrong value"),
        ({"points": "all"}, "points: wrong value"),
        ({"points": [[1, 2]] * 101}, "expected a list of at most 100"),
        ({"points": [[1e300, 2]]}, "points: wrong value"),
        ({"boxes": [[1, 2, 3]]}, "boxes: wrong value"),
        ({"object": 300, "points": [[1, 2]]}, "object: wrong value"),
        ({"object": 9, "points": [[1, 2]]}, "object 9: there is no such object"),
        ({"points": [[1, 2]], "name": 7}, "name: wrong value"),
        ({"points": [[1, 2]], "path": "/etc/passwd"}, "unknown field (got 'path'"),
        ({"points": [[1, 2]], "accept": "yes"}, "accept: wrong value"),
        ({"strokes": [{"points": [], "radius": 3}]}, "stroke: wrong value"),
        ({"strokes": [{"points": [[1, 2]], "radius": 9999}]}, "stroke: wrong value"),
        ({"strokes": [{"points": [[1, 2]], "radius": 3, "erase": True}]}, "nothing was found"),
        ({"mask": {"size": [64, 96], "counts": "zzz"}}, "RLE"),
        ({"mask": {"size": [10, 10], "counts": "T3"}}, "mask: wrong size"),
        ({"mask": {"size": [10], "counts": 3}}, "mask: wrong value"),
        ([1, 2], "not a JSON object"),
    ],
)
def test_bad_prompts_are_refused_in_one_line(client: TestClient, body: Any, message: str) -> None:
    until_first_frame(client)
    found = error_of(client.post("/api/prompts", json=body))
    assert message in found
    assert "\n" not in found
    assert len(found) < 300
    assert client.get("/api/objects").json()["objects"] == []


def test_bad_requests_are_refused_in_one_line(client: TestClient) -> None:
    until_first_frame(client)
    kind = {"content-type": "application/json"}
    assert "not JSON" in error_of(client.post("/api/prompts", content="{nonsense", headers=kind))
    assert "not JSON" in error_of(client.post("/api/prompts", content="[" * 200_000, headers=kind))
    assert "not JSON" in error_of(client.post("/api/prompts", content=b"\xff\xfe\x00", headers=kind))
    assert "content type" in error_of(client.post("/api/prompts", content=json.dumps(POINT)))
    assert "too large" in error_of(client.post("/api/prompts", content=b" " * 10_000_000, headers=kind), 413)
    assert "action: unknown" in error_of(client.post("/api/control", json={"action": "dance"}))
    assert "no action" in error_of(client.post("/api/control", json={}))
    assert "no such frame" in error_of(client.post("/api/control", json={"action": "seek", "frame": 10**9}))
    assert "frame: wrong value" in error_of(client.post("/api/control", json={"action": "seek", "frame": -1}))
    assert "unknown field" in error_of(client.post("/api/control", json={"action": "play", "speed": 2}))
    assert "no such object" in error_of(client.delete("/api/objects/4"))
    assert "no such recording" in error_of(client.get("/api/recordings/1"))
    assert client.get("/api/downloads/..%2f..%2fetc%2fpasswd").status_code in (400, 404)
    assert client.get("/static/..%2fapp.py").status_code == 404
    assert client.post("/").status_code == 405


def test_names(client: TestClient) -> None:
    markup = "<img src=x onerror=alert(1)>"
    client.post("/api/prompts", json=POINT | {"accept": True})
    client.post("/api/prompts", json={"points": [[60, 10]], "accept": True})
    assert client.patch("/api/objects/1", json={"name": markup}).json()["name"] == markup
    assert "object 1 has this name" in error_of(client.patch("/api/objects/2", json={"name": markup}))
    assert "too long" in error_of(client.patch("/api/objects/2", json={"name": "x" * 61}))
    assert "control characters" in error_of(client.patch("/api/objects/2", json={"name": "a\u202eb"}))
    assert "color: cannot be read" in error_of(client.patch("/api/objects/2", json={"color": "red;}"}))


def test_head_and_the_page(client: TestClient) -> None:
    head, page = client.head("/"), client.get("/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == page.headers["content-length"]
    assert head.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in head.headers["content-security-policy"]
    assert client.head("/api/frame").status_code == 200
    assert client.get("/api/nothing").status_code == 404


def test_the_description_names_every_route(client: TestClient, session: Session) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    described = {(path, method) for path, entry in paths.items() for method in entry if method != "parameters"}
    routes = {
        (route.path.replace(":int", ""), method.lower())
        for route in Api(session).routes()
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert described == routes


def test_the_description_has_the_fields_of_the_answers(client: TestClient) -> None:
    schemas = client.get("/api/openapi.json").json()["components"]["schemas"]
    client.post("/api/prompts", json=POINT | {"accept": True})
    preview = client.post("/api/prompts", json=POINT).json()
    (found,) = client.get("/api/objects").json()["objects"]
    assert client.get("/api/status").json().keys() == schemas["Status"]["properties"].keys()
    assert preview.keys() == schemas["Preview"]["properties"].keys() - {"accepted"}
    assert found.keys() == schemas["Object"]["properties"].keys() | schemas["FoundObject"]["properties"].keys()
    assert client.get("/api/timeline").json().keys() == schemas["Timeline"]["properties"].keys()


def test_downloads(client: TestClient, tmp_path: Any) -> None:
    assert "nothing was followed" in error_of(client.get("/api/downloads/masks.zip"))
    client.post("/api/prompts", json=POINT | {"name": "dog", "accept": True})
    client.post("/api/control", json={"action": "step"})
    client.post("/api/prompts", json={"points": [[60, 10]], "name": "cat", "accept": True})
    client.post("/api/prompts", json={"object": 1, "points": [[40, 50]], "accept": True})
    client.post("/api/control", json={"action": "step"})
    client.post("/api/control", json={"action": "end", "object": 1})
    masks = zipfile.ZipFile(io.BytesIO(client.get("/api/downloads/masks.zip").content))
    assert masks.namelist() == ["00000.png", "00001.png", "00002.png", "objects.json"]
    assert np.unique(np.asarray(Image.open(masks.open("00001.png")))).tolist() == [0, 1, 2]
    coco = client.get("/api/downloads/coco.json").json()
    assert len(coco["images"]) == 3
    assert {one["name"] for one in coco["categories"]} == {"dog", "cat"}
    assert "attachment" in client.get("/api/downloads/davis.zip").headers["content-disposition"]
    overlay = tmp_path / "o.mp4"
    overlay.write_bytes(client.get("/api/downloads/overlay.mp4").content)
    import av

    with av.open(str(overlay)) as video:
        assert sum(1 for _ in video.decode(video=0)) == 3
    zipfile.ZipFile(io.BytesIO(client.get("/api/downloads/prompts.zip").content)).extractall(tmp_path)
    assert (tmp_path / "command.txt").read_text().startswith("shls run video --start 0 --mask first.png --prompts")
    entries = read_prompts(tmp_path / "prompts.json", 0, SIZE)
    assert [(one.frame, one.key, one.prompt is None) for one in entries] == [
        (1, 2, False),
        (1, 1, False),
        (2, 1, True),
    ]
    assert entries[0].prompt is not None
    assert entries[0].prompt.points == ((60.0, 10.0),)
    assert entries[1].prompt is not None
    assert entries[1].prompt.drawn(SIZE) is not None
    assert "download: unknown" in error_of(client.get("/api/downloads/x.zip"))


def test_recordings(client: TestClient) -> None:
    client.post("/api/control", json={"action": "record", "on": True})
    assert "is running" in error_of(client.get("/api/recordings/1"))
    client.post("/api/control", json={"action": "step"})
    client.post("/api/control", json={"action": "record", "on": False})
    (recording,) = client.get("/api/recordings").json()["recordings"]
    assert (recording["id"], recording["frames"], recording["running"]) == (1, 1, False)
    assert client.get("/api/recordings/1").headers["content-type"] == "video/mp4"


def picture_of(data: bytes) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    (length,) = struct.unpack("<I", data[:4])
    header = json.loads(data[4 : 4 + length])
    begin = 4 + length
    jpeg, runs = data[begin : begin + header["jpeg"]], data[begin + header["jpeg"] :]
    assert len(runs) == header["runs"]
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return header, image, decode_runs(runs, (header["picture"][1], header["picture"][0]))


class Page:
    """What a page does with its WebSocket."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.status: dict[str, Any] = {}
        self.pictures: list[bytes] = []

    def receive(self) -> dict[str, Any] | bytes:
        message = self.socket.receive()
        if message.get("bytes") is not None:
            self.pictures.append(message["bytes"])
            return bytes(message["bytes"])
        if "text" not in message:
            raise WebSocketDisconnect(message.get("code", 0))
        found: dict[str, Any] = json.loads(message["text"])
        if found["type"] == "status":
            self.status = found
        return found

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        self.socket.send_text(json.dumps({"type": kind, "id": 5, **fields}))
        while True:
            found = self.receive()
            if isinstance(found, dict) and found["type"] == "reply":
                assert found["id"] == 5
                return found

    def receive_all(self) -> None:
        while True:
            self.receive()

    def until_picture(self) -> bytes:
        while not self.pictures:
            self.receive()
        return self.pictures.pop(0)


def test_a_page_gets_pictures_and_controls(client: TestClient) -> None:
    until_first_frame(client)
    with client.websocket_connect(WS) as socket:
        page = Page(socket)
        header, image, labels = picture_of(page.until_picture())
        assert (header["frame"], header["size"], labels.any()) == (0, [96, 64], False)
        assert image.shape == (64, 96, 3)
        socket.send_text('{"type": "shown"}')
        found = page.ask("prompt", **POINT, compact=True)["result"]
        assert (found["area"], found["size"]) == (81, [96, 64])
        assert page.ask("accept", name="dog")["result"]["id"] == 1
        header, _, labels = picture_of(page.until_picture())
        assert labels.sum() == 81
        assert [one["name"] for one in header["objects"]] == ["dog"]
        assert page.status["controls"] is True
        assert "error" in page.ask("dance")
        assert "unknown field" in page.ask("play", speed=3)["error"]


def test_a_page_gets_no_more_pictures_than_it_shows(client: TestClient, session: Session) -> None:
    until_first_frame(client)
    with client.websocket_connect(WS) as socket:
        page = Page(socket)
        page.until_picture()
        for _ in range(8):
            assert "result" in page.ask("step")
        assert len(page.pictures) == viewers.IN_FLIGHT - 1
        socket.send_text('{"type": "shown"}')
        socket.send_text('{"type": "shown"}')
        page.pictures.clear()
        assert picture_of(page.until_picture())[0]["frame"] == 8, "the newest one, not the next"
        assert session.player.shown is not None


def test_one_page_controls_and_others_watch(client: TestClient) -> None:
    until_first_frame(client)
    with client.websocket_connect(WS) as first, client.websocket_connect(WS) as second:
        one, two = Page(first), Page(second)
        assert "result" in one.ask("pause")
        assert "does not control" in two.ask("pause")["error"]
        assert "a page controls the session" in error_of(client.post("/api/control", json={"action": "pause"}), 409)
        assert "a page controls" in error_of(client.delete("/api/objects/1"), 409)
        assert "result" in two.ask("control")
        assert "does not control" in one.ask("pause")["error"]
        headers = {"X-Shls-Control": "take"}
        assert client.post("/api/control", json={"action": "pause"}, headers=headers).status_code == 200
        assert "does not control" in two.ask("pause")["error"]
        assert "result" in two.ask("control")
    until_alone(client)
    assert client.post("/api/control", json={"action": "pause"}).status_code == 200, "nobody controls any more"


@pytest.mark.parametrize(
    "text", ["{nonsense", "[]", '"play"', "{}", '{"type": 3}', '{"type": "prompt", "points": [[1]]}']
)
def test_bad_messages_are_answered(client: TestClient, text: str) -> None:
    until_first_frame(client)
    with client.websocket_connect(WS) as socket:
        page = Page(socket)
        socket.send_text(text)
        while True:
            found = page.receive()
            if isinstance(found, dict) and found["type"] == "reply":
                break
        assert isinstance(found["error"], str)
        assert "result" in page.ask("pause")


def test_large_and_binary_messages_close_the_connection(client: TestClient) -> None:
    until_first_frame(client)
    for send in (
        lambda socket: socket.send_text(" " * 10_000_000),
        lambda socket: socket.send_bytes(b"1234"),
    ):
        with client.websocket_connect(WS) as socket:
            page = Page(socket)
            page.receive()
            send(socket)
            with pytest.raises(WebSocketDisconnect):
                page.receive_all()
    until_alone(client)


def test_too_many_viewers_are_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewers, "MOST_VIEWERS", 1)
    with client.websocket_connect(WS):
        with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect(WS):
            pass
        assert caught.value.code in (1013, 1000, 403, 1006)


def test_a_page_that_goes_away_in_the_middle_costs_nothing(client: TestClient, session: Session) -> None:
    until_first_frame(client)
    with client.websocket_connect(WS) as socket:
        Page(socket).until_picture()
        socket.send_text(json.dumps({"type": "prompt", "id": 1, **POINT}))
    until_alone(client)
    assert client.post("/api/control", json={"action": "step"}).json()["frame"] == 1
    assert session.failure is None
    assert threading.active_count() < 50
