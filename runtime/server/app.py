"""Web application of a session: the page, the REST API and the WebSocket."""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from ..errors import BadInput, ShlsError
from ..io.palette import PALETTE
from .access import Access, Rules
from .actions import perform
from .downloads import write_download
from .history import timeline
from .painting import paint, to_jpeg
from .session import Session
from .status import describe_objects
from .values import Shown
from .viewers import Viewers, parse_json

STATIC = Path(__file__).with_name("static")
LARGEST_BODY = 1 << 20
"""Largest body of a request, bytes."""
MOST_DOWNLOADS = 2
"""Largest number of downloads that are made at a time."""
TIMELINE_PAUSE = 20
"""A time line is made anew after this many times the time that it took, so that a long history costs 5 % of a core."""
MOST_WIDTHS = 8
"""Largest number of widths whose time lines are kept."""
COLUMNS = 400
"""Default number of parts of the time line."""


def make_app(session: Session, rules: Rules) -> ASGIApp:
    """Make the web application of a session.

    Parameters
    ----------
    session : Session
        Session to show and to control; the application does not close it.
    rules : Rules
        Who may use the application.

    Returns
    -------
    ASGIApp

    Examples
    --------
    >>> make_app(session, Rules("127.0.0.1"))  # doctest: +SKIP
    <shls.runtime.server.access.Access object at ...>
    """
    api = Api(session)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        api.viewers.listen()
        yield
        api.viewers.stop()

    app = Starlette(
        routes=[
            Route("/", _page),
            WebSocketRoute("/ws", api.viewers.serve),
            Mount("/static", StaticFiles(directory=STATIC)),
            *api.routes(),
        ],
        exception_handlers={ShlsError: _bad_input},  # type: ignore[dict-item]
        lifespan=lifespan,
    )
    return Access(app, rules, (STATIC / "login.html").read_text())


class Api:
    """REST API of a session.

    Parameters
    ----------
    session : Session
        Session to show and to control.

    Examples
    --------
    >>> [route.path for route in Api(session).routes()][:2]  # doctest: +SKIP
    ['/api/status', '/api/objects']
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.viewers = Viewers(session)
        self._downloads = 0
        self._lines: dict[int, dict[str, Any]] = {}
        self._lines_due = 0.0

    def routes(self) -> list[Route]:
        """Return the routes below /api."""
        return [
            Route("/api/status", self.status),
            Route("/api/objects", self.objects),
            Route("/api/objects/{object:int}", self.change, methods=["PATCH"]),
            Route("/api/objects/{object:int}", self.remove, methods=["DELETE"]),
            Route("/api/prompts", self.prompt, methods=["POST"]),
            Route("/api/prompts", self.cancel, methods=["DELETE"]),
            Route("/api/control", self.control, methods=["POST"]),
            Route("/api/frame", self.frame),
            Route("/api/mask", self.mask),
            Route("/api/timeline", self.timeline),
            Route("/api/recordings", self.recordings),
            Route("/api/recordings/{number:int}", self.recording),
            Route("/api/downloads/{name}", self.download),
            Route("/api/openapi.json", _openapi),
        ]

    async def status(self, _: Request) -> Response:
        """Answer the status."""
        return JSONResponse(self.viewers.status())

    async def objects(self, _: Request) -> Response:
        """Answer the objects of the shown frame."""
        shown = self._shown()
        head = {"frame": shown.frame.index, "time": round(shown.frame.time, 3)}
        return JSONResponse(head | {"objects": describe_objects(self.session, shown)})

    async def change(self, request: Request) -> Response:
        """Rename, recolour, hide or show an object."""
        fields = await self._fields(request)
        fields["object"] = request.path_params["object"]
        return JSONResponse(await perform(self.session, "object", fields))

    async def remove(self, request: Request) -> Response:
        """Remove an object from all frames."""
        self._take(request)
        await perform(self.session, "remove", {"object": request.path_params["object"]})
        return Response(status_code=204)

    async def prompt(self, request: Request) -> Response:
        """Find the mask of a prompt, and follow the object if asked to."""
        return JSONResponse(await perform(self.session, "prompt", await self._fields(request)))

    async def cancel(self, request: Request) -> Response:
        """Forget the preview."""
        self._take(request)
        await perform(self.session, "cancel", {})
        return Response(status_code=204)

    async def control(self, request: Request) -> Response:
        """Carry out an action, and answer the status."""
        fields = await self._fields(request)
        name = fields.pop("action", None)
        if not isinstance(name, str):
            raise BadInput("control: no action is given (expected such as play). Add the field action")
        await perform(self.session, name, fields)
        return JSONResponse(self.viewers.status())

    async def frame(self, request: Request) -> Response:
        """Answer the shown frame as JPEG."""
        shown = self._shown()
        plain = request.query_params.get("overlay", "1") == "0"
        objects = () if plain else self.session.objects.all()
        picture = await asyncio.to_thread(_jpeg, shown, objects)
        return Response(picture, media_type="image/jpeg", headers=_headers(shown))

    async def mask(self, _: Request) -> Response:
        """Answer the mask of the shown frame as palette PNG."""
        shown = self._shown()
        return Response(await asyncio.to_thread(_png, shown), media_type="image/png", headers=_headers(shown))

    async def timeline(self, request: Request) -> Response:
        """Answer the time line."""
        try:
            columns = int(request.query_params.get("columns", COLUMNS))
        except ValueError:
            columns = 0
        if not 1 <= columns <= 4000:
            raise BadInput("columns: wrong value (expected a whole number, 1 to 4000)")
        begun, known = time.monotonic(), self._lines.get(columns)
        changed = known is None or known["version"] != self.session.player.history.version
        if known is None or (changed and begun >= self._lines_due):
            known = await asyncio.to_thread(_timeline, self.session, columns)
            self._lines_due = begun + TIMELINE_PAUSE * (time.monotonic() - begun)
            self._lines = dict(list(self._lines.items())[-MOST_WIDTHS:]) | {columns: known}
        return JSONResponse(known)

    async def recordings(self, _: Request) -> Response:
        """Answer the list of recordings."""
        return JSONResponse({"recordings": [one.as_json() for one in self.session.player.recorder.all()]})

    async def recording(self, request: Request) -> Response:
        """Answer a finished recording."""
        found = self.session.player.recorder.get(request.path_params["number"])
        if found.running:
            raise BadInput(f"recording {found.number}: is running. Stop the recording first")
        return FileResponse(found.path, media_type="video/mp4", filename=f"recording-{found.number}.mp4")

    async def download(self, request: Request) -> Response:
        """Make a file of all results, and answer it."""
        if self._downloads >= MOST_DOWNLOADS:
            raise Busy("download: too many at once. Wait until one is finished")
        self._downloads += 1
        folder = tempfile.TemporaryDirectory(prefix="shls-download-")
        try:
            material = await asyncio.wrap_future(self.session.material())
            path = await asyncio.to_thread(write_download, request.path_params["name"], material, Path(folder.name))
        except BaseException:
            folder.cleanup()
            raise
        finally:
            self._downloads -= 1
        return FileResponse(path, filename=path.name, background=BackgroundTask(folder.cleanup))

    def _shown(self) -> Shown:
        if self.session.player.shown is None:
            raise BadInput("session: no frame yet. Wait until the source gives one")
        return self.session.player.shown

    async def _fields(self, request: Request) -> dict[str, Any]:
        """Read the JSON object of a request that changes something."""
        self._take(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise BadInput(f"request: wrong content type (got {kind[:40]!r}, expected application/json)")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LARGEST_BODY:
                raise TooLarge(f"request: too large (expected at most {LARGEST_BODY} bytes). Send less")
        fields = parse_json(body)
        if not isinstance(fields, dict):
            raise BadInput("request: not a JSON object (expected fields in braces)")
        return fields

    def _take(self, request: Request) -> None:
        """Take the control for a request that changes something; Busy if a page controls."""
        if request.headers.get("x-shls-control") == "take":
            self.viewers.controller = None
            self.viewers.wake()
        elif self.viewers.controller is not None:
            raise Busy("control: a page controls the session. Send the header `X-Shls-Control: take` to take it")


class Busy(BadInput):
    """Another client controls the session, or the server has too much to do.

    Examples
    --------
    >>> issubclass(Busy, BadInput)
    True
    """


class TooLarge(BadInput):
    """A request has too many bytes.

    Examples
    --------
    >>> issubclass(TooLarge, BadInput)
    True
    """


async def _page(_: Request) -> Response:
    return FileResponse(STATIC / "index.html")


async def _openapi(_: Request) -> Response:
    return FileResponse(STATIC / "openapi.json")


async def _bad_input(_: Request, error: Exception) -> Response:
    code = 409 if isinstance(error, Busy) else 413 if isinstance(error, TooLarge) else 400
    return JSONResponse({"error": str(error)}, code)


def _jpeg(shown: Shown, objects: Any) -> bytes:
    return to_jpeg(paint(shown.frame.image, shown.mask.labels, objects), 92)


def _png(shown: Shown) -> bytes:
    picture = Image.fromarray(shown.mask.labels)
    picture.putpalette(PALETTE.tobytes())
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=1)
    return content.getvalue()


def _headers(shown: Shown) -> dict[str, str]:
    return {"X-Shls-Frame": str(shown.frame.index), "X-Shls-Time": f"{shown.frame.time:.3f}"}


def _timeline(session: Session, columns: int) -> dict[str, Any]:
    results = session.player.history.all()
    first, last = session.player.reader.first, session.player.reader.count
    if last is None:
        first = results[0].index if results else 0
        last = results[-1].index + 1 if results else 1
    objects = {one.object_id: one for one in session.objects.all()}
    return {"version": session.player.history.version} | timeline(results, objects, (first, last), columns)
