"""`bayplan simulate`: what manifests need, place and cost, by the operator's own engine."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

import bayplan
from bayplan.cli.main import main

BASE = ("simulate", "--seconds", "0.05", "-o", "json")


def container(cpu: str = "500m", memory: str = "1Gi", **extended: str) -> dict[str, Any]:
    requests = {"cpu": cpu, "memory": memory, **extended}
    return {"containers": [{"name": "main", "image": "x", "resources": {"requests": requests}}]}


def workload(kind: str = "Deployment", name: str = "web", replicas: int = 3, **pod: Any) -> Any:
    template = {"metadata": {"labels": {"app": name}}, "spec": {**container(), **pod}}
    spec = {"replicas": replicas, "template": template}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def node(name: str, cpu: str = "4", pods: str = "110", **labels: str) -> Any:
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
        "status": {"allocatable": {"cpu": cpu, "memory": "16Gi", "pods": pods}},
    }


def run(*bodies: Any, options: tuple[str, ...] = ()) -> Result:
    """The command on these objects from standard input."""
    text = yaml.safe_dump_all(bodies)
    return CliRunner().invoke(main, [*BASE, *options, "-"], input=text)


def answer(*bodies: Any, options: tuple[str, ...] = (), code: int = 0) -> dict[str, Any]:
    result = run(*bodies, options=options)

    assert code == result.exit_code, result.output
    body: dict[str, Any] = json.loads(result.output)
    return body


def test_pods_of_a_deployment_are_bought_for() -> None:
    """All placed, exit 0, a bound below the cost, a price whose source is told."""
    body = answer(workload(replicas=20))

    assert (20, 0) == (body["placed"], body["unplaced"])
    bought = body["bought"]
    assert 0 < bought["boundMicrodollarsPerHour"] <= bought["costMicrodollarsPerHour"]
    assert all(one["priceSource"] for one in body["types"])
    assert 20 == sum(held["pods"] for one in body["nodeList"] for held in one["holds"])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (workload("StatefulSet", replicas=2), 2),
        ({**workload(), "kind": "Pod", "spec": container()}, 1),
        ({"kind": "Job", "metadata": {"name": "j"}, "spec": {"parallelism": 4}}, 4),
        (
            {
                "kind": "Job",
                "metadata": {"name": "j"},
                "spec": {"parallelism": 4, "completions": 2},
            },
            2,
        ),
        ({"kind": "Job", "metadata": {"name": "j"}, "spec": {"suspend": True}}, 0),
        ({"kind": "CronJob", "metadata": {"name": "c"}, "spec": {"schedule": "@daily"}}, 1),
        ({"kind": "BatchJob", "metadata": {"name": "b"}, "spec": {"tasks": 3}}, 3),
        ({"kind": "LongService", "metadata": {"name": "s"}, "spec": {"replicas": 5}}, 5),
    ],
)
def test_every_kind_counts_its_pods(body: dict[str, Any], expected: int) -> None:
    """Replicas, parallel pods, tasks; what is suspended counts none."""
    spec = body["spec"]
    if body["kind"] == "CronJob":
        spec["jobTemplate"] = {"spec": {"template": {"spec": container()}}}
    elif "template" not in spec and "containers" not in spec:
        spec["template"] = {"spec": container()}
    other = workload(name="other", replicas=1)

    assert expected + 1 == answer(body, other)["placed"]


def test_our_own_kinds_get_their_default_requests() -> None:
    """A LongService without requests is packed with what its pods would be given."""
    spec = {"template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}}
    body = answer({"kind": "LongService", "metadata": {"name": "s"}, "spec": spec})

    assert {"cpu": 100, "memory": 128 << 20, "pods": 1} == body["nodeList"][0]["requested"]


def test_given_nodes_are_used_first_and_only() -> None:
    """With nodes in the input nothing is bought unless a type is named; what lacks is told."""
    full = answer(node("a"), workload(replicas=9), code=1)
    bought = answer(node("a"), workload(replicas=9), options=("--instance-type", "m5.large"))

    assert (8, 1, 0) == (full["placed"], full["unplaced"], full["newNodes"])
    assert full["unplacedWorkloads"][0]["message"] == (
        "0/1 nodes: 1 insufficient cpu; nearest a lacks 500m cpu"
    )
    assert (9, 1) == (bought["placed"], bought["newNodes"])


def test_running_pods_keep_their_room() -> None:
    """Pods on given nodes count once, as part of the workload that owns them."""
    owner = {"kind": "StatefulSet", "name": "web", "uid": "u", "controller": True}
    pod = {
        "kind": "Pod",
        "metadata": {"name": "web-0", "ownerReferences": [owner], "uid": "p"},
        "spec": {**container("3"), "nodeName": "a"},
    }
    body = answer(node("a"), pod, workload("StatefulSet", replicas=3))

    assert 3 == body["placed"]
    assert {"cpu": 4000, "memory": 3 << 30, "pods": 3} == body["nodeList"][0]["requested"]


def test_a_removed_node_sends_its_pods_away() -> None:
    """--remove-node: its pods need another place, or have none."""
    pod = {**workload(), "kind": "Pod", "spec": {**container(), "nodeName": "a"}}
    one = answer(node("a"), node("b"), pod, options=("--remove-node", "a"))
    none = answer(node("a"), pod, options=("--remove-node", "a", "--instance-type", "c5.large"))

    assert [["b", 1]] == [[n["name"], len(n["holds"])] for n in one["nodeList"]]
    assert 1 == none["newNodes"]


def test_scale_changes_a_count() -> None:
    """--scale NAME=N wins over the manifest; an unknown name is an error."""
    assert 40 == answer(workload(), options=("--scale", "web=40"))["placed"]
    assert 2 == run(workload(), options=("--scale", "db=40")).exit_code


def test_what_fits_no_type_is_told_by_types() -> None:
    """A GPU task on a menu without GPUs: exit 1, the rest is placed."""
    job = {"kind": "Job", "metadata": {"name": "g"}}
    job["spec"] = {"template": {"spec": container(**{"nvidia.com/gpu": "1"})}}  # type: ignore[assignment]
    body = answer(workload(), job, code=1)

    assert (3, 1) == (body["placed"], body["unplaced"])
    assert "instance types: " in body["unplacedWorkloads"][0]["message"]
    gpu = answer(workload(), job, options=("--instance-type", "g4dn.xlarge"))
    assert {"g4dn.xlarge"} == {one["type"] for one in gpu["types"]}


def test_daemonsets_take_their_room_on_every_new_node() -> None:
    """Each bought node holds one pod of the DaemonSet beside the workload's."""
    daemon = workload("DaemonSet", "agent")
    body = answer(daemon, workload(replicas=30), options=("--instance-type", "m5.large"))
    held = [{one["workload"] for one in each["holds"]} for each in body["nodeList"]]

    assert held
    assert all("DaemonSet default/agent" in one for one in held)


def test_one_on_each_node_takes_its_room_on_every_new_node() -> None:
    """A LongService with mode PerNode, told as such; a suspended one takes none."""
    template = {
        "spec": {
            "containers": [{"name": "a", "image": "a", "resources": {"requests": {"cpu": "500m"}}}]
        }
    }
    agent = {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "LongService",
        "metadata": {"name": "agent"},
        "spec": {"mode": "PerNode", "template": template},
    }
    asleep = {**agent, "spec": {**agent["spec"], "replicas": 0}, "metadata": {"name": "asleep"}}
    body = answer(agent, asleep, workload(replicas=30), options=("--instance-type", "m5.large"))
    held = [{one["workload"] for one in each["holds"]} for each in body["nodeList"]]

    assert held
    assert all("LongService default/agent" in one for one in held)
    assert not any("asleep" in title for one in held for title in one)


def test_hard_spread_and_anti_affinity_hold_on_what_is_bought() -> None:
    """Zones differ by one at most; a pod that wants its node alone from its kind has it."""
    app = {"matchLabels": {"app": "web"}}
    zone = "topology.kubernetes.io/zone"
    spread = {"maxSkew": 1, "topologyKey": zone, "whenUnsatisfiable": "DoNotSchedule"}
    term = {"labelSelector": app, "topologyKey": "kubernetes.io/hostname"}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    body = answer(
        workload(replicas=7, topologySpreadConstraints=[{**spread, "labelSelector": app}]),
        workload(name="db", replicas=4, affinity=_for("db", apart)),
        workload(name="plain", replicas=40),
    )
    zones: dict[str, int] = {}
    for one in body["nodeList"]:
        for held in one["holds"]:
            if held["workload"] == "Deployment default/web":
                zones[one["zone"]] = zones.get(one["zone"], 0) + held["pods"]
            if held["workload"] == "Deployment default/db":
                assert 1 == held["pods"]

    assert [2, 2, 3] == sorted(zones.values())
    assert (51, 0) == (body["placed"], body["unplaced"])


def _for(name: str, affinity: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(affinity).replace('"web"', f'"{name}"'))
    return changed


def test_folders_lists_and_files(tmp_path: Path) -> None:
    """A folder is read whole; a list as kubectl prints it is taken apart; JSON is YAML."""
    (tmp_path / "deep").mkdir()
    listed = {"kind": "List", "items": [workload(name="a"), workload(name="b")]}
    (tmp_path / "deep" / "list.yaml").write_text(yaml.safe_dump(listed))
    (tmp_path / "c.json").write_text(json.dumps(workload(name="c")))
    (tmp_path / "notes.txt").write_text("{{{ not read")
    result = CliRunner().invoke(main, [*BASE, str(tmp_path)])

    assert 9 == json.loads(result.output)["placed"]


def test_prices_of_the_user_win(tmp_path: Path) -> None:
    """--prices FILE: the cost is what the file says."""
    file = tmp_path / "prices.csv"
    file.write_text("m5.large,0.05\n")
    options = ("--instance-type", "m5.large", "--prices", str(file))
    body = answer(workload(replicas=1), options=options)

    assert (50_000, 36.5) == (body["costMicrodollarsPerHour"], body["costDollarsPerMonth"])


def test_the_picture_is_plain_svg(tmp_path: Path) -> None:
    """One group a node, no script, text of users escaped."""
    file = tmp_path / "bins.svg"
    run(workload(name="a"), node("<b&>"), options=("--picture", str(file)))
    text = file.read_text()

    assert text.startswith("<svg ")
    assert 1 == text.count("<g ")
    assert "&lt;b&amp;&gt;" in text


@pytest.mark.parametrize("output", ["table", "wide", "yaml"])
def test_other_outputs(output: str) -> None:
    """Table, wide and YAML tell the same numbers."""
    result = run(workload(), options=("-o", output))

    assert 0 == result.exit_code
    assert {"table": "3 pods on 1 node, $", "wide": "3 × Deployment", "yaml": "placed: 3"}[
        output
    ] in result.output


def test_the_same_input_gives_the_same_answer() -> None:
    """Given the same objects in another order, cost and counts are the same."""
    bodies = [workload(name=f"w{index}", replicas=index + 1) for index in range(4)]
    first, second = answer(*bodies), answer(*reversed(bodies))

    assert first["costMicrodollarsPerHour"] == second["costMicrodollarsPerHour"]
    assert first["types"] == second["types"]


def test_pods_read_one_by_one_are_one_class() -> None:
    """Two thousand single pods take no longer than a Deployment of as many."""
    pods = [
        {"kind": "Pod", "metadata": {"name": f"p{index}"}, "spec": container("100m", "128Mi")}
        for index in range(2000)
    ]

    assert 2000 == answer(*pods)["placed"]


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], {"numpy", "pydantic", "rich", "yaml", "msgspec"}),
        (["simulate", "--help"], {"numpy", "pydantic", "rich", "yaml", "msgspec"}),
        (["simulate", "-o", "json", "--seconds", "0.01", "-"], {"pydantic", "rich"}),
    ],
)
def test_nothing_is_loaded_that_is_not_needed(arguments: list[str], absent: set[str]) -> None:
    """What makes the command slow to start stays out: never kopf, kubernetes or aiohttp."""
    code = (
        "import sys; from bayplan.cli.main import main; main(sys.argv[1:], standalone_mode=False);"
        "print(*sys.modules, file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        input=yaml.safe_dump(workload()),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(bayplan.__file__).parents[1])},
    )
    loaded = set(run.stderr.split())

    assert "click" in loaded
    assert set() == loaded & (absent | {"kopf", "kubernetes", "aiohttp", "prometheus_client"})


def test_rivals_stand_beside_and_are_named_as_re_implementations() -> None:
    """Each rival's purchase for the same pods; none is cheaper than the bound."""
    names = ("kube-scheduler-least", "kube-scheduler-most", "karpenter")
    options = ("--compare", ",".join(names), "--instance-type", "m7i.*large")
    body = answer(workload(replicas=40), workload(name="db", **container("1900m")), options=options)
    shown = run(workload(), options=("--compare", "karpenter", "-o", "table"))

    assert names == tuple(one["name"] for one in body["comparison"])
    assert all(one["unplaced"] == 0 and one["nodes"] > 0 for one in body["comparison"])
    assert body["bought"]["boundMicrodollarsPerHour"] <= min(
        one["costMicrodollarsPerHour"] for one in body["comparison"]
    )
    assert "karpenter (re-implemented here;" in shown.output


def test_an_unknown_rival_is_refused() -> None:
    """The names that are known stand in the message."""
    result = run(workload(), options=("--compare", "nomad"))

    assert 2 == result.exit_code
    assert "'nomad' is not one of kube-scheduler-least" in result.output


def hints_for(*bodies: Any, options: tuple[str, ...] = ()) -> list[str]:
    """What would make the one workload fit that does not."""
    body = answer(*bodies, options=options, code=1)
    [found] = [one["wouldFitIf"] for one in body["unplacedWorkloads"]]
    return list(found)


def spread(**more: Any) -> dict[str, Any]:
    """A pod that may be no more than one ahead in its zone of others like it."""
    rule = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
        **more,
    }
    return {**container(), "topologySpreadConstraints": [rule]}


TOGETHER = {
    "podAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": {"app": "absent"}},
            }
        ]
    }
}
WITH_PORT = {"containers": [{**container()["containers"][0], "ports": [{"hostPort": 80}]}]}


@pytest.mark.parametrize(
    ("replicas", "pod", "expected"),
    [
        (1, container("5"), "if it asked for 1 cpu less"),
        (1, {**container(), "nodeSelector": {"pool": "x"}}, "without node selector pool=x"),
        (1, {**container(), "affinity": TOGETHER}, "without its pod affinity"),
        (2, WITH_PORT, "without its host ports"),
        (2, spread(minDomains=2), "without its topology spread"),
    ],
)
def test_what_would_make_it_fit(replicas: int, pod: dict[str, Any], expected: str) -> None:
    """One change at a time that the same engine finds enough, and a node to buy."""
    zone = {"topology.kubernetes.io/zone": "eu-west-1a"}
    found = hints_for(node("a", **zone), workload(replicas=replicas, **pod))

    assert expected in found


def test_nobody_is_told_to_ask_for_nothing() -> None:
    """A full node lacks all that a pod asks for: to ask for none of it is no help."""
    found = hints_for(node("a", "1"), workload(replicas=2, **container("1")))

    assert 1 == len(found)
    assert found[0].startswith("with one more ")


def test_a_taint_that_could_be_tolerated_is_named() -> None:
    """A node that refuses by its taint alone would take the pod."""
    body = node("a")
    body["spec"] = {"taints": [{"key": "dedicated", "value": "x", "effect": "NoSchedule"}]}

    assert "with a toleration of taint dedicated" in hints_for(body, workload(replicas=1))


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (container(), r"with one more \S+ node \(\$[0-9.]+ an hour\)"),
        (
            {**container(), "nodeSelector": {"topology.kubernetes.io/zone": "eu-west-1b"}},
            r"with one more \S+ node in eu-west-1b \(\$[0-9.]+ an hour\)",
        ),
        ({**container("900m"), "nodeSelector": {"pool": "x"}}, "with one more node like a"),
    ],
    ids=["anywhere", "one-zone", "of-a-pool"],
)
def test_a_node_that_would_help_is_named(pod: dict[str, Any], expected: str) -> None:
    """With its price, and in which of the cluster's own zones; or another of the same pool."""
    nodes = [
        node(name, "1", pool="x", **{"topology.kubernetes.io/zone": f"eu-west-1{name}"})
        for name in "ab"
    ]
    found = hints_for(*nodes, workload(replicas=9, **pod))

    assert any(re.fullmatch(expected, one) for one in found), found


def test_new_nodes_come_where_nodes_are() -> None:
    """A cluster elsewhere is not given nodes in us-east-1; --zone says otherwise."""
    nodes = [node("a", "1", **{"topology.kubernetes.io/zone": "eu-west-1a"})]
    options = ("--instance-type", "m7i.large")
    there = answer(*nodes, workload(replicas=9), options=options)
    said = answer(*nodes, workload(replicas=9), options=(*options, "--zone", "eu-west-1b"))

    assert {"eu-west-1a"} == {one["zone"] for one in there["nodeList"]}
    assert {"eu-west-1a", "eu-west-1b"} == {one["zone"] for one in said["nodeList"]}


def test_types_are_asked_in_the_zone_that_a_pod_is_bound_to() -> None:
    """What fits no type says what it lacks, though it may be in the last zone alone."""
    pod = {**container("500"), "nodeSelector": {"topology.kubernetes.io/zone": "us-east-1c"}}
    body = answer(workload(replicas=1, **pod), code=1)
    [message] = [one["message"] for one in body["unplacedWorkloads"]]

    assert "lacks 4" in message


def constrained(*constraints: dict[str, str], replicas: int = 4, **placement: Any) -> Any:
    spec = {
        "replicas": replicas,
        "placement": {"constraints": list(constraints), **placement},
        "template": {"spec": container()},
    }
    return {"kind": "LongService", "metadata": {"name": "s"}, "spec": spec}


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ({"key": "hostname", "operator": "Unique"}, [1, 1, 1, 1]),
        ({"key": "hostname", "operator": "MaxPer", "value": "2"}, [2, 2]),
    ],
)
def test_constraints_of_our_kinds_are_followed(
    constraint: dict[str, str], expected: list[int]
) -> None:
    """As many nodes are bought as the constraint asks for."""
    body = answer(constrained(constraint))

    assert expected == [sum(held["pods"] for held in one["holds"]) for one in body["nodeList"]]


def test_patterns_choose_among_types_and_zones() -> None:
    """Like and Unlike shut types and zones of the menu out."""
    zone = {"key": "zone", "operator": "Like", "value": ".*b"}
    kind = {"key": "instance-type", "operator": "Unlike", "value": "c.*|r.*"}
    body = answer(constrained(zone, kind, replicas=9))

    assert {"us-east-1b"} == {one["zone"] for one in body["nodeList"]}
    assert {"m"} == {one["type"][0] for one in body["types"]}


def test_no_node_is_said_in_words() -> None:
    """Removing the last node leaves nothing to fill."""
    body = answer(node("a"), workload(replicas=1), options=("--remove-node", "a"), code=1)

    assert (
        "0/0 nodes: there is no node that Bayplan fills"
        == (body["unplacedWorkloads"][0]["message"])
    )


def test_namespaces_are_selected_as_in_the_cluster() -> None:
    """By the labels of the Namespace objects in the input; by name without any."""

    def asking(**labels: str) -> Any:
        wanted = {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"app": "cache"}},
            "namespaceSelector": {"matchLabels": labels},
        }
        hard = {"requiredDuringSchedulingIgnoredDuringExecution": [wanted]}
        return workload(replicas=1, affinity={"podAffinity": hard})

    cache = {
        "kind": "Pod",
        "metadata": {"name": "cache", "namespace": "b", "labels": {"app": "cache"}, "uid": "c"},
        "spec": {**container(), "nodeName": "a"},
    }
    labelled = {"kind": "Namespace", "metadata": {"name": "b", "labels": {"team": "b"}}}

    assert 2 == answer(node("a"), labelled, cache, asking(team="b"))["placed"]
    assert 1 == answer(node("a"), labelled, cache, asking(team="c"), code=1)["placed"]
    by_name = asking(**{"kubernetes.io/metadata.name": "b"})
    assert 2 == answer(node("a"), cache, by_name)["placed"]


def test_a_run_is_spread_by_its_own_label() -> None:
    """`matchLabelKeys` of a BatchJob's template: its tasks, two on each of two nodes."""
    spread = {
        "topologyKey": "kubernetes.io/hostname",
        "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "j"}},
        "matchLabelKeys": ["bayplan.dev/run"],
    }
    template = {
        "metadata": {"labels": {"app": "j"}},
        "spec": {**container(), "topologySpreadConstraints": [spread]},
    }
    job = {
        "kind": "BatchJob",
        "metadata": {"name": "j"},
        "spec": {"tasks": 4, "template": template},
    }
    body = answer(node("a"), node("b"), job)

    assert [2, 2] == [sum(held["pods"] for held in one["holds"]) for one in body["nodeList"]]


def test_pods_that_are_all_of_different_sizes_share_nodes_well() -> None:
    """Three hundred pods, no two alike: one plan, each pod once, near the bound."""
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"p{number}"},
            "spec": container(f"{200 + 7 * number}m", f"{300 + 13 * (number * 37 % 300)}Mi"),
        }
        for number in range(300)
    ]
    body = answer(*pods, options=("--seconds", "0.5", "--instance-type", "m7i.4xlarge",
                                  "--instance-type", "c7i.4xlarge"))  # fmt: skip

    assert (300, 0) == (body["placed"], body["unplaced"])
    assert sum(held["pods"] for one in body["nodeList"] for held in one["holds"]) == 300
    assert body["bought"]["gapPercent"] < 10


def test_companions_are_bought_for() -> None:
    """A driver that needs three executors: nodes for all four, and what they are for is told."""
    asked = {"bayplan.dev/companions": '{"cpu": "3", "memory": "4Gi", "count": 3}'}
    metadata = {"name": "driver", "annotations": asked}
    driver = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": container("1")}
    body = answer(driver)
    held = json.dumps(body)

    assert (4, 0) == (body["placed"], body["unplaced"])
    assert "Pod default/driver: companions" in held


def test_companions_without_room_keep_the_driver_out() -> None:
    """On the given nodes alone: the driver has room there, its companion has not."""
    asked = {"bayplan.dev/companions": '{"cpu": "4", "memory": "1Gi"}'}
    metadata = {"name": "driver", "annotations": asked}
    driver = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": container("1")}
    body = answer(node("n1"), driver, code=1)

    assert 1 == body["unplaced"]
    assert "without room left for its companions" in json.dumps(body)
