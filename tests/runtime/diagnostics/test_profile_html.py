"""The report is one well-formed and complete page without external parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from shls.runtime.diagnostics import profile_html
from shls.runtime.diagnostics._chart import ticks
from shls.runtime.diagnostics.profile_html import check_report_path, to_html, write_report
from shls.runtime.errors import BadInput, MissingDependency
from tests.runtime.diagnostics.test_profile_text import made_up, with_power


def body(found: dict[str, Any]) -> ElementTree.Element:
    page = to_html(found)
    return ElementTree.fromstring(page[page.index("<body>") : page.index("</html>")].replace("<br>", "<br/>"))


def test_charts_and_tables() -> None:
    page = body(with_power(made_up(), 5.0))
    assert [title.text for title in page.iter("h2")] == [
        "Stages, ms",
        "Distribution of frame times",
        "Frame times over the run",
        "Temperatures",
        "Power",
        "Clocks",
        "Heaviest layers of the network",
    ]
    assert len(list(page.iter("svg"))) == 5
    assert len(list(page.iter("table"))) == 2


def test_without_a_device_s_word_there_are_no_empty_charts() -> None:
    assert len(list(body(made_up() | {"layers": []}).iter("svg"))) == 2


def test_nothing_is_loaded_from_elsewhere_and_names_are_escaped() -> None:
    page = to_html(made_up())
    assert "http" not in page
    assert "all of &lt;it&gt;" in page


def test_everything_lies_within_the_chart() -> None:
    times = [float(at % 7) for at in range(5000)]
    for line in body(made_up() | {"frame_ms": times}).iter("polyline"):
        points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        assert len(points) <= 1500
        assert all(0 <= x <= 900 and 0 <= y <= 220 for x, y in points)
        assert min(y for _, y in points) < 30, "the slowest frames are shown"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.003), (417.2, 612.9), (0, 86400)])
def test_ticks_are_few_and_within(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 3 <= len(found) <= 10
    assert all(low <= tick <= high for tick in found)


def test_without_jinja2_nothing_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_html, "find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match="pip install jinja2"):
        check_report_path(tmp_path / "report.html")


def test_where_it_may_be_written(tmp_path: Path) -> None:
    write_report(made_up(), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    with pytest.raises(BadInput, match=r"got \.pdf, expected \.html"):
        check_report_path(tmp_path / "report.pdf")
    with pytest.raises(BadInput, match="cannot be written"):
        check_report_path(tmp_path / "report.html" / "report.html")


def test_a_look_whether_it_can_be_written_changes_nothing(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("old")
    check_report_path(report)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert report.read_text() == "old"
