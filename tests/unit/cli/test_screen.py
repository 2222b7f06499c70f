"""The screen of `bayplan top` as a user has it: keys in, lines of the terminal out."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from bayplan.cli.client import ApiClient
from bayplan.cli.screen.app import Screen
from bayplan.cli.screen.columns import Column
from bayplan.cli.screen.listing import Listing
from bayplan.cli.screen.pages import Page, Seen, by
from bayplan.cli.screen.views import Choice
from bayplan.cli.target import Target
from tests.recorded import Body, Recorded, make_job, make_node, make_pod, make_service

ROOT = Path(__file__).parents[3]
EKS = "ip-10-0-{}-{}.eu-central-1.compute.internal"
NODES = sorted(EKS.format(at // 100, at % 100) for at in range(40))
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
LOG = "/api/v1/namespaces/default/pods/{}/log"


class User:
    """Presses keys and reads the screen."""

    def __init__(self, app: Screen, pilot: Pilot[Any], cluster: Recorded) -> None:
        self.app, self._pilot, self.cluster = app, pilot, cluster

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)
        await self._pilot.pause()

    async def sees(self, looks: int) -> None:
        """Waits until so many looks have brought rows."""
        await self.until(lambda: self.app.looks >= looks)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not true():
                await self._pilot.pause(0.01)
        await self._pilot.pause()

    def text(self) -> list[str]:
        """The lines of the terminal."""
        lines = self.app.screen._compositor.render_strips()  # noqa: SLF001  as the terminal has them
        return ["".join(part.text for part in line).rstrip() for line in lines]

    def row(self) -> str:
        """The name of the row under the cursor."""
        row = self.app.query_one(Listing).row
        assert row is not None
        return str(row.get("name", row.get("line")))

    def left(self) -> tuple[int, int]:
        """The number of the last row that is seen, and how many are below it."""
        found = re.search(r"–([\d,]+) of .* ([\d,]+) more", "\n".join(self.text()))
        assert found is not None
        return int(found[1].replace(",", "")), int(found[2].replace(",", ""))

    def shows(self, words: str) -> bool:
        return any(words in line for line in self.text())


def play(
    cluster: Recorded,
    acts: Callable[[User], Awaitable[None]],
    *,
    what: str = "nodes",
    size: tuple[int, int] = (80, 24),
) -> Any:
    """What the screen ends with after a user's acts; it looks again only when asked to."""
    app = Screen(ApiClient(cluster, Target("default")), what, Choice("default"), 3600.0)

    async def played() -> None:
        async with app.run_test(size=size) as pilot:
            await acts(User(app, pilot, cluster))

    try:
        asyncio.run(played())
    finally:
        app.stop()
    return app.return_value


def cluster(*more: Body, **given: Any) -> Recorded:
    """40 nodes, of which the last has a pod of 3 CPU."""
    return Recorded(*map(make_node, NODES), running("busy", NODES[-1], cpu="3"), *more, **given)


def running(name: str, node: str, *, cpu: str = "1", restarts: int = 0, **state: Any) -> Body:
    body = make_pod(name, node=node, cpu=cpu)
    told = {"name": "main", "ready": True, "restartCount": restarts, "state": state or RUNNING}
    return {**body, "status": {"phase": "Running", "containerStatuses": [told]}}


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_names_are_whole_at_every_width(width: int) -> None:
    """Also after the arrows have brought the last column, and nothing is wider than the screen."""

    async def acts(user: User) -> None:
        await user.sees(1)
        assert all(user.shows(name) for name in NODES[:5])
        assert user.shows("40 nodes")
        seen, left = user.left()
        assert seen >= 10
        assert 40 == seen + left
        assert user.shows("columns")
        assert user.shows("q quit")
        await user.press(*["right"] * 9)
        assert all(user.shows(name) for name in NODES[:5])
        assert user.shows("Price of") == (width > 100)
        assert max(map(len, user.text())) <= width

    play(cluster(), acts, size=(width, 24))


def test_a_name_wider_than_the_screen_keeps_both_ends() -> None:
    async def acts(user: User) -> None:
        await user.sees(1)
        [line] = [one for one in user.text() if "…" in one]
        assert line.startswith("start")
        assert line.endswith("end")

    play(Recorded(make_node(f"start{'n' * 50}end")), acts, size=(40, 24))


def test_arrows_and_pages_move_and_say_what_is_left() -> None:
    async def acts(user: User) -> None:
        await user.sees(1)
        await user.press("end")
        last = user.row()
        assert user.shows("–40 of 40 nodes")
        await user.press("home", "down", "down", "up", "j", "k")
        assert NODES[1] == user.row() != last
        await user.press("pagedown")
        assert 40 == sum(user.left())
        assert not user.shows("1–")
        await user.press("pageup", "home")
        assert user.shows("1–")
        assert 40 == sum(user.left())

    play(cluster(), acts)


def test_enter_goes_into_a_node_and_a_pod_and_escape_comes_back() -> None:
    async def acts(user: User) -> None:
        await user.sees(1)
        await user.press("s", "s", "enter")  # by price, by waste, by CPU: the busy node is first
        await user.sees(2)
        assert user.shows(f"nodes › {NODES[-1]}")
        assert "busy" == user.row()
        await user.press("enter")
        await user.sees(3)
        assert user.shows("hello from busy")
        await user.press("escape")
        await user.sees(4)
        await user.press("escape")
        await user.sees(5)
        assert user.shows("40 nodes")
        await user.press("escape")  # nothing is above
        assert user.shows("40 nodes")

    play(cluster(texts={LOG.format("busy"): "hello from busy"}), acts)


def test_logs_follow_their_end_and_have_no_escapes() -> None:
    """A container that waits after a restart shows what it wrote before."""
    lines = "\n".join(f"\x1b[31mline\x1b[0m {at}\x07" for at in range(100))
    crashed = running("bad", NODES[0], restarts=3, waiting={"reason": "CrashLoopBackOff"})

    async def acts(user: User) -> None:
        await user.sees(1)
        assert user.shows("CrashLoopBackOff")
        await user.press("l")
        await user.sees(2)
        assert user.shows("line 99")
        assert not user.shows("line 1 ")
        user.cluster.texts[LOG.format("bad")] = f"{lines}\nline 100"
        await user.press("r")
        await user.sees(3)
        assert user.shows("line 100")
        await user.press("home", "r")
        await user.sees(4)
        assert user.shows("before its restart")
        assert user.shows("line 0")

    play(
        Recorded(make_node(NODES[0]), crashed, texts={LOG.format("bad"): lines}), acts, what="pods"
    )


def test_logs_of_a_row_without_logs_are_refused_in_words() -> None:
    waiting = make_pod("new")

    async def acts(user: User) -> None:
        await user.sees(1)
        await user.press("l")
        assert user.shows("Logs belong to pods")
        await user.press("2")
        await user.sees(2)
        await user.press("/", *"new", "enter", "l")
        await user.sees(3)
        assert user.shows("No container of this pod has started")

    play(cluster(waiting), acts)


def test_a_filter_narrows_while_it_is_typed() -> None:
    """All words count; letters that are keys elsewhere are letters; escape brings all back."""

    async def acts(user: User) -> None:
        await user.sees(1)
        await user.press("/", *"IP-10-0-0-3")
        assert user.shows("1–11 of 11 nodes")
        await user.press(*" m5.x", "enter", "down")
        assert user.shows("11 nodes · with “IP-10-0-0-3 m5.x”")
        assert EKS.format(0, 30) == user.row()
        await user.press("r")
        await user.sees(2)
        assert user.shows("of 11 nodes")
        await user.press("/", *"qq")
        assert user.shows("no nodes")
        await user.press("escape")
        assert user.shows("of 40 nodes")

    play(cluster(), acts)


def test_s_sorts_and_turns_round() -> None:
    async def acts(user: User) -> None:
        await user.sees(1)
        assert user.shows("by price ↓")
        await user.press("s", "s")
        assert user.shows("by cpu ↓")
        assert NODES[-1] == user.row()
        await user.press("S")
        assert user.shows("by cpu ↑")
        assert NODES[0] == user.row()

    play(cluster(), acts)


def test_the_cursor_stays_on_its_row_when_the_cluster_changes() -> None:
    async def acts(user: User) -> None:
        await user.sees(1)
        await user.press("s", "s", "down", "down")
        before = user.row()
        late = running("late", NODES[20], cpu="4")
        user.cluster.objects["/api/v1/namespaces/default/pods/late"] = late
        await user.press("r")
        await user.sees(2)
        assert before == user.row()
        await user.press("home")
        assert NODES[20] == user.row()

    play(cluster(), acts)


def test_tab_and_numbers_turn_to_other_pages() -> None:
    job = make_job("report", schedule="@daily", status={"statistics": {"runSecondsP50": 12}})
    service = make_service("web", replicas=3, status={"readyReplicas": 2})

    async def acts(user: User) -> None:
        await user.sees(1)
        await user.press("tab")
        await user.sees(2)
        assert user.shows("1 pods have a node, 0 have none")
        await user.press("3")
        await user.sees(3)
        assert user.shows("report")
        assert user.shows("12 s")
        assert user.shows("1 jobs · default · by name")
        await user.press("a")
        await user.sees(4)
        assert user.shows("· all namespaces ·")
        await user.press("4")
        await user.sees(5)
        assert user.shows("web")
        await user.press("5")
        await user.sees(6)
        assert user.shows("There is no Pool")
        await user.press("6")
        await user.sees(7)
        assert user.shows("an hour")
        await user.press("tab")
        await user.sees(8)
        assert user.shows("default")
        await user.press("enter")
        await user.sees(9)
        assert user.shows("busy")
        await user.press("escape", "tab")
        await user.sees(10)
        assert user.shows("40 nodes")
        await user.press("shift+tab")
        await user.sees(11)
        assert user.shows("namespaces · by $/h")

    play(cluster(job, service), acts)


def test_e_explains_a_row() -> None:
    async def acts(user: User) -> None:
        await user.sees(1)
        await user.press("e")
        await user.sees(2)
        assert user.shows("explained")
        assert user.shows("It stays: it is in no Pool")
        assert max(map(len, user.text())) <= 60

    play(cluster(), acts, size=(60, 24))


def test_help_names_the_keys_and_any_key_closes_it() -> None:
    async def acts(user: User) -> None:
        await user.sees(1)
        await user.press("?")
        for words in ("filter", "sort", "logs", "quit", "explain"):
            assert user.shows(words)
        await user.press("q")
        assert user.shows("40 nodes")
        assert user.app.is_running

    play(cluster(), acts)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_leaving(key: str) -> None:
    async def acts(user: User) -> None:
        await user.sees(1)
        await user.press(key)
        await user.until(lambda: not user.app.is_running)

    assert play(cluster(), acts) is None


def test_a_refused_first_look_ends_the_screen_with_the_error() -> None:
    async def acts(user: User) -> None:
        await user.until(lambda: not user.app.is_running)

    assert "refused" in play(cluster(refuse={"/api/v1/nodes": 403}), acts).message


def test_a_later_error_is_told_and_the_rows_stay() -> None:
    async def acts(user: User) -> None:
        await user.sees(1)
        user.cluster.refuse["/api/v1/nodes"] = 403
        await user.press("r")
        await user.until(lambda: user.shows("refused"))
        assert user.shows(NODES[0])
        user.cluster.refuse.clear()
        await user.press("r")
        await user.sees(2)
        assert not user.shows("refused")

    play(cluster(), acts)


def test_a_wrong_selector_ends_the_screen() -> None:
    app = Screen(
        ApiClient(cluster(), Target("default")), "nodes",
        Choice("default", node_selector="a in ("), 3600.0,
    )  # fmt: skip

    async def played() -> None:
        async with app.run_test() as pilot:
            await User(app, pilot, cluster()).until(lambda: not app.is_running)

    asyncio.run(played())
    app.stop()

    assert app.return_value is not None
    assert "--node-selector" in app.return_value.message


def test_of_twenty_thousand_rows_only_the_seen_lines_are_drawn() -> None:
    """A key draws one screen of lines, however many rows there are."""
    drawn = 0

    def counted(row: Any) -> str:
        nonlocal drawn
        drawn += 1
        return "red" if row else ""

    columns = (
        Column("Name", lambda row: str(row["name"]), names=True),
        Column("State", lambda row: str(row["state"]), style=counted),
    )
    rows = [{"name": f"pod-{at:05}", "state": "Running"} for at in range(20_000)]
    page = Page("pods", "pods", lambda _: Seen(columns, rows), (by("name", "name"),))

    class Bare(App[None]):
        def compose(self) -> ComposeResult:
            yield Listing()

    async def played() -> None:
        nonlocal drawn
        app = Bare()
        async with app.run_test(size=(80, 24)) as pilot:
            listing = app.query_one(Listing)
            listing.focus()
            listing.turn_to(page)
            listing.show(Seen(columns, rows))
            await pilot.pause()
            drawn = 0
            for key in [*["down"] * 20, *["pagedown"] * 10, "end", "home"]:
                await pilot.press(key)
            await pilot.pause()
            assert 24 <= drawn <= 33 * 24
            assert 20_000 - 23 == listing.below

    asyncio.run(played())


def test_a_thousand_nodes_and_their_pods() -> None:
    nodes = [EKS.format(at // 100, at % 100) for at in range(1_000)]
    pods = [make_pod(f"pod-{at:05}", node=nodes[at % 1_000], cpu="100m") for at in range(2_000)]

    async def acts(user: User) -> None:
        await user.sees(1)
        assert 1_000 == sum(user.left())
        assert user.shows("running")
        await user.press("2")
        await user.sees(2)
        assert user.shows("of 2,000 pods, 1,9")
        await user.press("/", *"pod-0199", "enter", "end")
        assert user.shows("1–10 of 10 pods")
        assert "pod-01999" == user.row()

    play(Recorded(*map(make_node, nodes), *pods), acts)


def test_a_pipe_and_data_do_not_load_the_screen() -> None:
    program = (
        "import sys\n"
        "from tests.recorded import Recorded, make_node, run\n"
        "for words in ([], ['-o', 'json'], ['--once'], ['jobs']):\n"
        "    run(Recorded(make_node('a')), 'top', *words)\n"
        "print(sorted(one for one in sys.modules if one.startswith('textual')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"},
    )  # fmt: skip

    assert "[]" == done.stdout.strip()


def run_of(run: str) -> Body:
    """The pod of the first attempt of a run; its name says what it belongs to."""
    about = {"name": f"report-uid-0-{run}-0", "namespace": "default"}
    owner = {"apiVersion": "bayplan.dev/v1alpha1", "kind": "BatchJob", "name": "report"}
    pod = running(about["name"], NODES[0])
    pod["metadata"] |= {
        "labels": {"bayplan.dev/job": "report", "bayplan.dev/run": run},
        "ownerReferences": [{**owner, "uid": "uid-0", "controller": True}],
    }
    return pod


def test_a_job_opens_its_runs_and_a_run_its_pods() -> None:
    """And `l` shows the logs of a run's newest attempt, where its pod is left."""
    ended = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:01:00Z"}
    history = [
        {
            "run": "s2",
            "outcome": "Failed",
            "reason": "Error",
            "exitCode": 3,
            "attempts": 2,
            **ended,
        },
        {"run": "s1", "outcome": "Succeeded", "reason": "Completed", "attempts": 1, **ended},
    ]
    job = make_job("report", schedule="@daily", status={"history": history})
    pod = run_of("s2")
    name = pod["metadata"]["name"]
    logs = {LOG.format(name): "out of paper\n"}

    async def acts(user: User) -> None:
        await user.sees(1)
        await user.press("enter")
        await user.sees(2)
        assert user.shows("default/report")
        assert user.shows("2 runs")
        assert user.shows("s2")
        assert user.shows("Failed")
        await user.press("l")
        await user.sees(3)
        assert user.shows("out of paper")
        await user.press("escape", "enter")
        await user.sees(4)
        assert user.shows(name)
        await user.press("escape", "down", "l")
        await user.until(lambda: user.shows("No pod of this run is left"))

    play(Recorded(job, pod, make_node(NODES[0]), texts=logs), acts, what="jobs", size=(120, 24))


def test_statuses_that_may_be_behind_are_said_on_the_screen() -> None:
    """Without the right to list pods; a line on standard error would tear the screen."""
    job = make_job("report", schedule="@daily", status={"history": []})

    async def acts(user: User) -> None:
        await user.sees(1)
        assert user.shows("which may be behind")
        await user.press("enter")
        await user.sees(2)
        assert user.shows("which may be behind")

    refuse = {"/api/v1/namespaces/default/pods": 403}
    play(Recorded(job, refuse=refuse), acts, what="jobs", size=(120, 24))


def test_the_timer_may_tick_while_the_screen_ends() -> None:
    """It tells the age of the rows each second, also after its line has been taken down."""

    async def acts(user: User) -> None:
        await user.app.query_one("#place").remove()
        user.app.on_listing_changed()

    play(cluster(), acts)
