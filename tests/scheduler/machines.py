"""Nodes: of all sizes, with and without labels, tainted, cordoned, silent, leaving."""

from typing import Any

from tests.scheduler.dice import Dice

ZONES = ("z1", "z2", "z3")
TIERS = ("1", "5", "10", "007", "3.5", "x", "", "9223372036854775807", "9223372036854775808")
TAINTS = (
    ("dedicated", "web"),
    ("dedicated", "db"),
    ("gpu", ""),
    ("example.com/maintenance", "soon"),
    ("node.kubernetes.io/memory-pressure", ""),
)
LEAVING = ("karpenter.sh/disrupted", "ToBeDeletedByClusterAutoscaler", "bayplan.dev/draining")
EXTENDED = ("example.com/gpu", "hugepages-2Mi")


def nodes(dice: Dice, *, troubled: bool, pools: bool) -> list[dict[str, Any]]:
    """`troubled`: some are not ready, cordoned or leaving; `pools`: some are not ours."""
    count = dice.pick((1, 2, 3, 3, 4, 4, 5, 6, 8))
    return [
        _node(dice, f"n{index}", troubled=troubled, pools=pools) for index in range(1, count + 1)
    ]


def _node(dice: Dice, name: str, *, troubled: bool, pools: bool) -> dict[str, Any]:
    taints = [
        {"key": key, "value": value, "effect": effect}
        for (key, effect), value in {
            (key, dice.pick(("NoSchedule", "PreferNoSchedule", "NoExecute"))): value
            for key, value in TAINTS
            if dice.chance(0.08)
        }.items()
    ]
    node: dict[str, Any] = {
        "metadata": {"name": name, "labels": _labels(dice, name, pools=pools)},
        "spec": {},
        "status": {
            "allocatable": _allocatable(dice),
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    if troubled and dice.chance(0.3):
        taints += _trouble(dice, node)
    if taints:
        node["spec"]["taints"] = taints
    return node


def _labels(dice: Dice, name: str, *, pools: bool) -> dict[str, str]:
    found = {}
    if dice.chance(0.95):
        found["kubernetes.io/hostname"] = name if dice.chance(0.97) else "n1"
    if dice.chance(0.88):
        found["topology.kubernetes.io/zone"] = dice.pick(ZONES)
        found["topology.kubernetes.io/region"] = "r1" if dice.chance(0.9) else "r2"
    if dice.chance(0.6):
        found["rack"] = dice.pick(("k1", "k2", "k3"))
    if dice.chance(0.6):
        found["tier"] = dice.pick(TIERS)
    if dice.chance(0.5):
        found["disk"] = dice.pick(("ssd", "hdd"))
    if dice.chance(0.03):
        found["node-role.kubernetes.io/control-plane"] = ""
    if pools:
        found["pool"] = "bayplan" if dice.chance(0.65) else "other"
    return found


def _allocatable(dice: Dice) -> dict[str, str]:
    found = {
        "cpu": dice.pick(("2", "4", "4", "8", "1930m", "3.5")),
        "memory": dice.pick(("4Gi", "8Gi", "16Gi", "7900000Ki", "8e9")),
        "pods": dice.pick(("110", "110", "29", "4", "2")),
        "ephemeral-storage": dice.pick(("20Gi", "100Gi")),
    }
    for name, amounts in zip(EXTENDED, (("0", "1", "2", "4"), ("0", "64Mi", "1Gi")), strict=True):
        if dice.chance(0.3):
            found[name] = dice.pick(amounts)
    return found


def _trouble(dice: Dice, node: dict[str, Any]) -> list[dict[str, str]]:
    match dice.pick(("silent", "cordoned", "cordoned", "leaving", "deleted", "mute")):
        case "silent":
            node["status"]["conditions"][0]["status"] = dice.pick(("False", "Unknown"))
            key = "node.kubernetes.io/not-ready"
            return [{"key": key, "effect": effect} for effect in ("NoSchedule", "NoExecute")]
        case "cordoned":
            node["spec"]["unschedulable"] = True
            return [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]
        case "leaving":
            return [{"key": dice.pick(LEAVING), "effect": "NoSchedule"}]
        case "deleted":
            node["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            return []
        case _:
            node["status"]["conditions"] = []
            return [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
