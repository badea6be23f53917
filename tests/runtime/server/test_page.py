"""The page of `shls serve` in a real Chromium."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.io.masks import read_mask
from shls.runtime.io.sources import open_source
from shls.runtime.segmenter import open_segmenter
from shls.runtime.server.access import Rules
from shls.runtime.server.readers import open_reader
from shls.runtime.server.session import Session
from tests.fake_server import Shifts, open_session, serving, squares
from tests.live_servers import free_port, mjpeg

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
PATIENCE = 60_000
"""Longest wait for the page, milliseconds: the machine may be busy."""
SIZE = (240, 426)
"""Height and width of the rabbit's frames."""
TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@contextmanager
def page_of(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    """Open a page; an error in its scripts fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert errors == []


def expect(thing: Any) -> Any:
    playwright.expect.set_options(timeout=PATIENCE)
    return playwright.expect(thing)


def place(page: Any, x: float, y: float, size: tuple[int, int] = SIZE) -> dict[str, float]:
    """Position on the canvas of a position in the frame."""
    box = page.locator("#canvas").bounding_box()
    return {"x": x * box["width"] / size[1], "y": y * box["height"] / size[0]}


def drag(page: Any, begin: tuple[float, float], end: tuple[float, float], size: tuple[int, int] = SIZE) -> None:
    box = page.locator("#canvas").bounding_box()
    for at, (x, y) in enumerate((begin, end)):
        spot = place(page, x, y, size)
        page.mouse.move(box["x"] + spot["x"], box["y"] + spot["y"], steps=1 + 3 * at)
        (page.mouse.up if at else page.mouse.down)()


def status(page: Any) -> dict[str, Any]:
    return dict(page.request.get(f"{page.url}api/status").json())


def objects(page: Any) -> list[dict[str, Any]]:
    return list(page.request.get(f"{page.url}api/objects").json()["objects"])


def mask_of(page: Any) -> np.ndarray:
    data = np.frombuffer(page.request.get(f"{page.url}api/frame?overlay=0").body(), np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape == (*SIZE, 3)
    from io import BytesIO

    from PIL import Image

    return np.asarray(Image.open(BytesIO(page.request.get(f"{page.url}api/mask").body())))


def draft_is_ready(page: Any) -> None:
    expect(page.locator("#draft-text")).to_have_text(re.compile(r"\d px"))


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first six frames of the shipped clip, small."""
    folder = tmp_path_factory.mktemp("rabbit")
    with open_source(ASSETS / "bunny.mp4") as clip:
        for frame in clip:
            image = cv2.resize(frame.image[..., ::-1], SIZE[::-1], interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(folder / f"{frame.index:05d}.png"), image)
            if frame.index == 5:
                return folder
    raise AssertionError


def test_mark_follow_correct_and_remove_the_rabbit(browser: Any, rabbit: Path) -> None:
    truth = cv2.resize(read_mask(ASSETS / "bunny_mask.png", (480, 854)), SIZE[::-1], interpolation=cv2.INTER_NEAREST)
    x, y, width, height = cv2.boundingRect(truth)
    reader = open_reader(lambda start: open_source(rabbit, start))
    with (
        open_segmenter(device="cpu") as segmenter,
        Session(reader, segmenter, loop=True) as session,
        serving(session) as address,
        page_of(browser, address) as page,
    ):
        session.pause().result()  # a first start compiles the kernels for a minute
        expect(page.locator("#state")).to_have_text("paused")
        drag(page, (x - 2, y - 2), (x + width + 2, y + height + 2))
        draft_is_ready(page)
        page.fill("#draft-name", "<b>rabbit</b>")
        page.press("#draft-name", "Enter")
        expect(page.locator(".object-facts")).to_have_text(re.compile("px"))
        found = mask_of(page) > 0
        assert (found & (truth > 0)).sum() > 0.6 * (found | (truth > 0)).sum()
        expect(page.locator("#objects input[type=text]")).to_have_value("<b>rabbit</b>")
        assert page.locator("#objects b, #stage b").count() == 1, "the bar alone: a name is no markup"

        page.press("#canvas", "Space")
        expect(page.locator("#position")).to_have_text(re.compile(r"frame [2-5] / 5"))
        page.press("#canvas", "Space")
        expect(page.locator("#state")).to_have_text("paused")
        expect(page.locator(".object-facts")).to_have_text(re.compile(r"px · confidence 0\.[5-9]"))

        page.locator(".object-facts").click()  # chooses the object
        _, top, _, high = objects(page)[0]["box"]
        inside = np.argwhere(mask_of(page)[top : top + high // 4] == 1)
        row, column = inside[len(inside) // 2]
        page.locator("#canvas").click(position=place(page, column + 0.5, top + row + 0.5), modifiers=["Shift"])
        draft_is_ready(page)
        page.keyboard.press("Enter")
        expect(page.locator("#draft")).to_be_hidden()
        assert mask_of(page)[top + row, column] == 0, "what was clicked is no longer the object"

        strip = page.locator("#tracks").bounding_box()
        page.mouse.click(strip["x"] + strip["width"] * 1.5 / 6, strip["y"] + strip["height"] / 2)
        expect(page.locator("#position")).to_have_text(re.compile("frame 1 / 5"))
        assert (mask_of(page) > 0).any(), "the known mask"

        page.reload()
        expect(page.locator("#objects li")).to_have_count(1)
        expect(page.locator("#position")).to_have_text(re.compile("frame 1 / 5"))

        page.on("dialog", lambda dialog: dialog.accept())
        page.locator(".remove").click()
        expect(page.locator("#objects li")).to_have_count(0)
        assert not mask_of(page).any()


def test_paint_undo_cancel_and_refusals(browser: Any) -> None:
    size = (64, 96)
    with open_session(solve=squares) as session, serving(session) as address, page_of(browser, address) as page:
        expect(page.locator("#state")).to_have_text("paused")
        page.keyboard.press("b")
        drag(page, (20, 30), (50, 30), size)
        draft_is_ready(page)
        page.keyboard.press("Control+z")
        expect(page.locator("#draft")).to_be_hidden()
        page.keyboard.press("v")
        page.locator("#canvas").click(position=place(page, 20, 30, size), modifiers=["Shift"])
        expect(page.locator("#hint")).to_have_text(re.compile("Mark the object first"))
        page.locator("#canvas").click(position=place(page, 20, 30, size))
        draft_is_ready(page)
        expect(page.locator("#draft-text")).to_have_text(re.compile("New object · 81 px"))
        page.locator("#canvas").click(position=place(page, 20, 30, size), modifiers=["Shift"])
        expect(page.locator("#hint")).to_have_text(re.compile("on the object and not on it"))
        expect(page.locator("#draft-text")).to_have_text(re.compile("81 px"))
        page.keyboard.press("Escape")
        expect(page.locator("#draft")).to_be_hidden()
        assert objects(page) == []
        page.keyboard.press("?")
        expect(page.locator("#help")).to_be_visible()
        assert page.locator("#keys tr").count() > 15
        page.keyboard.press("Escape")
        expect(page.locator("#help")).to_be_hidden()


def test_the_source_is_lost_and_comes_back(browser: Any) -> None:
    port = free_port()
    camera = f"http://127.0.0.1:{port}/video"
    with ExitStack() as stack:
        server = stack.enter_context(mjpeg(port))
        session = stack.enter_context(Session(open_reader(lambda start: open_source(camera, start)), Shifts()))
        page = stack.enter_context(page_of(browser, stack.enter_context(serving(session))))
        expect(page.locator("#state")).to_have_text("playing")
        expect(page.locator("#facts")).to_have_text(re.compile("ms old"))
        server.stop()
        expect(page.locator("#banner")).to_have_text(re.compile("The source is lost since [1-9]"))
        expect(page.locator("#state")).to_have_text("source lost")
        lost_at = status(page)["frame"]
        page.reload()
        expect(page.locator("#position")).to_have_text(re.compile(f"frame {lost_at} "))
        with mjpeg(port):
            expect(page.locator("#banner")).to_be_hidden()
            expect(page.locator("#state")).to_have_text("playing")
            assert status(page)["frame"] > lost_at


def test_two_viewers_and_one_control(browser: Any) -> None:
    with (
        open_session() as session,
        serving(session) as address,
        page_of(browser, address) as first,
        page_of(browser, address) as second,
    ):
        expect(first.locator("#state")).to_have_text("paused")
        expect(first.locator("#play")).to_be_enabled()
        expect(second.locator("#play")).to_be_disabled()
        first.locator("#step").click()
        expect(second.locator("#position")).to_have_text(re.compile("frame 1 "))
        second.locator("#canvas").click()
        expect(second.locator("#hint")).to_have_text(re.compile("Another page controls"))
        second.locator("#take").click()
        expect(second.locator("#play")).to_be_enabled()
        expect(first.locator("#play")).to_be_disabled()
        second.locator("#step").click()
        expect(first.locator("#position")).to_have_text(re.compile("frame 2 "))


def test_a_wrong_token_and_the_right_one(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shls.runtime.server.access.WRONG_TOKEN_PAUSE", 0.0)
    with (
        open_session() as session,
        serving(session, Rules("127.0.0.1", TOKEN)) as address,
        page_of(browser, f"{address}/?token=wrong-and-long-enough") as page,
    ):
        expect(page.locator(".wrong")).to_be_visible()
        page.fill("#token", "wrong again, and long")
        page.press("#token", "Enter")
        expect(page.locator(".wrong")).to_be_visible()
        page.fill("#token", TOKEN)
        page.press("#token", "Enter")
        expect(page.locator("#state")).to_have_text("paused")
        assert TOKEN not in page.url
        assert page.evaluate("document.cookie") == "", "scripts cannot read the cookie"


def test_a_phone(browser: Any) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with open_session() as session, serving(session) as address:
        context = browser.new_context(**phone)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(address)
        expect(page.locator("#state")).to_have_text("paused")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for button in page.locator("button:visible").all():
            box = button.bounding_box()
            assert box["width"] >= 36
            assert box["height"] >= 36
        page.locator("#canvas").tap(position=place(page, 20, 30, (64, 96)))
        draft_is_ready(page)
        masks = page.locator("#downloads a").first
        expect(masks).to_have_attribute("aria-disabled", "true")
        page.locator("#draft button[type=submit]").tap()
        expect(page.locator("#objects li")).to_have_count(1)
        expect(masks).to_have_attribute("aria-disabled", "false")
        with page.expect_download() as download:
            masks.tap()
        assert download.value.suggested_filename == "masks.zip"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        context.close()
