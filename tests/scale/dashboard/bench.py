"""The dashboard of 1,000 nodes and 20,000 pods on a real API server, in a real Chromium.

First paint is until the bins are drawn, from the opening of the link, with the cluster already
read. Frames are counted while the pointer wanders over the bins. Scripting is what the browser's
main thread computes for each difference while 50 pods go. `--pods 100000` measures only how fast
it is drawn.
"""

import argparse
import asyncio
import sys
import time
from typing import Any

from playwright.sync_api import Page

from tests.cluster import read
from tests.dashboard.browser import Screen, chromium
from tests.dashboard.process import dashboard
from tests.scale.e2e import bench_start, budgets, client, ground
from tests.scale.e2e.bench_crs import stored

NODES, PODS, PODS_MANY = 1_000, 20_000, 100_000
_HOVER_SECONDS, _IDLE_SECONDS, _CHANGED = 5, 60, 50
_FRAMES = """seconds => new Promise(done => {
  let count = 0; const began = performance.now();
  const step = () => { count += 1;
    if (performance.now() - began < seconds * 1000) requestAnimationFrame(step);
    else done(count / ((performance.now() - began) / 1000)); };
  requestAnimationFrame(step); })"""


def measured(pods: int) -> dict[str, float]:
    with ground.site(**bench_start.OPTIONS) as (site, local):
        ground.ahead(local)
        bodies = [bench_start.node(number) for number in range(NODES)]
        names = [body["metadata"]["name"] for body in bodies]
        asyncio.run(stored(local, bodies, "/api/v1/nodes"))
        server, path = client.Server(local), read.pods("default")
        asyncio.run(
            server.send(
                server.rendered("POST", path, bench_start.pod(n, names)) for n in range(pods)
            )
        )
        ground.until_at_rest(local)
        with (
            dashboard(kubeconfig=site.kube.kubeconfig) as shown,
            chromium() as browser,
        ):
            first = Screen.of(browser)
            first.opens(shown.link())
            first.shows(f"{pods:,} pods")
            screen = Screen.of(browser)
            link = shown.link()
            began = time.monotonic()
            screen.page.goto(link)
            screen.page.wait_for_selector(f"canvas[data-nodes='{NODES}']")
            figures = {"first_paint_seconds": round(time.monotonic() - began, 2)}
            figures["frames_a_second"] = round(_frames(screen.page), 1)
            if pods == PODS:
                figures["scripting_ms"] = round(_scripting_ms(screen, site.kube, pods), 1)
                figures["rss_mib"] = _rss_mib(shown.pid)
                spent = ground.cpu_seconds(shown.pid)
                # Nothing happens in the cluster: time is what is measured.
                screen.page.wait_for_timeout(_IDLE_SECONDS * 1000)
                idle = ground.cpu_seconds(shown.pid) - spent
                figures["idle_core_seconds_a_minute"] = round(idle * 60 / _IDLE_SECONDS, 2)
            return figures


def _frames(page: Page) -> float:
    """Frames a second while the pointer goes over the bins."""
    box = page.locator("canvas").bounding_box()
    assert box is not None
    page.evaluate(f"window.frames_a_second = ({_FRAMES})({_HOVER_SECONDS})")
    began = time.monotonic()
    turn = 0
    while time.monotonic() - began < _HOVER_SECONDS:
        turn += 1
        x = box["x"] + (turn * 37) % int(box["width"])
        y = box["y"] + (turn * 11) % int(box["height"])
        page.mouse.move(x, y)
    found: float = page.evaluate("window.frames_a_second")
    return found


def _scripting_ms(screen: Screen, kube: Any, pods: int) -> float:
    """Of the page's main thread, for each difference that the server sends while pods go."""
    session = screen.page.context.new_cdp_session(screen.page)
    changes: list[object] = []
    session.on("Network.eventSourceMessageReceived", changes.append)
    for domain in ("Network", "Performance"):
        session.send(f"{domain}.enable")

    def spent() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return 1000 * next(one["value"] for one in metrics if one["name"] == "ScriptDuration")

    before = spent()
    names = [f"app-{number % 500:03}-{number:05}" for number in range(pods - _CHANGED, pods)]
    kube.kubectl("delete", "pod", "-n", "default", "--grace-period=0", "--force", *names)
    screen.shows(f"{pods - _CHANGED:,} pods")
    return (spent() - before) / len(changes)


def _rss_mib(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123
        [line] = [line for line in status if line.startswith("VmHWM:")]
    return int(line.split()[1]) // 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=PODS)
    pods = parser.parse_args().pods
    figures = measured(pods)
    bench = "bench-dashboard" if pods == PODS else "bench-dashboard-many"
    failed = budgets.judged(bench, figures)
    print(budgets.last_line(bench, figures))
    return failed


if __name__ == "__main__":
    sys.exit(main())
