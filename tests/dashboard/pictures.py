"""Draws the pictures of the documentation: `python -m tests.dashboard.pictures KUBECONFIG`.

Bins, money and the graph of jobs of a live cluster, such as the demo's; bins at two widths in light
and dark.
"""

import sys
from pathlib import Path

from tests.cluster.under_test import ROOT
from tests.dashboard.browser import Screen, chromium
from tests.dashboard.process import dashboard

FOLDER = ROOT / "docs/guide"


def main() -> None:
    kubeconfig = Path(sys.argv[1])
    with dashboard(kubeconfig=kubeconfig) as shown, chromium() as browser:
        for width in (1400, 700):
            for dark in (False, True):
                screen = Screen.of(browser, width=width, dark=dark)
                screen.opens(shown.link())
                screen.page.wait_for_selector("canvas[data-nodes]")
                name = "-narrow" * (width == 700) + "-dark" * dark
                screen.page.screenshot(path=FOLDER / f"dashboard-bins{name}.png")
        screen = Screen.of(browser)
        screen.opens(shown.link())
        screen.turns_to("Waiting", "Waiting")
        screen.page.locator("tbody button").first.click()
        screen.shows("It would fit")
        screen.page.screenshot(path=FOLDER / "dashboard-waiting.png")


if __name__ == "__main__":
    main()
