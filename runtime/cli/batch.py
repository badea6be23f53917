"""`shls batch`: follow objects through many videos, on one machine or on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .convert import FormatName
from .options import Device, Model, Refined, Refiner, check_refiner
from .run_options import OUTPUT_PANEL, Boxes, Every, FirstMask, Objects, Points, parse_marks

if TYPE_CHECKING:
    from ..batch.scheduler import Engine
    from ..batch.tasks import Row, Wanted
    from ..segmenter import VideoSegmenter

WORK_PANEL = "Work"


class EngineName(str, Enum):  # Python 3.10 has no StrEnum
    """Names of the engines."""

    LOCAL = "local"
    RAY = "ray"


Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Manifest (.csv, .tsv or .jsonl with a column video, and any of output, mask, prompts, box, point, "
        "object, start); list of videos (.txt, or - for standard input); folder of videos; glob pattern; video. "
        "URLs of object storage need fsspec. Marks lie beside a video: clip.json, clip.png or clip_mask.png.",
    ),
]


def batch(
    inputs: Inputs,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for the results: a folder per video, and a summary. The same command resumes a stopped batch.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ],
    mask: FirstMask = None,
    box: Boxes = None,
    point: Points = None,
    objects: Objects = None,
    masks: Annotated[
        bool,
        typer.Option("--masks", help="Write one palette PNG of object ids per frame.", rich_help_panel=OUTPUT_PANEL),
    ] = False,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Write a video with coloured objects.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    cutout: Annotated[
        bool, typer.Option("--cutout", help="Write one transparent PNG per frame.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    mask_video: Annotated[
        bool, typer.Option("--mask-video", help="Write a lossless video of the masks.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    export: Annotated[
        list[FormatName] | None,
        typer.Option(
            help="Write another tool's format, too, into a folder of its name beside the other outputs. Repeat the "
            "option per format.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    every: Every = 1,
    jobs: Annotated[
        int,
        typer.Option(
            help="Number of workers; 0 for one per core, fewer if memory is short.", min=0, rich_help_panel=WORK_PANEL
        ),
    ] = 0,
    threads: Annotated[
        int, typer.Option(help="CPU threads of each worker; 0 divides the cores.", min=0, rich_help_panel=WORK_PANEL)
    ] = 0,
    engine: Annotated[
        EngineName,
        typer.Option(
            help="Engine that runs the workers: local, the processes of this machine; ray, a Ray cluster (extra ray).",
            rich_help_panel=WORK_PANEL,
        ),
    ] = EngineName.LOCAL,
    ray_address: Annotated[
        str | None,
        typer.Option(
            help="Address of the Ray cluster. By default that of RAY_ADDRESS or of this machine, else a new one.",
            rich_help_panel=WORK_PANEL,
        ),
    ] = None,
    cpus: Annotated[
        float,
        typer.Option(help="Cores that Ray reserves per worker.", min=0.1, rich_help_panel=WORK_PANEL),
    ] = 1.0,
    gpus: Annotated[
        float,
        typer.Option(help="GPUs that Ray reserves per worker; may be a fraction.", min=0.0, rich_help_panel=WORK_PANEL),
    ] = 0.0,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Compute videos anew that failed before.", rich_help_panel=WORK_PANEL)
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Compute results anew that another model, version or other settings made.",
            rich_help_panel=WORK_PANEL,
        ),
    ] = False,
    model: Model = None,
    refiner: Refiner = None,
    refined: Refined = True,
    device: Device = "auto",
) -> None:
    """Follow objects through many videos. Finished videos are skipped, so the command may be stopped at any time.

    The exit code is 0 if every video has a result, and 1 if some failed.
    """
    from sys import stdin

    from ..batch.manifest import read_rows
    from ..batch.output_folder import OutputFolder
    from ..batch.progress import Display
    from ..batch.run import run_batch
    from ..batch.tasks import Wanted

    check_refiner(refiner, refined)
    rows = read_rows(inputs, stdin, _default_row(mask, box, point, objects))
    wanted = Wanted(masks, overlay, cutout, mask_video, tuple(one.value for one in export or ()), every)
    opened, common = _networks(model, refiner, refined, device, wanted)
    if engine is EngineName.RAY:
        start = partial(_ray, opened, jobs, threads, ray_address, (cpus, gpus))
    else:
        start = partial(_local, opened, jobs, threads)
    folder = OutputFolder(out)
    with folder.locked(), Display() as display:
        folder.check_settings(common, replace)
        summary = run_batch(
            rows,
            folder,
            common,
            wanted,
            start,
            retry_failed=retry_failed,
            progress=display,
        )
    typer.echo(summary.table())
    typer.echo(summary.sentence())
    typer.echo(f"  {out / 'summary.html'}")
    if not summary.ok:
        raise typer.Exit(1)


def _default_row(
    mask: Path | None, box: list[str] | None, point: list[str] | None, objects: list[str] | None
) -> Row | None:
    """Return the marks of the options, for rows without own marks."""
    from ..batch.tasks import Row

    if not (mask or box or point or objects):
        return None
    marks = parse_marks(mask, box, point, objects)
    return Row("options", "", "", marks.mask, marks.prompts)


def _networks(
    model: Path | None, refiner: Path | None, refined: bool, device: str, wanted: Wanted
) -> tuple[Callable[..., VideoSegmenter], dict[str, Any]]:
    """Choose the networks once for all workers; return the function that opens them, and the settings of the batch."""
    from ..backends.base import contract_of
    from ..backends.pretrained import shipped_model, shipped_refiner
    from ..batch.keys import fingerprint
    from ..models.contract import Contract
    from ..segmenter import open_segmenter

    network = model or shipped_model(device)
    contract = contract_of(network)
    if refined and refiner is None and isinstance(contract, Contract):
        refiner = shipped_refiner(contract, device)
    opened = partial(open_segmenter, network.resolve(), device=device, refined=refiner is not None)
    if refiner is not None:
        opened = partial(opened, refiner=refiner.resolve())
    return opened, fingerprint(network, refiner, device, wanted)


def _local(opened: Callable[..., VideoSegmenter], jobs: int, threads: int, tasks: int) -> tuple[Engine, int]:
    """Start the engine of this machine; the workers share its cores."""
    from ..batch.local import LocalEngine, automatic_jobs
    from ..hardware.cpu import clamp_threads, usable_cores
    from .warm import compile_with_bar

    compile_with_bar()  # once, and not in each worker
    jobs = min(jobs, tasks) if jobs else automatic_jobs(tasks, usable_cores())
    threads = clamp_threads(threads) if threads else max(1, usable_cores() // jobs)
    return LocalEngine(partial(opened, threads=threads), threads), jobs


def _ray(
    opened: Callable[..., VideoSegmenter],
    jobs: int,
    threads: int,
    address: str | None,
    resources: tuple[float, float],
    tasks: int,
) -> tuple[Engine, int]:
    """Connect to a Ray cluster; a worker has as many threads as Ray reserves cores for it."""
    from ..batch.ray_engine import RayEngine

    threads = threads or max(1, int(resources[0]))
    engine = RayEngine(partial(opened, threads=threads), threads, address, *resources)
    return engine, min(jobs or engine.room(), tasks)
