"""A profile as one HTML file that needs nothing else: figures, distribution, time line."""

from __future__ import annotations

from html import escape
from itertools import accumulate
from pathlib import Path

import numpy as np

from .._support.files import check_writable, replace_file
from ..errors import BadInput
from .profile_text import COLUMNS, memory
from .profiler import Profile, warnings_of

WIDTH, HEIGHT = 900, 220
LEFT, RIGHT, TOP, BOTTOM = 60, 60, 24, 34  # around a chart, for its axes
BINS = 60
POINTS = 1500
"""Points of a line, at most: each stands for the slowest frame of its stretch."""
COLOURS = ("#2563a8", "#b4501e", "#3b7d3b", "#8a3b8a", "#6b6b1e", "#1e7b7b", "#a83232", "#555555")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em;
       color: #1b1b1b; background: #fff }
h1 { font-size: 1.4em } h2 { font-size: 1.1em; margin-top: 2em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .15em .8em .15em 0; text-align: right; border-bottom: 1px solid #ddd }
td:first-child, th:first-child { text-align: left }
.warning { background: #fff3d6; border-left: 4px solid #d08a00; padding: .4em .8em }
svg { width: 100%; height: auto } text { font: 12px system-ui, sans-serif; fill: #444 }
.key span { margin-right: 1.5em } .facts { color: #444 }
"""


def write_report(found: Profile, path: Path) -> None:
    """Write a profile as HTML; raises BadInput if the name does not end in .html, or cannot be written."""
    check_report_path(path)
    replace_file(path, to_html(found).encode())


def check_report_path(path: Path) -> None:
    """Raise BadInput, before anything is measured, if no report can be written there."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise BadInput(f"{path}: the report is a web page; expected a name that ends in .html")
    check_writable(path)


def to_html(found: Profile) -> str:
    """Lay a profile out as a page."""
    setup, machine = found["setup"], found["machine"]
    facts = (
        f"{setup['network']} {setup['precision']} {_size(setup['network_size'])} on {setup['backend']}, "
        f"{setup['threads']} threads, refiner: {setup['refiner'] or 'none'}; "
        f"{machine['processor']}, {machine['cores']} cores. {setup['source']} "
        f"{_size(setup['frame_size'])}, {found['frames']} frames, peak memory {memory(found)}, "
        f"warm-up {found['warm_up_s']:.1f} s (not in the times)."
    )
    parts = [
        f"<h1>{found['fps']:.1f} frames per second, median {found['stages']['frame']['p50']:.1f} ms</h1>",
        f'<p class="facts">{escape(facts)}<br>A latency includes: {escape(setup["includes"])}.</p>',
        *(f'<p class="warning">{escape(warning)}</p>' for warning in warnings_of(found)),
        "<h2>Stages, ms</h2>",
        _stage_table(found),
        "<h2>Distribution of frame times</h2>",
        _histogram(found["frame_ms"]),
        "<h2>Frame times over the run</h2>",
        _time_line(found),
        *_device(found),
        *_layers(found),
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>shls profile</title>'
        f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _stage_table(found: Profile) -> str:
    head = "".join(f"<th>{column}</th>" for column in COLUMNS)
    rows = [
        f"<tr><td>{escape(stage)}</td>" + "".join(f"<td>{row[column]:.2f}</td>" for column in COLUMNS) + "</tr>"
        for stage, row in found["stages"].items()
    ]
    return f"<table><tr><th>stage</th>{head}</tr>{''.join(rows)}</table>"


def _histogram(values: list[float]) -> str:
    counts, edges = np.histogram(values, BINS)
    chart = _Chart((float(edges[0]), float(edges[-1])), (0.0, float(counts.max())), "ms", "frames")
    for count, low, high in zip(counts, edges, edges[1:], strict=False):
        chart.bar(float(low), float(high), float(count))
    for percentile in (50, 99):
        chart.mark(float(np.percentile(values, percentile)), f"p{percentile}")
    return chart.svg()


def _time_line(found: Profile) -> str:
    times = np.fromiter(accumulate(found["frame_ms"]), float) / 1000
    values = np.asarray(found["frame_ms"])
    stretches = np.array_split(np.arange(len(values)), min(POINTS, len(values)))
    slowest = [int(stretch[values[stretch].argmax()]) for stretch in stretches]
    chart = _Chart((0.0, float(times[-1])), (0.0, float(values.max())), "seconds", "ms")
    chart.line([(float(times[at]), float(values[at])) for at in slowest], COLOURS[0])
    return chart.svg()


def _device(found: Profile) -> list[str]:
    samples, parts = found["device"]["samples"], list[str]()
    for key, title, unit in (
        ("temperatures", "Temperatures", "C"),
        ("power", "Power", "W"),
        ("clocks", "Clocks", "MHz"),
    ):
        names = sorted({name for sample in samples for name in sample[key]})[: len(COLOURS)]
        if not names or len(samples) < 2:
            continue
        highest = max(value for sample in samples for value in sample[key].values())
        chart = _Chart((0.0, samples[-1]["time"]), (0.0, highest), "seconds", unit)
        for name, colour in zip(names, COLOURS, strict=False):
            chart.line([(sample["time"], sample[key][name]) for sample in samples if name in sample[key]], colour)
        legend = "".join(
            f'<span style="color:{colour}">■ {escape(name)}</span>'
            for name, colour in zip(names, COLOURS, strict=False)
        )
        parts.append(f'<h2>{title}</h2>{chart.svg()}<p class="key">{legend}</p>')
    return parts


def _layers(found: Profile) -> list[str]:
    rows = found["layers"][1:16]
    if not rows:
        return []
    lines = [
        f"<tr><td>{escape(row['name'])}</td><td>{escape(row['type'])}</td><td>{row['averageMs']:.3f}</td>"
        f"<td>{row['percentage']:.1f}</td></tr>"
        for row in rows
    ]
    head = "<tr><th>layer</th><th>operator</th><th>ms</th><th>%</th></tr>"
    return [f"<h2>Heaviest layers of the network</h2><table>{head}{''.join(lines)}</table>"]


class _Chart:
    """Axes with round ticks, and what is drawn between them."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], x_unit: str, y_unit: str) -> None:
        self._x, self._y = _widened(x), _widened(y)
        self._parts: list[str] = []
        for value in _ticks(*self._x):
            at = self._at_x(value)
            self._parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:g}</text>')
        for value in _ticks(*self._y):
            at = self._at_y(value)
            self._parts.append(
                f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#e4e4e4"/>'
                f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>'
            )
        self._parts.append(
            f'<text x="{WIDTH - RIGHT + 8}" y="{HEIGHT - BOTTOM + 16}">{x_unit}</text>'
            f'<text x="4" y="{TOP - 12}">{y_unit}</text>'
        )

    def bar(self, low: float, high: float, value: float) -> None:
        left, right, top = self._at_x(low), self._at_x(high), self._at_y(value)
        width, height = max(0.5, right - left - 1), self._at_y(0) - top
        self._parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{COLOURS[0]}"/>'
        )

    def line(self, points: list[tuple[float, float]], colour: str) -> None:
        path = " ".join(f"{self._at_x(x):.1f},{self._at_y(y):.1f}" for x, y in points)
        self._parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')

    def mark(self, x: float, label: str) -> None:
        at = self._at_x(x)
        self._parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{COLOURS[1]}"/>'
            f'<text x="{at + 4:.1f}" y="{TOP - 6}" fill="{COLOURS[1]}">{label} {x:.1f}</text>'
        )

    def svg(self) -> str:
        return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(self._parts)}</svg>'

    def _at_x(self, value: float) -> float:
        low, high = self._x
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def _at_y(self, value: float) -> float:
        low, high = self._y
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _widened(span: tuple[float, float]) -> tuple[float, float]:
    """A span that can be divided by its length."""
    return span if span[1] > span[0] else (span[0], span[0] + 1)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two, about six."""
    rough = (high - low) / 6
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(min((1, 2, 5, 10), key=lambda one: abs(one * power - rough)) * power)
    return [round(at * step, 10) for at in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _size(size: list[int]) -> str:
    return f"{size[0]}x{size[1]}"
