"""A slow second opinion on plans: each rule again, pod by pod, in plain Python.

Written from Kubernetes' documentation of each constraint and sharing no code with the engine but
the nouns. It looks at the final state: every rule here holds there if it held at each step.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bayplan.model import snapshot
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod, PodTerm, resources
from bayplan.model.workloads import TaskKey, Waiting

Where = Sequence[tuple[Pod, str]]  # every pod and its node


def landed(waiting: Iterable[Waiting], placements: Mapping[TaskKey, str]) -> list[tuple[Pod, str]]:
    """The placed tasks as pods."""
    return [
        (
            Pod(
                namespace=key[0],
                name=key[1],
                node=placements[key],
                request=group.kind.request,
                constraints=group.kind.constraints,
                labels=dict(group.kind.labels),
            ),
            placements[key],
        )
        for group in waiting
        for key in group.keys
        if key in placements
    ]


def violations(
    nodes: Sequence[Node],
    running: Sequence[Pod],
    new: Where,
    daemonsets: Sequence[snapshot.DaemonSet] = (),
) -> list[str]:
    """What a plan breaks, as sentences; empty is right."""
    by_name = {node.name: node for node in nodes}
    everyone = [(pod, pod.node) for pod in running if pod.node and not pod.terminal] + list(new)
    wrong = [
        f"{pod.name} on {name}: {fault}"
        for pod, name in new
        for fault in (
            *_alone(pod, by_name[name]),
            *_ports(pod, name, everyone),
            *_affinity(pod, name, everyone, by_name),
            *_spread(pod, name, everyone, nodes),
        )
    ]
    for name in sorted({name for _, name in new}):
        request = sum(
            (pod.request for pod, at in everyone if at == name),
            start=resources.NOTHING,
        )
        there = {pod.owner.uid for pod, at in everyone if at == name and pod.owner is not None}
        for daemonset in daemonsets:
            if daemonset.uid not in there:
                request += daemonset.request
        wrong += [
            f"{name}: beyond allocatable {resource}"
            for resource in request.exceeding(by_name[name].allocatable)
            # others may have over-committed it before us; no new pod may ask for more of it
            if any(pod.request.amount(resource) for pod, at in new if at == name)
        ]
    return wrong


def _alone(pod: Pod, node: Node) -> list[str]:
    wanted = pod.constraints
    faults = []
    if not node.ready:
        faults.append("not ready")
    if node.leaving:
        faults.append("leaving")
    for taint in node.taints:
        tolerated = any(toleration.tolerates(taint) for toleration in wanted.tolerations)
        if taint.effect in {"NoSchedule", "NoExecute"} and not tolerated:
            faults.append(f"taint {taint.key}")
    faults += [f"selector {key}" for key, value in wanted.selector if node.labels.get(key) != value]
    if wanted.affinity is not None and not any(
        term.matches(node.labels, node.name) for term in wanted.affinity
    ):
        faults.append("node affinity")
    return faults


def _ports(pod: Pod, name: str, everyone: Where) -> list[str]:
    return [
        f"host port {port.port}"
        for other, at in everyone
        if at == name and other.key != pod.key
        for port in pod.constraints.host_ports
        for taken in other.constraints.host_ports
        if port.collides(taken)
    ]


def _selects(term: PodTerm, holder: Pod, other: Pod) -> bool:
    inside = (
        term.all_namespaces
        or other.namespace in term.namespaces
        or (not term.namespaces and other.namespace == holder.namespace)
    )
    return inside and term.selector.matches(other.labels)


def _affinity(pod: Pod, name: str, everyone: Where, by_name: Mapping[str, Node]) -> list[str]:
    def together(key: str, at: str) -> bool:
        value = by_name[name].labels.get(key)
        other = by_name.get(at)
        return value is not None and other is not None and other.labels.get(key) == value

    faults = []
    others = [(other, at) for other, at in everyone if other.key != pod.key]
    for other, at in others:
        for holder, term_holder, selected in ((pod, pod, other), (other, other, pod)):
            faults += [
                f"anti-affinity of {holder.name}"
                for term in term_holder.constraints.pod_anti_affinity
                if not term.weight
                and _selects(term, holder, selected)
                and together(term.topology_key, at)
            ]
    terms = [term for term in pod.constraints.pod_affinity if not term.weight]
    near = [
        at for other, at in others if at in by_name and all(_selects(t, pod, other) for t in terms)
    ]
    itself = all(_selects(term, pod, pod) for term in terms)
    for term in terms:
        first = itself and not near and term.topology_key in by_name[name].labels
        if not first and not any(together(term.topology_key, at) for at in near):
            faults.append(f"affinity {term.topology_key}")
    return faults


def _spread(pod: Pod, name: str, everyone: Where, nodes: Sequence[Node]) -> list[str]:
    faults = []
    hard = [spread for spread in pod.constraints.spread if spread.hard]
    for spread in hard:
        eligible = [
            node
            for node in nodes
            if all(other.topology_key in node.labels for other in hard)
            and not (spread.honour_affinity and _misses(pod, node))
            and not (spread.honour_taints and _tainted(pod, node))
        ]
        domain = {node.name: node.labels[spread.topology_key] for node in eligible}
        counts = Counter(dict.fromkeys(domain.values(), 0))
        counts.update(
            domain[at]
            for other, at in everyone
            if at in domain
            and other.namespace == pod.namespace
            and not other.terminating
            and spread.selector.matches(other.labels)
        )
        least = min(counts.values(), default=0) if len(counts) >= spread.min_domains else 0
        if name not in domain:
            faults.append(f"spread {spread.topology_key}: no such domain")
        elif counts[domain[name]] - least > spread.max_skew:
            faults.append(f"spread {spread.topology_key}: {dict(counts)}")
    return faults


def _misses(pod: Pod, node: Node) -> bool:
    wanted = pod.constraints
    return any(node.labels.get(key) != value for key, value in wanted.selector) or (
        wanted.affinity is not None
        and not any(term.matches(node.labels, node.name) for term in wanted.affinity)
    )


def _tainted(pod: Pod, node: Node) -> bool:
    return any(
        taint.effect in {"NoSchedule", "NoExecute"}
        and not any(toleration.tolerates(taint) for toleration in pod.constraints.tolerations)
        for taint in node.taints
    )
