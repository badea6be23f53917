"""Who may use the server: checks of the host, the origin and the token, before any other code sees a request."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import BadInput

SHORTEST_TOKEN = 16
"""Smallest number of letters of a token that a person chooses."""
COOKIE = "shls"
WRONG_TOKEN_PAUSE = 0.5
"""Seconds before a wrong token is answered."""
LARGEST_FORM = 4096
"""Largest login form, bytes."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass
class Rules:
    """Rules of access.

    Attributes
    ----------
    host : str
        Address that the server listens at.
    token : str or None
        Secret that a client must know; None where only this machine can connect.
    names : tuple of str
        Further host names under which the server may be reached.
    port : int
        TCP port, which is part of the cookie's name: browsers send cookies to all ports of a host.

    Raises
    ------
    BadInput
        If other machines can connect and there is no token, or if the token is too short.

    Examples
    --------
    >>> rules = Rules("127.0.0.1")
    >>> rules.is_host("localhost:8000"), rules.is_host("evil.example:8000")
    (True, False)
    """

    host: str
    token: str | None = None
    names: tuple[str, ...] = ()
    port: int = 0
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise BadInput(f"host {self.host}: other machines can connect, so a token is needed. Give --token")
        if self.token is not None and (
            len(self.token) < SHORTEST_TOKEN or not self.token.isascii() or not self.token.isprintable()
        ):
            raise BadInput(
                f"token: too weak (got {len(self.token)} letters, expected at least {SHORTEST_TOKEN} of ASCII). "
                "Leave --token out, and a token is made"
            )

    @property
    def cookie_name(self) -> str:
        """Name of the cookie of this server."""
        return f"{COOKIE}-{self.port}"

    def is_host(self, value: str) -> bool:
        """Return whether a `Host` header names this server.

        A name of another site that resolves to this machine is refused (DNS rebinding). An address of digits cannot
        be rebound.
        """
        name = _host_of(value)
        if name is None:
            return False
        if name == "localhost" or name in map(str.lower, self.names):
            return True
        if not is_loopback(self.host) and name in (socket.gethostname().lower(), self.host.lower()):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not is_loopback(self.host)

    def knows(self, headers: Headers) -> bool:
        """Return whether a request has the token, as `Authorization: Bearer`, or the cookie."""
        if self.token is None:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.is_token(given.strip())
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie_name)
        except CookieError:
            return False
        return cookie is not None and _same(cookie.value, self.cookie)

    def is_token(self, given: str) -> bool:
        """Return whether a text is the token, in a time that does not depend on the text."""
        return self.token is not None and _same(given, self.token)


class Access:
    """ASGI middleware that enforces `Rules`, and adds the headers that confine the page.

    Parameters
    ----------
    app : ASGIApp
        Application to protect.
    rules : Rules
        Rules of access.
    login_page : str
        HTML that asks for the token.

    Examples
    --------
    >>> from starlette.testclient import TestClient
    >>> guarded = Access(PlainTextResponse("content"), Rules("127.0.0.1"), "")
    >>> client = TestClient(guarded, base_url="http://localhost")
    >>> client.get("/").text, client.get("/", headers={"Host": "evil.example"}).status_code
    ('content', 403)
    """

    def __init__(self, app: ASGIApp, rules: Rules, login_page: str) -> None:
        self._app, self._rules, self._login_page = app, rules, login_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def confined(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal(scope)
        if answer is None and not self._is_open(scope):
            answer = await self._log_in(scope, receive)
        if answer is None:
            await self._app(scope, receive, confined)
        else:
            await answer(scope, receive, confined)

    def _is_open(self, scope: Scope) -> bool:
        return scope["type"] == "http" and scope["path"].startswith("/static/")

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request of another site; None if the request is none."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._rules.is_host(host):
            return PlainTextResponse("The host name is not this server's. Use an address of digits or localhost.", 403)
        origin = headers.get("origin")
        if origin is not None and not _is_same_origin(origin, host, scope):
            return PlainTextResponse("The request comes from another site.", 403)
        if headers.get("sec-fetch-site", "none") in ("cross-site", "same-site"):
            followed = scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/"
            if not (followed and headers.get("sec-fetch-mode") == "navigate"):
                return PlainTextResponse("The request comes from another site.", 403)
        return None

    async def _log_in(self, scope: Scope, receive: Receive) -> Response | None:
        """Return None if the client is known; otherwise the login page, or what a login is answered with."""
        if scope["type"] == "http" and self._rules.token is not None:
            if scope["path"] == "/login" and scope["method"] == "POST":
                return await self._answer_form(Request(scope, receive))
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
            if scope["path"] == "/" and given:
                return await self._answer_token(given[0])
        if self._rules.knows(Headers(scope=scope)):
            return None
        if scope["type"] == "http" and scope["path"] == "/":
            return Response(self._login_page, 401, media_type="text/html")
        return JSONResponse({"error": "token: missing or wrong. Open the address that the server printed"}, 401)

    async def _answer_form(self, request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LARGEST_FORM:
                return PlainTextResponse("The form is too large.", 413)
        return await self._answer_token(parse_qs(body.decode("latin-1")).get("token", [""])[0].strip())

    async def _answer_token(self, given: str) -> Response:
        if not self._rules.is_token(given):
            await asyncio.sleep(WRONG_TOKEN_PAUSE)
            return Response(self._login_page.replace("hidden", "", 1), 401, media_type="text/html")
        answer = RedirectResponse("/", 303)  # without the token, which the history of the browser would keep
        answer.set_cookie(self._rules.cookie_name, self._rules.cookie, httponly=True, samesite="strict", path="/")
        return answer


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address to listen at.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0"), is_loopback("localhost")
    (True, False, True)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def new_token() -> str:
    """Return a random token of 128 bits.

    Examples
    --------
    >>> len(new_token())
    22
    """
    return secrets.token_urlsafe(16)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _host_of(value: str) -> str | None:
    """Return the name or address in a `Host` header, without the port; None if the header is bad."""
    try:
        parts = urlsplit(f"//{value}")
        _ = parts.port  # raises where the port is no number
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in value or not parts.hostname:
        return None
    return parts.hostname.lower().removesuffix(".")


def _is_same_origin(origin: str, host: str, scope: Scope) -> bool:
    scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
    return origin.lower() in (f"{scheme}://{host}".lower(), f"https://{host}".lower())
