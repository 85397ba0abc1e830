"""A real browser, without a window, and pages of reports in it.

Everything here is skipped by name where there is no browser, or no Playwright to drive it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Dialog, Page

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Give the system's Chromium; a browser of Playwright's own is never fetched."""
    sync_api = pytest.importorskip("playwright.sync_api")
    program = next((path for path in map(shutil.which, NAMES) if path), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    home = str(tmp_path_factory.mktemp("browser"))  # else it leaves a folder in that of whoever runs the tests
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, env={**os.environ, "HOME": home, "XDG_CONFIG_HOME": home}
        )
        yield chromium
        chromium.close()


class Shown:
    """A page with a report, and everything that its browser had to say about it."""

    def __init__(self, page: Page, data: dict[str, Any]) -> None:
        self.page = page
        self.data = data
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", self._dismiss)
        page.on("request", lambda request: self.asked.append(request.url))

    def _dismiss(self, dialog: Dialog) -> None:
        self.said.append(dialog.message)
        dialog.dismiss()

    def open_all(self) -> None:
        """Open everything that can be opened, whether or not the page's script runs."""
        self.page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")

    def visible_runs(self) -> list[str]:
        """Give the titles of the runs that are to be seen."""
        return [text for text in self.page.locator("article.run:visible h3").all_inner_texts() if text]


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Shown]]:
    """Give a function that writes a report's page and opens it from the disk."""
    from pytest_ocap.report.outputs import OUTPUTS

    (form,) = [output for output in OUTPUTS if output.name == "html"]
    contexts: list[BrowserContext] = []

    def shown(data: dict[str, Any], size: tuple[int, int] = (1440, 900), **more: Any) -> Shown:
        path = tmp_path / f"{len(contexts)}.html"
        form.write(str(path), data)
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **more)
        contexts.append(context)
        result = Shown(context.new_page(), data)
        result.page.goto(path.as_uri())
        return result

    yield shown
    for context in contexts:
        context.close()
