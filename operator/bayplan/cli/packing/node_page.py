"""`bayplan explain node NAME`: why a node stays or goes, and what that costs. Read only."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from bayplan.cli.errors import Negative, NotThere, Refused
from bayplan.cli.packing import pool_objects
from bayplan.cli.printing import now

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient

WORDS = frozenset({"node", "nodes", "no"})  # before the name on the command line
_MICRO = 1_000_000
_MOST_PODS = 8
_MOST_NEAR = 3
_SORTS = {
    "Stays": "may not move",
    "Ends": "end by themselves",
    "Moves": "may move",
    "WithNode": "go with the node",
}

Body = dict[str, Any]


def is_node(word: str) -> bool:
    """Whether a word is `node/NAME`."""
    kind, slash, _ = word.rpartition("/")
    return bool(slash) and kind.lower() in WORDS


def account(cluster: "ApiClient", word: str) -> dict[str, Any]:
    """What there is to know about the node that `word` names, as data."""
    from bayplan.manifests import disruption_budgets
    from bayplan.model.budgets import Budgets
    from bayplan.reports import nodes  # pydantic

    name = word.rpartition("/")[2]
    site = pool_objects.site(cluster)
    known = {node.name: node for node in site.nodes}
    if name not in known:
        raise Negative(f"no Node {name!r}{_near(name, known)}")
    around = nodes.Surroundings(
        site,
        _defined(cluster, "Pool"),
        Budgets.of(disruption_budgets.read(_readable(cluster, "PodDisruptionBudget"))),
        _readable(cluster, "BatchJob"),
        now(),
    )
    return nodes.account(known[name], around)


def _near(name: str, known: Mapping[str, object]) -> str:
    import difflib  # only needed for a mistyped name

    near = difflib.get_close_matches(name, known, _MOST_NEAR, cutoff=0.5)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; `kubectl get nodes` lists the {len(known)} that there are" if known else ""


def _defined(cluster: "ApiClient", kind: str) -> list[Body]:
    """All objects of a kind; none if the cluster does not know it."""
    try:
        return cluster.listed(kind, "")
    except NotThere:
        return []


def _readable(cluster: "ApiClient", kind: str) -> list[Body]:
    """The same; if the user may not list them, that is said, and the others are looked at."""
    try:
        return _defined(cluster, kind)
    except Refused as refused:
        click.echo(f"without each {kind} of the cluster: {refused}", err=True)
        return []


def lines(told: Mapping[str, Any], *, wide: bool = False) -> Iterator[str]:
    """The account as lines of text; `wide` has every pod."""
    yield _title(told)
    yield from (f"  {one}" for one in told["why"])
    for sort, words in _SORTS.items():
        pods = [one for one in told["pods"] if one["may"] == sort]
        if not pods:
            continue
        yield f"{words}: {_counted(len(pods))}"
        shown = pods if wide else pods[:_MOST_PODS]
        yield from (f"  {_pod(one)}" for one in shown)
        if len(pods) > len(shown):
            yield f"  … and {len(pods) - len(shown)} more; -o wide shows all"


def _title(told: Mapping[str, Any]) -> str:
    cost = told["costMicrodollarsPerHour"]
    price = f"${cost / _MICRO:.4f} an hour" if cost is not None else "price unknown"
    place = ", ".join(
        filter(None, (told["instanceType"], told["zone"], told["capacityType"], price))
    )
    of_pool = f" of Pool {told['pool']}" if told["pool"] else ""
    mode = f", mode {told['mode']}" if told["mode"] else ""
    full = "".join(
        f", {name} {told['fillPercent'][name]:.0f} %"
        for name in ("cpu", "memory")
        if name in told["fillPercent"]
    )
    pods = _counted(len(told["pods"]))
    return f"Node {told['name']}{of_pool}{mode} ({place}): {told['state']}, {pods}{full}"


def _pod(one: Mapping[str, Any]) -> str:
    name = f"{one['namespace']}/{one['name']}"
    if one["why"]:
        return f"{name} {one['why']}"
    if one["may"] == "Ends" and one["endsInSeconds"] is not None:
        return f"{name} ends in about {_minutes(one['endsInSeconds'])}"
    return f"{name} ({one['owner']})" if one["owner"] else name


def _minutes(seconds: int) -> str:
    minutes = max(round(seconds / 60), 1)
    return "a minute" if minutes == 1 else f"{minutes} minutes"


def _counted(pods: int) -> str:
    return "1 pod" if pods == 1 else f"{pods} pods"
