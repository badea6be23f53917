"""Hosts, origins, tokens and cookies: who may use the server."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse

from shls.runtime.errors import BadInput
from shls.runtime.server import access
from shls.runtime.server.access import COOKIE, Rules, is_loopback, new_token
from shls.runtime.server.app import make_app
from shls.runtime.server.running import open_socket
from shls.runtime.server.session import Session
from tests.fake_server import open_session

TOKEN = "a-token-of-the-tests"
HOME, AWAY = "http://127.0.0.1:8000", "http://192.168.7.9:8000"


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with open_session() as one:
        one.pause().result()
        yield one


@pytest.fixture
def local(session: Session) -> Iterator[TestClient]:
    with TestClient(make_app(session, Rules("127.0.0.1")), base_url=HOME) as client:
        yield client


@pytest.fixture
def remote(session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(access, "WRONG_TOKEN_PAUSE", 0.0)
    app = make_app(session, Rules("0.0.0.0", TOKEN, ("camera.example",)))
    with TestClient(app, base_url=AWAY, follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("127.0.0.1:8000", True),
        ("localhost:8000", True),
        ("LOCALHOST", True),
        ("[::1]:8000", True),
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("192.168.7.9", False),
        ("user@127.0.0.1", False),
        ("127.0.0.1:x", False),
        ("", False),
        ("[", False),
    ],
)
def test_hosts_of_a_server_on_loopback(local: TestClient, host: str, good: bool) -> None:
    answer = local.get("/api/status", headers={"Host": host})
    assert answer.status_code == (200 if good else 403)


@pytest.mark.parametrize(
    ("host", "good"),
    [("192.168.7.9", True), ("[fe80::1]:8000", True), ("camera.example", True), ("evil.example", False)],
)
def test_hosts_of_a_server_on_all_addresses(host: str, good: bool) -> None:
    rules = Rules("0.0.0.0", TOKEN, ("camera.example",))
    assert rules.is_host(host) is good
    assert rules.is_host(socket.gethostname())


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9000", "http://localhost:8000"])
def test_requests_of_other_origins_are_refused(local: TestClient, origin: str) -> None:
    headers = {"Origin": origin}
    assert local.post("/api/control", json={"action": "pause"}, headers=headers).status_code == 403
    assert local.get("/api/status", headers=headers).status_code == 403
    with (
        pytest.raises(WebSocketDenialResponse) as caught,
        local.websocket_connect("ws://127.0.0.1:8000/ws", headers=headers),
    ):
        pass
    assert caught.value.status_code == 403


def test_the_own_origin_is_served(local: TestClient) -> None:
    headers = {"Origin": HOME}
    assert local.post("/api/control", json={"action": "pause"}, headers=headers).status_code == 200
    with local.websocket_connect("ws://127.0.0.1:8000/ws", headers=headers) as page:
        assert page.receive_json()["type"] == "status"


def test_pictures_in_the_pages_of_others_are_refused(local: TestClient) -> None:
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert local.get("/api/frame", headers=image).status_code == 403
    assert local.get("/", headers=link).status_code == 200
    assert local.get("/api/frame", headers=link).status_code == 403
    assert local.get("/api/frame").headers["cross-origin-resource-policy"] == "same-origin"


def test_without_the_token_nothing_is_shown(remote: TestClient) -> None:
    page = remote.get("/")
    assert page.status_code == 401
    assert 'action="/login"' in page.text
    for path in ("/api/status", "/api/frame", "/api/openapi.json", "/api/downloads/masks.zip"):
        assert remote.get(path).status_code == 401
    assert remote.post("/api/control", json={"action": "play"}).status_code == 401
    with pytest.raises(WebSocketDenialResponse), remote.websocket_connect(f"ws{AWAY[4:]}/ws"):
        pass


@pytest.mark.parametrize("token", ["wrong", "", TOKEN + "x", TOKEN[:-1], "\u00e9" * 20])
def test_a_wrong_token_is_refused(remote: TestClient, token: str) -> None:
    first = remote.get("/", params={"token": token})
    assert first.status_code == 401
    assert "set-cookie" not in first.headers
    form = remote.post("/login", data={"token": token})
    assert form.status_code == 401
    assert '<p class="wrong" >' in form.text
    assert remote.get("/api/status", headers={"Authorization": b"Bearer " + token.encode()}).status_code == 401
    assert remote.get("/api/status", headers={"Cookie": f"{COOKIE}-0={TOKEN}"}).status_code == 401, (
        "no token in the cookie"
    )


def test_the_token_of_the_address_becomes_a_cookie(remote: TestClient) -> None:
    answer = remote.get("/", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    assert remote.get("/").status_code == 200
    with remote.websocket_connect(f"ws{AWAY[4:]}/ws") as page:
        assert page.receive_json()["type"] == "status"


def test_the_form_and_the_header_take_the_token(remote: TestClient) -> None:
    assert remote.get("/api/status", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert remote.post("/login", data={"token": TOKEN}).status_code == 303
    assert remote.get("/api/status").status_code == 200
    assert remote.post("/login", content=b"token=" + b"x" * 5000).status_code == 413


def test_a_stolen_cookie_does_not_serve_another_origin(remote: TestClient) -> None:
    remote.get("/", params={"token": TOKEN})
    headers = {"Origin": "http://evil.example"}
    assert remote.get("/api/status").status_code == 200
    assert remote.post("/api/control", json={"action": "pause"}, headers=headers).status_code == 403
    with pytest.raises(WebSocketDenialResponse), remote.websocket_connect(f"ws{AWAY[4:]}/ws", headers=headers):
        pass


def test_other_addresses_need_a_good_token() -> None:
    with pytest.raises(BadInput, match=r"host 0\.0\.0\.0: other machines can connect"):
        Rules("0.0.0.0")
    with pytest.raises(BadInput, match="token: too weak"):
        Rules("127.0.0.1", "short")
    assert Rules("192.168.1.5", new_token()).token
    assert new_token() != new_token()
    assert not is_loopback("example.org")


def test_a_port_that_is_taken() -> None:
    with open_socket("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(BadInput, match=r"cannot be opened \(.*\)\. Choose another --port"):
            open_socket("127.0.0.1", port)
    with pytest.raises(BadInput, match="cannot be opened"):
        open_socket("no-such-host.invalid", 0)
