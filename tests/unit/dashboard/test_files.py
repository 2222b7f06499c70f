"""What `--from` shows: a simulation, a support bundle, a recording; and what it refuses."""

import asyncio
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bayplan.cli.main import main
from bayplan.dashboard import files
from bayplan.dashboard.feed import Feed
from bayplan.dashboard.history import History
from bayplan.dashboard.recording import MOST_STATES, Recorder, Recording, Replay
from bayplan.dashboard.store import Store
from bayplan.inputs import InputError
from bayplan.reports.board.tables import COLUMNS
from tests.builders import NOON, make_node, make_pod
from tests.unit.dashboard.test_store import seen

EXAMPLES = Path(__file__).parents[3] / "examples/data-company"


def column(table: str, name: str) -> int:
    return COLUMNS[table].index(name)


def test_a_simulation_is_shown_as_it_was_planned(tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["simulate", str(EXAMPLES), "-o", "json"])
    plan = json.loads(told.output)
    path = tmp_path / "plan.json"
    path.write_text(told.output)

    recording = files.read(path)
    tables = recording.at(recording.times[-1])

    assert {one["name"] for one in plan["nodeList"]} == set(tables["nodes"])
    assert plan["placed"] == len(tables["pods"])
    price = column("nodes", "price")
    assert plan["costMicrodollarsPerHour"] == sum(row[price] for row in tables["nodes"].values())
    [pool] = tables["pools"].values()
    bound = plan["bought"]["boundMicrodollarsPerHour"]
    assert bound == round(1e6 * float(pool[column("pools", "bound")]))
    for one in plan["nodeList"]:
        asked = [
            row for row in tables["pods"].values() if row[column("pods", "node")] == one["name"]
        ]
        cpu = sum(row[column("pods", "cpu")] for row in asked)
        # Pods of a workload share what it asks for; the division may leave a few millis.
        assert 0 <= one["requested"]["cpu"] - cpu < len(asked)


def test_a_pod_without_room_is_shown_as_waiting(tmp_path: Path) -> None:
    plan = {
        "schema": "bayplan.dev/simulation/v1",
        "nodeList": [],
        "unplacedWorkloads": [
            {
                "workload": "LongService shop/web",
                "pods": 2,
                "message": "no room",
                "wouldFitIf": ["x"],
            }
        ],
    }
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    recording = files.read(path)

    rows = list(recording.at(NOON)["pods"].values())
    assert [("shop", "LongService web", "no room x")] * 2 == [
        (row[0], row[column("pods", "owner")], row[column("pods", "message")]) for row in rows
    ]


def bundle(path: Path, **parts: Any) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, body in parts.items():
            content = json.dumps(body).encode()
            entry = tarfile.TarInfo(f"bayplan-support/{name}.json")
            entry.size, entry.mtime = len(content), NOON
            archive.addfile(entry, io.BytesIO(content))
    return path


def test_a_support_bundle_is_shown_as_of_when_it_was_made(tmp_path: Path) -> None:
    node = {
        "metadata": {"name": "n1", "resourceVersion": "1"},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}},
    }
    path = bundle(tmp_path / "b.tar.gz", about={"version": "1"}, nodes=[node, {"metadata": 7}])

    recording = files.read(path)

    assert [NOON] == recording.times
    assert {"n1"} == set(recording.at(NOON)["nodes"])
    assert "cannot be read" in recording.at(NOON)["lacks"]["Node"][1]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "other"}', "\x00\xff"])
def test_another_file_is_refused_in_words(tmp_path: Path, content: str) -> None:
    path = tmp_path / "odd"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError):
        files.read(path)


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="support-bundle"):
        files.read(bundle(tmp_path / "b.tar.gz", other=[]))


def _recorded(path: Path) -> list[Any]:
    """Record three changes; the tables at each moment, from the beginning."""
    clock = [float(NOON)]
    store = Store(lambda: clock[0], lambda: clock[0])
    feed = Feed(store, History(), "run", lambda: clock[0])

    async def play(recorder: Recorder) -> list[Any]:
        states = [json.loads(json.dumps(store.tables))]
        for number in range(3):
            clock[0] += 10
            store.upsert(
                "Node", seen("Node", "n1", number + 1, make_node("n1", 1000 * (number + 1)))
            )
            store.upsert("Pod", seen("Pod", f"p{number}", number + 1, make_pod(f"p{number}", "n1")))
            await feed.publish()
            states.append(json.loads(json.dumps(store.tables)))
        return states

    with path.open("w") as file:
        recorder = Recorder(file, lambda: clock[0])
        recorder.begin(feed.snapshot())
        feed.recorder = recorder.change
        return asyncio.run(play(recorder))


def test_a_recording_shows_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    states = _recorded(path)
    recording = files.read(path)

    shown = [json.loads(json.dumps(recording.at(at))) for at in recording.times]
    assert states == shown
    assert states[1] == json.loads(json.dumps(recording.at(NOON + 19)))
    assert states[0] == json.loads(json.dumps(recording.at(0)))
    assert [1, 1] == Replay(recording).history().columns()["nodes"][-2:]


def test_a_recording_that_was_cut_off_shows_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    states = _recorded(path)
    path.write_text(path.read_text()[:-20])

    recording = Recording.read(path)
    assert states[2] == json.loads(json.dumps(recording.at(NOON + 100)))


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    _recorded(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "{broken", *lines[1:]]))
    with pytest.raises(InputError, match=":2"):
        Recording.read(path)


def test_a_file_and_a_recording_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("{}")
    told = CliRunner().invoke(main, ["dashboard", "--from", str(path), "--record", "y"])
    assert 2 == told.exit_code
    assert "--record" in told.output


def test_a_recording_may_have_any_text(tmp_path: Path) -> None:
    """What Python takes for ends of lines beside the usual ones is no end of a line of JSON."""
    path = tmp_path / "recording"
    text = "a\u2028b\x85c\x0bd"
    node = ["n1", text, *[None] * (len(COLUMNS["nodes"]) - 2)]
    tables: dict[str, Any] = {name: {} for name in COLUMNS} | {"nodes": {"n1": node}}
    with path.open("x", encoding="utf-8") as file:
        recorder = Recorder(file, lambda: NOON)
        recorder.begin(json.dumps({"columns": COLUMNS, "tables": tables}).encode())
        recorder.change(b'{"tables":{}}')
    recording = files.read(path)

    assert text == recording.at(NOON)["nodes"]["n1"][1]


def test_a_long_recording_is_not_kept_whole_at_every_moment() -> None:
    """A day of a busy cluster has 170,000 changes; each state is as large as the cluster."""
    changes: list[tuple[int, Any]] = [(NOON + at, {}) for at in range(60_000)]
    recording = Recording({"nodes": {}}, NOON, changes)
    recording.at(NOON + 60_000)

    assert len(recording._whole) <= MOST_STATES + 1  # noqa: SLF001  what is held in memory
