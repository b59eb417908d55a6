"""The page, in a real browser where there is one."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_REACHABLE = """[...document.querySelectorAll('button, input, select, .claim')].filter(
    (one) => one.checkVisibility()).map((one) => one.id || one.textContent.trim())"""
PAGE = Path(__file__).resolve().parents[2] / "src" / "mien" / "serve" / "page"


def test_it_loads_nothing_from_elsewhere() -> None:
    for path in PAGE.iterdir():
        addresses = [
            one for one in re.findall(r"https?://[^\"' )]+", path.read_text()) if "www.w3.org" not in one
        ]
        assert addresses == [], path.name


def test_it_is_served_with_its_bounds(server: Any) -> None:
    reply = server.client.get("/", follow_redirects=True)
    assert reply.status_code == 200 and "not what a person feels" in " ".join(reply.text.split())
    assert "default-src 'self'" in reply.headers["content-security-policy"]
    assert server.client.get("/ui/page.js").status_code == 200
    assert len(server.client.get("/ui/tables.json").json()["contours"]) > 5


@pytest.fixture
def faults() -> list[str]:
    return []


def visit(browser: Any, address: str, faults: list[str], **screen: Any) -> Any:
    page = browser.new_page(**screen)
    page.set_default_timeout(90_000)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda sent: faults.append(sent.url) if "//" in sent.url and address not in sent.url else None,
    )
    page.goto(f"{address}/ui/")
    return page


@pytest.mark.slow
def test_a_photo_a_clip_the_camera_and_what_goes_wrong(
    browser: Any, server: Any, examples: Path, clip: Path, tmp_path: Path, faults: list[str]
) -> None:
    page = visit(browser, server.address, faults, viewport={"width": 1280, "height": 900}, bypass_csp=True)
    page.set_input_files("#file", examples / "eileen_collins.jpg")
    page.wait_for_selector("#result:not([hidden])")
    assert "happiness" in page.text_content("#emotion")
    assert page.locator("#aus tbody tr").count() == 22
    page.wait_for_selector(".claim")
    page.locator(".claim").first.focus()
    assert "The statement is supported" in page.text_content("#measured")
    page.fill("#question", "Are the brows raised?")
    page.press("#question", "Enter")
    page.wait_for_selector("#talk li:nth-child(2)")
    with page.expect_download() as fetched:
        page.click("[data-get=csv]")
    assert "AU12_i" in Path(fetched.value.path()).read_text()
    page.click("#keep")
    page.set_input_files("#file", examples / "grace_hopper.jpg")
    page.wait_for_function("document.querySelector('#emotion').textContent.includes('neutral')")
    assert page.locator("th.other").is_visible()
    page.set_input_files("#file", clip)
    page.wait_for_selector("#course:not([hidden])")
    page.locator("#scrub").press("End")
    page.wait_for_function("parseFloat(document.querySelector('#now').textContent) > 2")
    assert page.locator("#events li").count() >= 1
    assert faults == []
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    page.set_input_files("#file", tmp_path / "bad.jpg")
    page.wait_for_selector("#error:not([hidden])")
    assert "no picture" in page.text_content("#error")
    page.click("#camera")
    page.wait_for_function("document.querySelector('#status').textContent.startsWith('Live')")
    page.click("#camera")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_it_fits_a_phone_and_names_what_it_has(
    browser: Any, server: Any, examples: Path, faults: list[str], width: int, scheme: str
) -> None:
    page = visit(
        browser,
        server.address,
        faults,
        viewport={"width": width, "height": 844},
        color_scheme=scheme,
    )
    page.set_input_files("#file", examples / "grace_hopper.jpg")
    page.wait_for_selector("#result:not([hidden])")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    unnamed = """[...document.querySelectorAll('button, input, select, canvas[role], svg[role]')].filter(
        (one) => one.checkVisibility() && !(one.textContent.trim() || one.ariaLabel || one.labels?.length)).length"""
    assert page.evaluate(unnamed) == 0
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    assert faults == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing_serious(
    browser: Any, server: Any, examples: Path, clip: Path, faults: list[str], width: int, scheme: str,
    serious: Callable[[Any], list[str]],
) -> None:  # fmt: skip
    page = visit(
        browser, server.address, faults, bypass_csp=True, color_scheme=scheme,
        viewport={"width": width, "height": 844},
    )  # fmt: skip
    assert serious(page) == []
    page.set_input_files("#file", [examples / "eileen_collins.jpg", examples / "grace_hopper.jpg"])
    page.wait_for_selector("#result:not([hidden])")
    page.wait_for_selector(".claim")
    page.fill("#question", "Are the brows raised?")
    page.press("#question", "Enter")
    page.wait_for_selector("#talk li:nth-child(2)")
    page.click("#keep")
    assert serious(page) == []
    page.set_input_files("#file", clip)
    page.wait_for_selector("#course:not([hidden])")
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_a_folder_is_dropped_and_each_of_its_pictures_can_be_chosen(
    browser: Any, server: Any, examples: Path, tmp_path: Path, faults: list[str]
) -> None:
    page = visit(browser, server.address, faults, bypass_csp=True)
    given = [
        {"name": name, "data": base64.b64encode((examples / name).read_bytes()).decode()}
        for name in ("grace_hopper.jpg", "eileen_collins.jpg")
    ]
    # Scripts cannot drop a real folder: its entry is played, in the form that browsers give.
    page.evaluate(
        """(given) => {
        const files = given.map((one) => new File([Uint8Array.from(atob(one.data), (sign) => sign.charCodeAt(0))],
            one.name, { type: "image/jpeg" }));
        files.push(new File(["x"], "notes.txt", { type: "text/plain" }));
        const batches = [files.map((file) => ({ isFile: true, file: (done) => done(file) })), []];
        const folder = { isFile: false, createReader: () => ({ readEntries: (done) => done(batches.shift()) }) };
        const event = new Event("drop", { cancelable: true });
        event.dataTransfer = { files: [], items: [{ webkitGetAsEntry: () => folder }] };
        document.dispatchEvent(event);
    }""",
        given,
    )
    page.wait_for_selector("#result:not([hidden])")
    assert page.locator("#files button").all_text_contents() == ["eileen_collins.jpg", "grace_hopper.jpg"]
    assert "happiness" in page.text_content("#emotion")
    page.click("#files li:nth-child(2) button")
    page.wait_for_function("document.querySelector('#emotion').textContent.includes('neutral')")
    assert page.locator("#files [aria-pressed=true]").text_content() == "grace_hopper.jpg"
    assert faults == []


@pytest.mark.slow
def test_the_keyboard_reaches_everything(
    browser: Any, server: Any, examples: Path, faults: list[str]
) -> None:
    page = visit(browser, server.address, faults)
    page.set_input_files("#file", examples / "eileen_collins.jpg")
    page.wait_for_selector("#result:not([hidden])")
    page.evaluate("document.activeElement.blur()")
    page.wait_for_selector(".claim")
    wanted = page.evaluate(_REACHABLE)
    reached = []
    for _ in range(len(wanted) + 2):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")
        )
    assert set(wanted) <= set(reached)
    assert faults == []


@pytest.mark.slow
def test_twenty_people_at_once_see_numbers_first_and_then_words(
    browser: Any, server: Any, examples: Path, faults: list[str]
) -> None:
    pages = [visit(browser, server.address, faults) for _ in range(20)]
    for number, page in enumerate(pages):
        page.set_input_files("#file", examples / ("eileen_collins.jpg", "grace_hopper.jpg")[number % 2])
    for number, page in enumerate(pages):
        page.wait_for_selector("#result:not([hidden])")
        assert ("happiness", "neutral")[number % 2] in page.text_content("#emotion")
    assert "Being written" in pages[-1].text_content("#explanation")
    for page in pages:
        page.wait_for_selector(".claim")
        page.close()
    assert faults == []
