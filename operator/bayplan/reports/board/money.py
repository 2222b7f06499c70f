"""What is stranded on each node, and what each workload pays: two tables of the dashboard."""

from collections.abc import Iterable

from bayplan.model import resources
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.reports import costs
from bayplan.reports.board.tables import Table


def waste(nodes: Iterable[Node], running: Iterable[Pod]) -> Table:
    """The nodes on which something is stranded; amounts as in `tables.COLUMNS`."""
    found = {}
    for name, lost in costs.on_nodes(nodes, running).items():
        stranded = lost["stranded"]
        if stranded is not None:
            found[name] = (
                name,
                stranded.get(resources.CPU, 0),
                stranded.get(resources.MEMORY, 0),
                lost["fullOf"],
                lost["strandedMicrodollarsPerHour"],
            )
    return found


def paid(nodes: Iterable[Node], running: Iterable[Pod]) -> Table:
    """What each workload costs, by namespace and owner."""
    pods = list(running)
    titles = {
        pod.key: f"{pod.owner.kind} {pod.owner.name}" if pod.owner is not None else "Pod"
        for pod in pods
    }
    return {
        f"{row['namespace']}/{row['workload']}": (
            row["namespace"],
            row["workload"],
            row["pods"],
            row["costMicrodollarsPerHour"],
            row["podsOnNodesOfUnknownPrice"],
        )
        for row in costs.by_workload(nodes, pods, titles)["rows"]
    }
