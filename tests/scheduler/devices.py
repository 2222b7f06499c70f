"""Devices (dynamic resource allocation): classes, what nodes offer, claims of pods."""

from typing import Any

from tests.scheduler.dice import Dice

_DRIVER = "gpu.example.com"


def devices(dice: Dice, nodes: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """One class; a slice on some nodes; claims of the namespace default, not yet allocated."""
    names = [node["metadata"]["name"] for node in nodes]
    return {
        "deviceClasses": [{"metadata": {"name": "gpu"}, "spec": {}}],
        "resourceSlices": [_slice(name) for name in dice.some(names)],
        "resourceClaims": [_claim(f"devices-{index}") for index in range(dice.number(1, 2))],
    }


def _slice(node: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"slice-{node}"},
        "spec": {
            "driver": _DRIVER,
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "gpu-0"}],
        },
    }


def _claim(name: str) -> dict[str, Any]:
    asked = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"devices": {"requests": [{"name": "one", "exactly": asked}]}},
    }


def claim(dice: Dice, pod: dict[str, Any], claims: list[dict[str, Any]]) -> None:
    """Let a pod ask for the devices of a claim."""
    name = dice.pick(claims)["metadata"]["name"]
    pod["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimName": name}]
    pod["spec"]["containers"][0]["resources"]["claims"] = [{"name": "gpu"}]
