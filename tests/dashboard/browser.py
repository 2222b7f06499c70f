"""A real Chromium that looks at the dashboard, and what it complains of."""

import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize, sync_playwright

from localcluster import programs

AXE = "4.14.1"  # axe-core: the rules of accessibility
_QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip


def chromium_path() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    assert found, "Chromium is missing: run `make browser`, or install it as your system does"
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium_path(), args=list(_QUIET))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Screen:
    """A page of a browser; `complaints` are its errors, warnings and refused requests."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, browser: Browser, *, width: int = 1400, dark: bool = False) -> Self:
        size: ViewportSize = {"width": width, "height": 900}
        scheme = "dark" if dark else "light"
        context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
        screen = cls(context.new_page())
        screen.page.on("console", screen._note)
        screen.page.on("pageerror", lambda error: screen.complaints.append(str(error)))
        return screen

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def opens(self, link: str) -> None:
        """Open a link and wait until the cluster has been read."""
        self.page.goto(link)
        self.page.wait_for_selector(".light.live, .light.recorded")

    def turns_to(self, view: str, heading: str) -> None:
        self.page.get_by_role("navigation").get_by_role("link", name=view).click()
        self.page.get_by_role("heading", name=heading, exact=True).first.wait_for()

    def text(self) -> str:
        return self.page.locator("body").inner_text()

    def shows(self, words: str) -> None:
        self.page.get_by_text(words).first.wait_for()

    def violations(self) -> list[str]:
        """What axe-core finds serious or worse, each as `rule: element`."""
        # Not through the page's own policy, which lets no foreign script in.
        self.page.evaluate(axe())
        found: dict[str, Any] = self.page.evaluate("axe.run(document)")
        return [
            f"{one['id']}: {node['html'][:200]}"
            for one in found["violations"]
            if one["impact"] in {"serious", "critical"}
            for node in one["nodes"]
        ]


def axe() -> str:
    """The source of axe-core, fetched once into the cache of the local cluster's programs."""
    path = programs.cache_home() / f"axe-{AXE}.js"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            command = ["npm", "pack", "--silent", f"axe-core@{AXE}"]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            [archive] = Path(folder).glob("*.tgz")
            with tarfile.open(archive) as packed:
                packed.extract("package/axe.min.js", folder, filter="data")
            (Path(folder) / "package/axe.min.js").replace(path)
    return path.read_text(encoding="utf-8")
