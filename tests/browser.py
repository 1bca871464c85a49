"""Pages in Chromium: opened from disk without a network, or from a server, in light and dark, wide and narrow, with axe-core.

`browser()` skips where Playwright or Chromium is not installed. Playwright's own build of Chromium serves as well.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

WIDTHS = {"wide": 1280, "narrow": 390}
SCHEMES = ("light", "dark")
EXECUTABLES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A running Chromium; the test is skipped, with the reason, where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="pages are tested with playwright (the dev extra)")
    pytest.importorskip("axe_playwright_python", reason="pages are tested with axe-playwright-python (the dev extra)")
    executable = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    with sync_api.sync_playwright() as playwright:
        try:
            running = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no Chromium starts here: {str(error).splitlines()[0]}")
        yield running
        running.close()


@contextlib.contextmanager
def opened(running: Any, file: Path, width: int = 1280, scheme: str = "light", **context: Any) -> Iterator[Any]:
    """The page of a file. Fails where its console has an error, a script raises, or it asks for anything but itself."""
    with visited(running, file.resolve().as_uri(), width, scheme, offline=True, **context) as page:
        page.wait_for_timeout(100)  # charts are drawn once their width is known
        yield page


@contextlib.contextmanager
def visited(
    running: Any, address: str, width: int = 1280, scheme: str = "light", expected: str = "", **context: Any
) -> Iterator[Any]:
    """The page at an address, as `opened`; messages of the console that hold what is `expected` are no faults."""
    holder = running.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce", **context
    )
    page, faults = holder.new_page(), []

    def note(message: Any) -> None:
        if message.type in ("error", "warning") and not (expected and expected in message.text):
            faults.append(message.text)

    own = ("data:", "file:", "blob:") if address.startswith("file:") else ("data:", "blob:", address)
    page.on("console", note)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url) if not request.url.startswith(own) else None)
    page.goto(address)
    yield page
    holder.close()
    assert not faults, faults


def violations(page: Any) -> list[str]:
    """What axe-core finds wrong with an open page, everything folded opened first."""
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    page.wait_for_timeout(100)
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:200]} {node['failureSummary']}" for each in found for node in each["nodes"]]


def overflow(page: Any) -> int:
    """By how many pixels the page is wider than the window; people should not have to scroll sideways."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def check(running: Any, file: Path) -> None:
    """Assert that a page is sound: no violation, no error and no sideways scrolling, at both widths and in both schemes."""
    assert file.stat().st_size <= 3_000_000
    for width in WIDTHS.values():
        for scheme in SCHEMES:
            with opened(running, file, width, scheme) as page:
                found = violations(page)
                assert not found, f"{scheme}, {width} pixels: " + "\n".join(found)
                assert overflow(page) <= 0, f"{width} pixels: {overflow(page)} too wide"


def screenshots(running: Any, file: Path, folder: Path) -> list[Path]:
    """Pictures of the whole page, of both widths and schemes, and as it prints (a PDF); for people who look at them."""
    made = []
    for name, width in WIDTHS.items():
        for scheme in SCHEMES:
            with opened(running, file, width, scheme) as page:
                made.append(folder / f"{file.stem}-{name}-{scheme}.png")
                page.screenshot(path=made[-1], full_page=True)
    with opened(running, file, scheme="dark") as page:
        made.append(folder / f"{file.stem}.pdf")
        page.pdf(path=made[-1], format="A4", print_background=False)
    return made
