"""`shls serve`: a page to mark objects in, and to follow them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BadInput
from .options import Device, Model, Prompter, Refined, Refiner, Threads, check_refiner
from .run_options import (
    Boxes,
    FirstMask,
    Json,
    Loop,
    Marks,
    Objects,
    Points,
    Prompts,
    SourceName,
    Start,
    parse_marks,
)

if TYPE_CHECKING:
    from socket import socket

    from ..io.base import Source
    from ..segmenter import VideoSegmenter
    from ..server.access import Rules
    from ..server.session import Session

SERVER_PANEL = "Server"


def serve(
    source: SourceName,
    mask: FirstMask = None,
    box: Boxes = None,
    point: Points = None,
    objects: Objects = None,
    port: Annotated[
        int,
        typer.Option(
            help="TCP port of the page; 0 takes any free port.", min=0, max=65535, rich_help_panel=SERVER_PANEL
        ),
    ] = 8000,
    host: Annotated[
        str,
        typer.Option(
            help="Address of this machine to listen at; 0.0.0.0 for all. Any address but localhost needs a token.",
            rich_help_panel=SERVER_PANEL,
        ),
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            help="Secret that clients must know, at least 16 letters. By default a token is made where one is needed.",
            envvar="SHLS_TOKEN",
            rich_help_panel=SERVER_PANEL,
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name under which clients reach the server, beside its addresses. Repeat the option per name.",
            rich_help_panel=SERVER_PANEL,
        ),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(help="Stop the server after this many seconds.", min=0.1, rich_help_panel=SERVER_PANEL),
    ] = None,
    start: Start = 0,
    json: Json = None,
    prompts: Prompts = None,
    loop: Loop = False,
    model: Model = None,
    refiner: Refiner = None,
    refined: Refined = True,
    prompter: Prompter = None,
    threads: Threads = 0,
    device: Device = "auto",
) -> None:
    """Open a page in which objects are marked, followed and corrected. Ctrl-C ends the server."""
    from .options import require

    for module in ("starlette", "uvicorn", "websockets"):
        require(module, "serve")
    from ..segmenter import open_segmenter
    from ..server.access import Rules, is_loopback, new_token
    from ..server.running import open_socket

    given = mask is not None or box or point or objects
    marks = parse_marks(mask, box, point, objects) if given else Marks()
    check_refiner(refiner, refined)
    if token is None and not is_loopback(host):
        token = new_token()
    rules = Rules(host, token, tuple(name or ()))
    with open_socket(host, port) as opened:
        rules.port = opened.getsockname()[1]
        segmenter = open_segmenter(model, threads, device=device, refiner=refiner, refined=refined, prompter=prompter)
        session = _open_session(source, segmenter, marks, start, prompts, json, loop)
        with session:
            _serve(session, rules, opened, duration)


def _open_session(
    source: str,
    segmenter: VideoSegmenter,
    marks: Marks,
    start: int,
    prompts: Path | None,
    json: Path | None,
    loop: bool,
) -> Session:
    """Open the source, read the marks, and start the session."""
    from ..io.objects import ObjectTable
    from ..io.sinks import Outputs, open_sinks
    from ..io.sources import open_source
    from ..io.uris import redact
    from ..prompts.timeline import read_prompts
    from ..server.readers import open_reader
    from ..server.session import Session

    def opener(at: int) -> Source:
        return open_source(source, at)

    reader = open_reader(opener, start)
    try:
        if reader.live and loop:
            raise BadInput(f"{redact(source)}: is live and has no end to start again at. Leave --loop out.")
        found = marks.check(reader.size, start)
        entries = read_prompts(prompts, start, reader.size) if prompts else []
        protect = [*marks.files, *([prompts] if prompts else [])]
        table = ObjectTable()
        sink = open_sinks(Outputs(json=json), source, reader.info, protect, table) if json else None
        return Session(
            reader,
            segmenter,
            mask=found,
            prompts=marks.prompts,
            entries=entries,
            loop=loop,
            sink=sink,
            table=table,
            name=Path(redact(source)).name,
            solve=segmenter.solve,
        )
    except BaseException:
        reader.close()
        raise


def _serve(session: Session, rules: Rules, opened: socket, duration: float | None) -> None:
    from ..server.running import run_server

    def say() -> None:
        host = "localhost" if rules.host in ("0.0.0.0", "::") else rules.host
        shown = f"[{host}]" if ":" in host else host
        secret = f"?token={rules.token}" if rules.token else ""
        typer.echo(f"page: http://{shown}:{rules.port}/{secret}", err=True)

    run_server(session, rules, opened, seconds=duration, started=say)
    if session.failure is not None:
        raise session.failure
