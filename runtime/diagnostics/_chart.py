"""Charts as SVG: axes with round ticks, bars, lines and marks."""

from __future__ import annotations

import numpy as np

WIDTH, HEIGHT = 900, 220
LEFT, RIGHT, TOP, BOTTOM = 60, 60, 24, 34
"""Margins around a chart for its axes, pixels."""
COLORS = ("#2563a8", "#b4501e", "#3b7d3b", "#8a3b8a", "#6b6b1e", "#1e7b7b", "#a83232", "#555555")


class Chart:
    """A chart of one size with two axes.

    Parameters
    ----------
    x, y : ranges of the axes, lowest and highest value
    x_unit, y_unit : units, written beside the axes

    Examples
    --------
    >>> chart = Chart((0, 10), (0, 1), "seconds", "W")
    >>> chart.line([(0, 0.5), (10, 0.7)], COLORS[0])
    >>> chart.svg().count("<polyline")
    1
    """

    def __init__(self, x: tuple[float, float], y: tuple[float, float], x_unit: str, y_unit: str) -> None:
        self._x, self._y = _widened(x), _widened(y)
        self._parts: list[str] = []
        for value in ticks(*self._x):
            at = self._at_x(value)
            self._parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:g}</text>')
        for value in ticks(*self._y):
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
        """Draw a bar from 0 to a value, over a span of x."""
        left, right, top = self._at_x(low), self._at_x(high), self._at_y(value)
        width, height = max(0.5, right - left - 1), self._at_y(0) - top
        self._parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{COLORS[0]}"/>'
        )

    def line(self, points: list[tuple[float, float]], color: str) -> None:
        """Draw a line through points (x, y)."""
        path = " ".join(f"{self._at_x(x):.1f},{self._at_y(y):.1f}" for x, y in points)
        self._parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>')

    def mark(self, x: float, label: str) -> None:
        """Draw a vertical line with a label and its value."""
        at = self._at_x(x)
        self._parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{COLORS[1]}"/>'
            f'<text x="{at + 4:.1f}" y="{TOP - 6}" fill="{COLORS[1]}">{label} {x:.1f}</text>'
        )

    def svg(self) -> str:
        """Return the chart as an SVG element."""
        return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(self._parts)}</svg>'

    def _at_x(self, value: float) -> float:
        low, high = self._x
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def _at_y(self, value: float) -> float:
        low, high = self._y
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def ticks(low: float, high: float) -> list[float]:
    """Return about six round numbers between two numbers.

    Examples
    --------
    >>> ticks(0, 10)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    rough = (high - low) / 6
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(min((1, 2, 5, 10), key=lambda one: abs(one * power - rough)) * power)
    return [round(at * step, 10) for at in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _widened(span: tuple[float, float]) -> tuple[float, float]:
    """Return a span of positive length."""
    return span if span[1] > span[0] else (span[0], span[0] + 1)
