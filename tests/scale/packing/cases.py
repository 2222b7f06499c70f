"""The cases of the bench: each returns its figures by name, as `budgets.yaml` knows them."""

import asyncio
import csv
import importlib.util
import json
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import vectorbin
import whole_gpus as placing
from consolidating import consolidating
from constrained import constrained, violations
from mixes import COLUMNS, data_directory, menu, mix, offers, pod_manifests, problem
from openb import allocated_percent, trace

from bayplan.manifests import documents, inventory
from bayplan.model import resources
from bayplan.model.nodes import HOSTNAME, Node
from bayplan.model.snapshot import Snapshot
from bayplan.model.state import State
from bayplan.model.workloads import NO_BACKLOG, Plan, PodClass, Waiting
from bayplan.optimizer import bound, existing_nodes, fill
from bayplan.optimizer.existing_nodes import Use
from bayplan.optimizer.problem import Budget, IntMatrix, IntVector, Problem, undominated
from bayplan.optimizer.provision import provision
from bayplan.placement.solve import Memo, Policy, solve
from bayplan.provisioning import backlog, rivals, simulation
from bayplan.provisioning.prices import price_of
from bayplan.provisioning.result import Result
from bayplan.runtime.solver_process import SolverProcess
from bayplan.scheduler import backlogs

Figures = dict[str, float | str]
_MOVES = (0, 50, 100, 200, 400)  # at most; a quarter and a half of what Karpenter needs, more
_IN_TIME = 0.94  # share of a limit that the search may use: the rest is for its last step


def watch() -> Callable[[], float]:
    """Seconds since now, by the clock that the bench was asked to use."""
    busy = os.environ.get("BAYPLAN_BENCH_CLOCK") == "cpu"
    clock = time.process_time if busy else time.perf_counter
    start = clock()
    return lambda: clock() - start


def provisioning(kind: str, menu_kind: str, pods: int, seconds: float) -> Figures:
    """The cheapest nodes from nothing, beside Karpenter's."""
    question = problem(kind, menu_kind, pods)
    rival = rivals.karpenter(question).cost
    spent = watch()
    packing = provision(question, Budget(seconds * _IN_TIME, spent=spent))
    took = spent()
    assert not packing.unplaced.any()
    assert question.holds(packing.types, packing.patterns).all()
    return {
        "gap_percent": 100 * packing.gap,
        "seconds": took,
        "nodes": packing.node_count,
        "dollars_per_hour": packing.cost / 1e6,
        "bound_dollars_per_hour": packing.bound / 1e6,
        "karpenter_over_bound_percent": 100 * (rival / packing.bound - 1),
    }


def one_type() -> Figures:
    """Nodes of one type, beside kube-scheduler's with an ideal autoscaler."""
    question = problem("ec2", "m5x4", 10_000)
    least, most = (rivals.kube_scheduler(question, 0, most=each) for each in (False, True))
    figures = provisioning("ec2", "m5x4", 10_000, 10.0)
    return figures | {
        "kube_scheduler_least_nodes": least.node_count,
        "kube_scheduler_most_nodes": most.node_count,
    }


def by_manifests() -> Figures:
    """One manifest for each of the 46 classes, and the plan that `bayplan simulate` prints."""
    asked = problem("ec2cpu", "cast", 10_000)
    items = []
    for number, pod in enumerate(pod_manifests(asked.request)):
        labels = {"app": f"class-{number}"}
        template = {"metadata": {"labels": labels}, "spec": pod["spec"]}
        spec = {"replicas": int(asked.demand[number]), "selector": {"matchLabels": labels}}
        items.append(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": f"class-{number}"},
                "spec": {**spec, "template": template},
            }
        )
    plan, figures = simulated(items, 8.0)
    assert (0, 10_000) == (sum(one.count for one in plan.missing), plan.pods)
    return figures


def right_sized() -> Figures:
    """Ten thousand manifests of pods, no two alike, and the plan that `bayplan simulate` prints."""
    _, request = mix("cont", 10_000)
    plan, figures = simulated(list(pod_manifests(request)), 5.0)
    room = menu("cast").capacity
    fits = sum((each <= room).all(axis=1).any() for each in request)
    assert (len(request) - fits, fits) == (sum(one.count for one in plan.missing), plan.pods)
    return figures


def simulated(items: list[dict[str, Any]], seconds: float) -> tuple[Result, Figures]:
    """What `bayplan simulate` makes of a file with these objects; reading is timed by itself."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"apiVersion": "v1", "kind": "List", "items": items}, file)
        file.flush()
        reading = watch()
        found = inventory.inventory(documents.documents([file.name], sys.stdin.buffer), {})
        read = reading()
    spent = watch()
    settings = simulation.Settings(seconds=seconds)
    plan = simulation.simulate(found, offers("cast"), settings)
    took = spent()
    assert all(one.requested.fits(one.node.allocatable) for one in plan.nodes)
    return plan, {
        "gap_percent": 100 * plan.gap,
        "seconds": took,
        "nodes": len(plan.nodes),
        "reading_seconds": read,
    }


def existing_pool() -> tuple[existing_nodes.Pool, IntVector, IntMatrix]:
    """10,000 nodes of 27 types with 1.6 times the room that 100,000 pods need; seed 3."""
    question = problem("ec2cpu", "cast", 100_000)
    kept = undominated(question)
    capacity, price = question.capacity[kept], question.price[kept]
    dice = np.random.default_rng(3)
    total = question.demand @ question.request
    best: tuple[float, IntVector] | None = None
    for tilt in np.linspace(-2, 2, 41):
        weight = capacity[:, 0].astype(float) ** tilt
        types = dice.choice(len(price), 10_000, p=weight / weight.sum())
        ratio = float((capacity[types].sum(axis=0)[:2] / total[:2]).min())
        if best is None or abs(ratio - 1.6) < abs(best[0] - 1.6):
            best = (ratio, types)
    assert best is not None
    return existing_nodes.Pool(capacity[best[1]], price[best[1]]), question.demand, question.request


def bulk_fill() -> Figures:
    """One pass of every class over all nodes; the quickest of five."""
    nodes, demand, request = existing_pool()
    times = []
    for _ in range(5):
        spent = watch()
        counts = fill.placed(nodes.free, request, demand, nodes.price)
        times.append(spent())
    assert (counts @ request <= nodes.free).all()
    cost = int(nodes.price[counts.any(axis=1)].sum())
    return {
        "milliseconds": 1000 * min(times),
        "unplaced": int((demand - counts.sum(axis=0)).sum()),
        "dollars_per_hour": cost / 1e6,
    }


def waiting_pool() -> tuple[Snapshot, list[Waiting], existing_nodes.Pool]:
    """A snapshot of the pool's nodes, all empty, and the 46 classes that wait for them."""
    nodes, demand, request = existing_pool()
    state = State()
    for number, (room, price) in enumerate(
        zip(nodes.free.tolist(), nodes.price.tolist(), strict=True)
    ):
        name = f"node-{number:05}"
        state.set_node(
            Node(name, labels={HOSTNAME: name}, allocatable=_vector(room), price_microdollars=price)
        )
    waiting = [
        Waiting(
            PodClass("default", _vector(asked)),
            tuple(("default", f"pod-{k:02}-{number}") for number in range(count)),
        )
        for k, (asked, count) in enumerate(zip(request.tolist(), demand.tolist(), strict=True))
    ]
    return state.snapshot(), waiting, nodes


def solve_backlog() -> Figures:
    """The operator's cycle: a snapshot and 46 waiting classes in, a plan out."""
    snapshot, waiting, nodes = waiting_pool()
    memo, times = Memo(), []
    for _ in range(5):
        spent = watch()
        plan = solve(snapshot, waiting, 0, Policy(), memo)
        times.append(1000 * spent())
    cost = _cost(plan, nodes)
    _, demand, request = existing_pool()
    least = existing_nodes.used(nodes, demand, request, Budget(rounds=1)).bound
    return {
        "milliseconds": min(times),
        "unplaced": int(demand.sum()) - len(plan.placements),
        "dollars_per_hour": cost / 1e6,
        "over_bound_percent": 100 * (cost / least - 1),
    }


def planned_backlog() -> Figures:
    """The operator's way with the same: it asks its solver process, then places by the answer.

    By the wall clock whatever was asked for, because the search is in another process.
    """
    snapshot, waiting, nodes = waiting_pool()
    memo = Memo()

    async def planned() -> tuple[Plan, Use, dict[str, float]]:
        solver = SolverProcess()
        one = np.ones((1, 1), np.int64)
        await solver.use(existing_nodes.Pool(one, one[0]), one[0], one, 0.01)  # it is started once
        started = time.perf_counter()
        question = backlog.question(snapshot, waiting, memo, price_of)
        assert question is not None
        asking = time.perf_counter() - started
        use = await solver.use(
            question.pool, question.demand, question.request, backlogs.SEARCH_SECONDS
        )
        assert use is not None
        answered = time.perf_counter()
        wish = question.answered(use)
        judged = time.perf_counter()
        plan = solve(snapshot, waiting, 0, Policy(), memo, planned=wish or NO_BACKLOG)
        ended = time.perf_counter()
        solver.close()
        cycles = {
            "asking_milliseconds": 1000 * asking,
            "judging_milliseconds": 1000 * (judged - answered),
            "placing_milliseconds": 1000 * (ended - judged),
        }
        return plan, use, {"seconds": ended - started, **cycles}

    plan, use, times = asyncio.run(planned())
    cost = _cost(plan, nodes)
    return {
        "gap_percent": 100 * (cost / use.bound - 1),
        "unplaced": sum(len(group.keys) for group in waiting) - len(plan.placements),
        "dollars_per_hour": cost / 1e6,
        "nodes": len(set(plan.placements.values())),
        **times,
    }


def _cost(plan: Plan, nodes: existing_nodes.Pool) -> int:
    used = {int(name.removeprefix("node-")) for name in plan.placements.values()}
    return int(nodes.price[sorted(used)].sum())


def _vector(amounts: Sequence[int]) -> resources.Vector:
    known = zip(COLUMNS, amounts, strict=True)
    return resources.Vector({name: amount for name, amount in known if amount})


def whole_gpus() -> Figures:
    """The openb trace with whole GPUs: the operator's `solve` beside others, five seeds each."""
    loaded = placing.whole(trace(data_directory() / "openb"))
    ways: dict[str, Callable[[int], placing.Allocated]] = {
        "": lambda seed: placing.by_solve(loaded, seed),
        "most_allocated_": lambda seed: placing.by_rank(
            loaded, seed, placing.most_allocated([0, 1]), sampled=True
        ),
        "most_allocated_with_gpus_": lambda seed: placing.by_rank(
            loaded, seed, placing.most_allocated([0, 1, 2]), sampled=True
        ),
        "best_fit_": lambda seed: placing.by_rank(loaded, seed, placing.best_fit),
    }
    figures: Figures = {}
    for name, way in ways.items():
        found = [way(seed) for seed in range(5)]
        first = sum(each.at_first_failure for each in found) / len(found)
        figures[f"{name}allocated_percent"] = first
        figures[f"{name}in_the_end_percent"] = sum(each.in_the_end for each in found) / len(found)
    rivals_ = [figures[f"{name}allocated_percent"] for name in ways if name]
    ours = figures["allocated_percent"]
    return figures | {"points_above_rivals": float(ours) - max(map(float, rivals_))}


def with_constraints() -> Figures:
    """Unique, MaxPer, GroupBy zone and anti-affinity, against the bound that ignores them."""
    free = problem("ec2cpu", "cast", 10_000)
    kept = undominated(free)
    free = Problem.of(free.demand, free.request, free.capacity[kept], free.price[kept])
    question = constrained(free)
    spent = watch()
    packing = provision(question.bound, Budget(10 * _IN_TIME, spent=spent))
    took = spent()
    start = bound.fluid(free)
    assert start is not None
    upper = (start.multipliers * free.capacity).sum(axis=1)
    reduced = np.maximum(start.value - start.multipliers @ free.request.T, 0)
    least = bound.farley(free, start.value, upper + (reduced * free.limits()).sum(axis=1))
    return {
        "gap_percent": 100 * (packing.cost / least - 1),
        "violations": violations(question, packing),
        "seconds": took,
    }


def vectorpack(name: str, every: int, *, optima: bool = False) -> Figures:
    """Bins against the best published ones; feasibility asserted for each instance."""
    directory = data_directory() / "vectorpack"
    with (directory / f"{name}_summary_known.csv").open(newline="") as lines:
        known = {row["instance_name"]: row for row in csv.DictReader(lines, delimiter="\t")}
    ours = published = optimal = 0
    longest = 0.0
    instances = list(_instances(directory / f"{name}_instances.tar.gz", set(known)))[::every]
    for instance, capacity, items in instances:
        spent = watch()
        bins = vectorbin.packed(items, capacity, Budget(0.3 * _IN_TIME, spent=spent))
        longest = max(longest, spent())
        assert (vectorbin.loads(items, bins.of) <= capacity).all()
        assert (bins.of >= 0).all()
        ours += bins.count
        published += int(known[instance]["best_overall"])
        optimal += bins.count == int(known[instance]["OPT"])
    figures: Figures = {"seconds_each": longest, "instances": len(instances)}
    if optima:
        return figures | {"solved_percent": 100 * optimal / len(instances)}
    return figures | {"bins_above_published": ours - published, "bins": ours}


def gpus() -> Figures:
    """The openb trace, arrivals one by one, ten seeds."""
    loaded = trace(data_directory() / "openb")
    each = [allocated_percent(loaded, seed) for seed in range(10)]
    return {"allocated_percent": sum(each) / len(each), "spread": max(each) - min(each)}


def certificate() -> Figures:
    """Bound ≤ optimum ≤ cost on 200 small instances, as in the tests of the laws."""
    path = Path(__file__).resolve().parents[2] / "laws" / "test_packing_certificate.py"
    spec = importlib.util.spec_from_file_location("certificate", path)
    assert spec is not None
    assert spec.loader is not None
    checks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checks)
    above = below = 0
    for seed in range(200):
        question = checks.instance(seed)
        packing = provision(question, Budget(rounds=6), seed)
        best = checks.optimum(question, question.demand - packing.unplaced)
        above += packing.bound > best + 0.5
        below += packing.cost < best - 0.5
    return {"bounds_above_optimum": above, "costs_below_optimum": below}


def serialise() -> Figures:
    """From patterns to JSON that names every pod and its node."""
    question = problem("ec2cpu", "cast", 100_000)
    packing = provision(question, Budget(2.0, spent=watch()))
    spent = watch()
    counts = np.repeat(packing.patterns, packing.nodes, axis=0)
    node, kind = np.nonzero(counts)
    times = counts[node, kind]
    nodes, kinds = np.repeat(node, times), np.repeat(kind, times)
    plan = [
        {"pod": f"pod-{k}-{n}", "node": f"node-{at}"}
        for n, (k, at) in enumerate(zip(kinds.tolist(), nodes.tolist(), strict=True))
    ]
    text = json.dumps(plan)
    return {"seconds": spent(), "pods": len(plan), "mebibytes": len(text) / 2**20}


CASES: dict[str, Callable[[], Figures]] = {
    "provision_10k_1s": lambda: provisioning("ec2cpu", "cast", 10_000, 1.0),
    "provision_10k_10s": lambda: provisioning("ec2cpu", "cast", 10_000, 10.0),
    "provision_100k_3s": lambda: provisioning("ec2cpu", "cast", 100_000, 3.0),
    "provision_100k_20s": lambda: provisioning("ec2cpu", "cast", 100_000, 20.0),
    "two_classes_10k": lambda: provisioning("seed", "cast", 10_000, 1.0),
    "simulate_10k_10s": by_manifests,
    "right_sized_10k": right_sized,
    "one_type_10k": one_type,
    "bulk_100k_on_10k": bulk_fill,
    "solve_100k_on_10k": solve_backlog,
    "pool_100k_on_10k": planned_backlog,
    "constrained_10k": with_constraints,
    "vectorpack_panigrahy": lambda: vectorpack("Panigrahy", 20),
    "vectorpack_new": lambda: vectorpack("New", 20),
    "vectorpack_triplet": lambda: vectorpack("Triplet", 20),
    "triplets_optimal": lambda: vectorpack("Triplet", 1, optima=True),
    "openb_default": gpus,
    "openb_whole_gpus": whole_gpus,
    "certificate_200": certificate,
    "serialise_100k": serialise,
    "consolidate_1k": lambda: consolidating(1000, 5.0, watch, moves=_MOVES, by_chance=196),
    "consolidate_3k": lambda: consolidating(3000, 5.0, watch, moves=_MOVES, by_chance=447),
    "consolidate_3k_2s": lambda: consolidating(3000, 2.0, watch, moves=(0, 100), by_chance=447),
    "consolidate_5k_5s": lambda: consolidating(5000, 5.0, watch, moves=(0, 200), by_chance=750),
    "consolidate_20k_20s": lambda: consolidating(20_000, 20.0, watch, moves=(0, 800), by_chance=0),
}


def _instances(archive: Path, wanted: set[str]) -> Iterator[tuple[str, IntVector, IntMatrix]]:
    """Name, capacity and items, in the order of paths; `D / caps / n / n lines: sizes, count`."""
    with tarfile.open(archive) as packed:
        members = {each.name: each for each in packed if each.name.endswith(".vbp")}
        for name in sorted(members):
            stem = Path(name).stem
            lines = packed.extractfile(members[name])
            if stem not in wanted or lines is None:
                continue
            numbers = np.array(lines.read().split(), float).astype(np.int64)
            size = int(numbers[0])
            rows = numbers[2 + size :].reshape(int(numbers[1 + size]), size + 1)
            yield stem, numbers[1 : 1 + size], np.repeat(rows[:, :size], rows[:, size], axis=0)
