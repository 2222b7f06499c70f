"""The dashboard in a real Chromium, on a cluster of its own with fake nodes.

Laws D3 to D5: hostile texts are shown as text; a user sees what that user's rights allow and
nothing else; the money is what the Pools' statuses say.
"""

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser

from bayplan.dashboard.feed import Feed
from bayplan.dashboard.history import History
from localcluster import Cluster
from tests.cluster import read
from tests.cluster.kube import Kube
from tests.cluster.manifests import make_job, make_service
from tests.cluster.under_test import REAL_LEASE, Site
from tests.dashboard.browser import Screen, chromium
from tests.dashboard.process import dashboard
from tests.unit.dashboard.test_store import World

pytestmark = pytest.mark.cluster

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "\u202eright to left\u202c {{7*7}} ${7*7} \x07bell"
)
VIEWS = {
    "Money": "Where it goes", "Waiting": "Waiting", "Jobs": "Jobs", "Services": "Services",
    "Pools": "Pools", "Decisions": "Decisions",
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("dashboard")
    with Cluster.start(kwok="m5.xlarge:us-east-1a=3,r5.xlarge:us-east-1b=2") as local:
        made = Site(Kube(local.kubeconfig), local, folder).prepare()
        with made.operator(*REAL_LEASE):
            _fill(made.kube)
            yield made


def _fill(kube: Kube) -> None:
    pool = {"apiVersion": "bayplan.dev/v1alpha1", "kind": "Pool", "metadata": {"name": "batch"}}
    huge = make_service("huge", "default", replicas=2, cpu="64")
    kube.apply(
        make_job("extract", "default", schedule="*/5 * * * *", seconds=1),
        make_job("load", "default", seconds=1, parents=[{"name": "extract"}]),
        make_service("web", "default", replicas=4),
        huge,
        {**pool, "spec": {}},
    )
    kube.until(read.services("default"), lambda found: read.holds(found, "web", "Ready"))
    kube.until(read.services("default"), lambda found: read.holds(found, "huge", "Placed", "False"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_every_view_is_opened(site: Site, browser: Browser) -> None:
    """A node is clicked, a filter typed, and a link kept; nothing is complained of."""
    screen = Screen.of(browser)
    with dashboard(kubeconfig=site.kube.kubeconfig) as shown:
        screen.opens(shown.link())
        page = screen.page
        screen.shows("5 nodes")
        for view, heading in VIEWS.items():
            screen.turns_to(view, heading)

        screen.turns_to("Waiting", "Waiting")
        page.get_by_role("button", name="LongService huge").first.click()
        screen.shows("It would fit")

        page.keyboard.press("Escape")
        page.keyboard.press("1")
        page.wait_for_selector("canvas[data-nodes='5']")
        page.keyboard.press("t")
        page.get_by_role("button", name="m5-xlarge-us-east-1a-1").click()
        screen.shows("bayplan drain m5-xlarge-us-east-1a-1")
        page.locator(".lines li").first.wait_for()  # what `explain` says of it
        page.locator(".note", has_text="being asked").first.wait_for(state="detached")

        screen.turns_to("Jobs", "Jobs")
        page.keyboard.press("/")
        page.keyboard.type("load")
        assert 1 == page.locator("tbody tr").count()
        kept = page.url
        page.get_by_role("button", name="Parents").click()
        page.get_by_role("group", name="jobs and what they wait for").wait_for()
        page.goto(kept)
        page.reload()
        page.locator("tbody tr").wait_for()
        assert 1 == page.locator("tbody tr").count()

        page.keyboard.press("?")
        page.get_by_role("dialog", name="Keys").wait_for()
        assert [] == screen.complaints


def test_what_changes_is_shown(site: Site, browser: Browser) -> None:
    screen = Screen.of(browser)
    with dashboard(kubeconfig=site.kube.kubeconfig) as shown:
        screen.opens(shown.link())
        screen.turns_to("Services", "Services")
        site.kube.apply(make_service("late", "default", replicas=2))
        screen.page.get_by_role("row", name="late").get_by_text("2 of 2").first.wait_for()
        site.kube.kubectl("delete", "longservice", "late", "-n", "default")
        screen.page.get_by_role("row", name="late").wait_for(state="detached")
        assert [] == screen.complaints


APPLIED = """async ([snapshot, deltas, fresh]) => {
  const {Data} = await import('/static/data.js');
  const told = (data) => JSON.stringify([
    Object.entries(data.tables).map(([name, rows]) => [name, [...rows].sort()]).sort(),
    [...data.podsOn].filter(([, keys]) => keys.size).map(([node, keys]) => [node, [...keys].sort()])
      .sort(),
  ]);
  const page = new Data(), other = new Data();
  page._take(snapshot);
  deltas.forEach((delta) => page.change(delta));
  other._take(fresh);
  return [told(other), told(page)];
}"""


async def _told(seed: int) -> list[Any]:
    """A snapshot, the differences that follow, and a snapshot after them."""
    dice = random.Random(seed)  # noqa: S311  no secret
    world, deltas = World(), list[bytes]()
    feed = Feed(world.store, History(), "run", lambda: 0.0)
    feed.recorder = deltas.append
    snapshot = feed.snapshot()
    for _ in range(30):
        acts = ("pod", "pod", "pod", "node", "delete", "relist", "pass", "refuse")
        world.act(dice.choice(acts), dice.randrange(5), dice.randrange(4))
        if dice.random() < 0.4:
            await feed.publish()
    await feed.publish()
    return [json.loads(snapshot), [*map(json.loads, deltas)], json.loads(feed.snapshot())]


TALES = [asyncio.run(_told(seed)) for seed in range(20)]


def test_the_page_knows_what_a_fresh_page_would(site: Site, browser: Browser) -> None:
    """Law D2 in the page: differences lead to the tables, and pods by node, of a snapshot."""
    screen = Screen.of(browser)
    with dashboard(kubeconfig=site.kube.kubeconfig) as shown:
        screen.opens(shown.link())
        for seed, tale in enumerate(TALES):
            fresh, followed = screen.page.evaluate(APPLIED, tale)
            assert fresh == followed, f"seed {seed}"


def test_the_page_goes_on_after_the_server_was_restarted(site: Site, browser: Browser) -> None:
    screen = Screen.of(browser)
    with dashboard(kubeconfig=site.kube.kubeconfig) as shown:
        link = shown.link()
        screen.opens(link)
        port = link.split(":")[2].split("/")[0]
        assert (0, "") == shown.interrupt()
        screen.page.wait_for_selector(".light.lost")
    with dashboard("--port", port, kubeconfig=site.kube.kubeconfig) as again:
        screen.page.wait_for_selector(".light.locked")
        screen.opens(again.link())
        screen.shows("5 nodes")


def test_hostile_texts_are_texts(site: Site, browser: Browser) -> None:
    """Whoever may create a pod or an Event writes texts that others look at."""
    kube = site.kube
    container = {"name": "m", "image": "x", "resources": {"requests": {"cpu": "1"}}}
    kube.create(
        read.pods("default"),
        {
            "metadata": {"name": "odd", "annotations": {"bayplan.dev/odd": "x" * 200_000}},
            "spec": {"schedulerName": "nobody", "containers": [container]},
        },
    )
    said = {"type": "PodScheduled", "status": "False", "reason": "Odd", "message": HOSTILE * 500}
    path = f"{read.pods('default')}/odd"
    kube.patch(f"{path}/status", {"status": {"conditions": [said]}})
    uid = kube.get(path)["metadata"]["uid"]
    kube.create(
        read.events("default"),
        {
            "metadata": {"name": "odd.1"},
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "bayplan.dev",
            "reportingInstance": "odd",
            "action": "Odd",
            "reason": "Odd",
            "type": "Warning",
            "note": HOSTILE,
            "regarding": {"kind": "Pod", "namespace": "default", "name": "odd", "uid": uid},
        },
    )
    screen = Screen.of(browser)
    with dashboard(kubeconfig=kube.kubeconfig) as shown:
        screen.opens(shown.link())
        screen.turns_to("Waiting", "Waiting")
        screen.shows("<img src=x onerror=")
        screen.turns_to("Decisions", "Decisions")
        screen.shows("<img src=x onerror=")
        screen.page.get_by_role("row", name="Odd").get_by_role("button").first.click()
        screen.shows("Containers and events")
        assert "owned" != screen.page.title()
        assert 0 == screen.page.locator("img, main script").count()
        assert [] == screen.complaints
    kube.kubectl("delete", "pod", "odd", "-n", "default")


def _limited(kube: Kube, folder: Path, namespace: str) -> Path:
    """The kubeconfig of somebody who may look at one namespace."""
    rights = {"apiGroups": ["", "bayplan.dev", "events.k8s.io"], "resources": ["*"]}
    subject = {"kind": "ServiceAccount", "name": "somebody", "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    named = {"name": "look", "namespace": namespace}
    kube.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount",
         "metadata": {"name": "somebody", "namespace": namespace}},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": named,
         "rules": [{**rights, "verbs": ["get", "list", "watch"]}]},
        {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": named,
         "subjects": [subject], "roleRef": {"apiGroup": group, "kind": "Role", "name": "look"}},
    )  # fmt: skip
    token = kube.create(
        f"/api/v1/namespaces/{namespace}/serviceaccounts/somebody/token",
        {"spec": {"expirationSeconds": 3600}},
    )["status"]["token"]
    config = yaml.safe_load(kube.kubeconfig.read_text())
    config["users"] = [{"name": "somebody", "user": {"token": token}}]
    for context in config["contexts"]:
        context["context"].update(user="somebody", namespace=namespace)
    path = folder / "somebody.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_user_of_one_namespace_sees_just_that(site: Site, browser: Browser) -> None:
    mine = site.namespace()
    site.kube.apply(make_service("mine", mine))
    site.kube.until(read.services(mine), lambda found: read.holds(found, "mine", "Ready"))
    screen = Screen.of(browser)
    failed: list[str] = []
    screen.page.on("response", lambda one: failed.append(one.url) if one.status >= 500 else None)
    kubeconfig = _limited(site.kube, site.folder, mine)
    with dashboard(kubeconfig=kubeconfig) as shown:
        screen.opens(shown.link())
        screen.shows("nodes is forbidden")
        screen.turns_to("Services", "Services")
        screen.page.get_by_role("button", name="mine").wait_for()
        assert 1 == screen.page.locator("tbody tr").count()
        told: dict[str, Any] = screen.page.evaluate("fetch('/api/snapshot').then((a) => a.json())")
        assert {mine} == {row[0] for row in told["tables"]["pods"].values()}
        assert {} == told["tables"]["nodes"]
        assert "default/web" not in json.dumps(told)
    assert [] == failed


def test_the_money_is_that_of_the_statuses(site: Site, browser: Browser) -> None:
    status = {"dollarsPerHour": "1.234567", "boundDollarsPerHour": "1.1", "waitingPods": 0}
    site.kube.patch("/apis/bayplan.dev/v1alpha1/pools/batch/status", {"status": status})
    screen = Screen.of(browser)
    with dashboard(kubeconfig=site.kube.kubeconfig) as shown:
        screen.opens(shown.link())
        screen.turns_to("Money", "Where it goes")
        screen.shows("$1.23/h")
        screen.shows("$1.10/h")
        screen.shows("12.2 %")


@pytest.mark.parametrize("width", [1400, 700])
@pytest.mark.parametrize("dark", [False, True])
def test_everybody_can_use_it(site: Site, browser: Browser, *, dark: bool, width: int) -> None:
    """axe-core finds nothing serious in any view, in light and dark, wide and narrow."""
    screen = Screen.of(browser, width=width, dark=dark)
    with dashboard(kubeconfig=site.kube.kubeconfig) as shown:
        screen.opens(shown.link())
        found = {"Bins": screen.violations()}
        for view, heading in VIEWS.items():
            screen.turns_to(view, heading)
            found[view] = screen.violations()
    assert {} == {view: one for view, one in found.items() if one}
