"""What pods ask for and where they say they may run."""

from typing import Any

from tests.scheduler import machines, selectors
from tests.scheduler.dice import Dice

CPU = ("0", "100m", "250m", "500m", "1", "1500m", "0.1", "2", "1e-1", "50m")
MEMORY = ("0", "64Mi", "512Mi", "1Gi", "2Gi", "1e9", "3000M", "1.5Gi")
PORTS = (80, 443, 8080)
ADDRESSES = ("", "0.0.0.0", "127.0.0.1", "10.0.0.1", "::")  # noqa: S104  as pods say it


def requests(dice: Dice, *, small: bool = False) -> dict[str, str]:
    found = {}
    if dice.chance(0.85):
        found["cpu"] = dice.pick(CPU[:5] if small else CPU)
    if dice.chance(0.7):
        found["memory"] = dice.pick(MEMORY[:4] if small else MEMORY)
    if dice.chance(0.1):
        found["ephemeral-storage"] = dice.pick(("1Gi", "15Gi", "30Gi"))
    if dice.chance(0.06):
        found["example.com/gpu"] = dice.pick(("1", "2", "0"))
    if dice.chance(0.03):
        found |= {"hugepages-2Mi": "64Mi", "cpu": "100m"}
    return found


def container(dice: Dice, name: str, *, ports: bool, small: bool = False) -> dict[str, Any]:
    """As the API server stores it: a limit without a request has become one."""
    wanted = requests(dice, small=small)
    found: dict[str, Any] = {"name": name, "image": "i", "resources": {"requests": wanted}}
    limits = {key: value for key, value in wanted.items() if key not in {"cpu", "memory"}}
    if limits:
        found["resources"]["limits"] = limits
    if ports and dice.chance(0.8):
        found["ports"] = [_port(dice) for _ in range(dice.number(1, 2))]
    return found


def _distinct(containers: list[dict[str, Any]]) -> None:
    """No host port twice within a pod: an API server refuses that."""
    seen: set[tuple[object, ...]] = set()
    for index, port in enumerate(port for one in containers for port in one.get("ports", ())):
        key = port.get("hostPort"), port["protocol"], port.get("hostIP")
        if key in seen:
            port["containerPort"] += 1000 * (index + 1)
            if "hostPort" in port:
                port["hostPort"] = port["containerPort"]
        seen.add(key)


def _port(dice: Dice) -> dict[str, Any]:
    port = dice.pick(PORTS)
    found: dict[str, Any] = {"containerPort": port, "protocol": dice.pick(("TCP", "TCP", "UDP"))}
    if dice.chance(0.9):
        found["hostPort"] = port
        if address := dice.pick(ADDRESSES) if dice.chance(0.4) else "":
            found["hostIP"] = address
    return found


def spec(dice: Dice, themes: set[str], own: dict[str, str], *, small: bool = False) -> Any:
    """A pod's spec without volumes; `own` are its labels."""
    ports = "ports" in themes and dice.chance(0.6)
    found: dict[str, Any] = {
        "containers": [
            container(dice, f"c{index}", ports=ports, small=small)
            for index in range(dice.pick((1, 1, 1, 2)))
        ]
    }
    if "sums" in themes:
        _sums(dice, found, ports=ports)
    if ports and dice.chance(0.15):
        found["hostNetwork"] = True
        for one in (*found["containers"], *found.get("initContainers", ())):
            for port in one.get("ports", ()):
                port["hostPort"] = port["containerPort"]
    _distinct([*found["containers"], *found.get("initContainers", ())])
    if "nodes" in themes and dice.chance(0.6):
        _nodes(dice, found)
    if dice.chance(0.45 if "taints" in themes else 0.1):
        found["tolerations"] = [_toleration(dice) for _ in range(dice.number(1, 3))]
    if "affinity" in themes and dice.chance(0.6):
        _affinity(dice, found, own)
    if "spread" in themes and dice.chance(0.7):
        found["topologySpreadConstraints"] = selectors.spread(dice, own)
    return found


def _sums(dice: Dice, found: dict[str, Any], *, ports: bool) -> None:
    """All that adds to what the containers ask for."""
    inits = [
        container(dice, f"i{index}", ports=ports and dice.chance(0.3))
        for index in range(dice.pick((0, 1, 1, 2, 3)))
    ]
    for one in inits:
        if dice.chance(0.5):
            one["restartPolicy"] = "Always"
    if inits:
        found["initContainers"] = inits
    if dice.chance(0.3):
        found["overhead"] = dice.pick(({"cpu": "250m"}, {"cpu": "100m", "memory": "120Mi"}))
    if dice.chance(0.25):
        whole = dice.pick(({"cpu": "3"}, {"cpu": "4", "memory": "3Gi"}, {"memory": "6Gi"}))
        found["resources"] = {"requests": whole}
        for one in (*found["containers"], *inits):  # together they ask for no more than the pod
            least = {"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "1Gi"}
            one["resources"] = {"requests": {key: least[key] for key in dice.some(list(least))}}


def _nodes(dice: Dice, found: dict[str, Any]) -> None:
    if dice.chance(0.4):
        key, values = dice.pick(
            (
                ("topology.kubernetes.io/zone", machines.ZONES),
                ("disk", ("ssd", "hdd")),
                ("rack", ("k1", "k2", "k3")),
            )
        )
        found["nodeSelector"] = {key: dice.pick(values)}
    if dice.chance(0.6):
        terms = [_node_term(dice) for _ in range(dice.pick((1, 1, 2)))]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        if dice.chance(0.2):
            preferred = [{"weight": 10, "preference": _node_term(dice)}]
            required["preferredDuringSchedulingIgnoredDuringExecution"] = preferred  # type: ignore[assignment]
        found.setdefault("affinity", {})["nodeAffinity"] = required


def _node_term(dice: Dice) -> dict[str, Any]:
    if dice.chance(0.04):
        return {}
    found: dict[str, Any] = {}
    if dice.chance(0.85):
        found["matchExpressions"] = [_node_expression(dice) for _ in range(dice.pick((1, 1, 2)))]
    if not found or dice.chance(0.12):
        names = [f"n{dice.number(1, 6)}"]
        operator = dice.pick(("In", "NotIn"))
        fields = [{"key": "metadata.name", "operator": operator, "values": names}]
        found["matchFields"] = fields
    return found


def _node_expression(dice: Dice) -> dict[str, Any]:
    operator = dice.pick(("In", "In", "NotIn", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"))
    if operator in {"Gt", "Lt"}:
        values = [dice.pick(("0", "1", "4", "7", "9223372036854775806"))]
        return {"key": "tier", "operator": operator, "values": values}
    key, known = dice.pick(
        (
            ("topology.kubernetes.io/zone", machines.ZONES),
            ("disk", ("ssd", "hdd")),
            ("rack", ("k1", "k2", "k3")),
            ("tier", machines.TIERS),
        )
    )
    if operator in {"Exists", "DoesNotExist"}:
        return {"key": key, "operator": operator}
    return {"key": key, "operator": operator, "values": dice.some(known, 2, 1)}


def _toleration(dice: Dice) -> dict[str, Any]:
    if dice.chance(0.1):
        return {"operator": "Exists"}
    silent = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unschedulable")
    keys = ([key for key, _ in machines.TAINTS], machines.LEAVING, silent)
    key = dice.pick(dice.pick((keys[0], keys[0], keys[0], keys[1], keys[2])))
    found: dict[str, Any] = {"key": key, "operator": "Exists"}
    if dice.chance(0.4):
        values = [value for taint, value in machines.TAINTS if taint == key] or [""]
        found |= {"operator": "Equal", "value": dice.pick([*values, "other"])}
    if dice.chance(0.5):
        found["effect"] = dice.pick(("NoSchedule", "NoExecute", "PreferNoSchedule"))
    if not found.get("value"):
        found.pop("value", None)
    return found


def _affinity(dice: Dice, found: dict[str, Any], own: dict[str, str]) -> None:
    kinds = dice.pick((["podAffinity"], ["podAntiAffinity"], ["podAffinity", "podAntiAffinity"]))
    for kind in kinds:
        terms = [selectors.term(dice, own) for _ in range(dice.pick((1, 1, 1, 2)))]
        wanted: dict[str, Any] = {"requiredDuringSchedulingIgnoredDuringExecution": terms}
        if dice.chance(0.15):
            preferred = [{"weight": 5, "podAffinityTerm": selectors.term(dice, own)}]
            wanted["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
        found.setdefault("affinity", {})[kind] = wanted


def resize(dice: Dice, pod: dict[str, Any]) -> None:
    """A resize in place at some stage: wanted, allocated and running differ."""
    statuses = []
    for one in pod["spec"]["containers"]:
        status: dict[str, Any] = {"name": one["name"], "restartCount": 0, "image": "i"}
        status |= {"imageID": "", "ready": True}
        allocated = {"cpu": dice.pick(CPU), "memory": dice.pick(MEMORY)}
        if dice.chance(0.8):
            status["allocatedResources"] = allocated
        if dice.chance(0.8):
            running = allocated if dice.chance(0.6) else {"cpu": dice.pick(CPU)}
            status["resources"] = {"requests": running}
        statuses.append(status)
    pod["status"]["containerStatuses"] = statuses
    if dice.chance(0.4):
        reason = dice.pick(("Deferred", "Infeasible"))
        condition = {"type": "PodResizePending", "status": "True", "reason": reason}
        pod["status"]["conditions"] = [condition]
