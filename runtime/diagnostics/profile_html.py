"""Write a profile as one HTML file without external parts: figures, distribution, course over time.

The page is the template `assets/profile.html.jinja`, filled by Jinja2.
"""

from __future__ import annotations

from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from .._support.files import check_writable, replace_file
from ..backends.pretrained import ASSETS
from ..errors import BadInput, MissingDependency
from ._chart import COLORS, Chart
from .profile_figures import Profile, warnings_of
from .profile_text import COLUMNS, memory

TEMPLATE = "profile.html.jinja"
BINS = 60
"""Number of bars of the distribution."""
POINTS = 1500
"""Most points of a line; each point is the slowest frame of its stretch."""
DEVICE = (("temperatures", "Temperatures", "C"), ("power", "Power", "W"), ("clocks", "Clocks", "MHz"))
"""Readings that have a chart: key of a sample, title, unit."""


def write_report(found: Profile, path: Path) -> None:
    """Write a profile as HTML.

    Parameters
    ----------
    found : profile, see `shls.runtime.diagnostics.profiler`
    path : file to write, .html

    Raises
    ------
    BadInput
        If the name does not end in .html, or the file cannot be written.
    MissingDependency
        If Jinja2 is not installed.

    Examples
    --------
    >>> from shls.runtime.diagnostics.profile_text import read_profile
    >>> write_report(read_profile(Path("profile.json")), Path("profile.html"))  # doctest: +SKIP
    """
    check_report_path(path)
    replace_file(path, to_html(found).encode())


def check_report_path(path: Path) -> None:
    """Check before the measurement that a report can be written; errors are those of `write_report`.

    Parameters
    ----------
    path : file that will be written

    Examples
    --------
    >>> check_report_path(Path("profile.pdf"))
    Traceback (most recent call last):
        ...
    shls.runtime.errors.BadInput: profile.pdf: not a web page (got .pdf, expected .html). Give another name.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise BadInput(f"{path}: not a web page (got {path.suffix or 'no suffix'}, expected .html). Give another name.")
    if find_spec("jinja2") is None:
        raise MissingDependency("--report: Jinja2 is not installed. Run `pip install jinja2`.")
    check_writable(path)


def to_html(found: Profile) -> str:
    """Return a profile as a web page.

    Parameters
    ----------
    found : profile, see `shls.runtime.diagnostics.profiler`

    Examples
    --------
    >>> from shls.runtime.diagnostics.profile_text import read_profile
    >>> to_html(read_profile(Path("profile.json")))[:15]  # doctest: +SKIP
    '<!doctype html>'
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    pages = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return pages.get_template(TEMPLATE).render(
        found,
        columns=COLUMNS,
        memory=memory(found),
        warnings=warnings_of(found),
        histogram=Markup(_histogram(found["frame_ms"])),
        time_line=Markup(_time_line(found["frame_ms"])),
        device_charts=[chart | {"svg": Markup(chart["svg"])} for chart in _device_charts(found["device"]["samples"])],
    )


def _histogram(milliseconds: list[float]) -> str:
    counts, edges = np.histogram(milliseconds, BINS)
    chart = Chart((float(edges[0]), float(edges[-1])), (0.0, float(counts.max())), "ms", "frames")
    for count, low, high in zip(counts, edges, edges[1:], strict=False):
        chart.bar(float(low), float(high), float(count))
    for percentile in (50, 99):
        chart.mark(float(np.percentile(milliseconds, percentile)), f"p{percentile}")
    return chart.svg()


def _time_line(milliseconds: list[float]) -> str:
    times, values = np.fromiter(accumulate(milliseconds), float) / 1000, np.asarray(milliseconds)
    stretches = np.array_split(np.arange(len(values)), min(POINTS, len(values)))
    slowest = [int(stretch[values[stretch].argmax()]) for stretch in stretches]
    chart = Chart((0.0, float(times[-1])), (0.0, float(values.max())), "seconds", "ms")
    chart.line([(float(times[at]), float(values[at])) for at in slowest], COLORS[0])
    return chart.svg()


def _device_charts(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a chart with title and legend for each kind of reading that at least two samples have."""
    charts: list[dict[str, Any]] = []
    for key, title, unit in DEVICE:
        names = sorted({name for sample in samples for name in sample[key]})[: len(COLORS)]
        if not names or len(samples) < 2:
            continue
        highest = max(value for sample in samples for value in sample[key].values())
        chart = Chart((0.0, samples[-1]["time"]), (0.0, highest), "seconds", unit)
        legend = list(zip(names, COLORS, strict=False))
        for name, color in legend:
            chart.line([(sample["time"], sample[key][name]) for sample in samples if name in sample[key]], color)
        charts.append({"title": title, "svg": chart.svg(), "legend": legend})
    return charts
