"""A claim without an instance stops all of Karpenter, so it is withdrawn in time."""

import dataclasses

import pytest

from bayplan.model import claim_names
from bayplan.model.intents import RetireNode
from bayplan.model.node_claims import NodeClaim
from bayplan.reconcile.pool.stuck import stuck
from tests.builders import NOON

NAME = claim_names.claim_name("batch", "uid", 0)
WAITING = NodeClaim(NAME, "uid-1", pool="batch", created_at=NOON)


def test_withdrawn_after_the_launch_seconds() -> None:
    """Not before; then with the uid, and with the provider's own words."""
    told = dataclasses.replace(WAITING, problem="LaunchFailed: no such type")

    assert [] == stuck([WAITING], 30, NOON + 29)
    assert [RetireNode(NAME, "uid-1", "no instance after 30 s", unlaunched=True)] == stuck(
        [WAITING], 30, NOON + 30
    )
    assert (
        "no instance after 30 s (LaunchFailed: no such type)" == stuck([told], 30, NOON + 31)[0].why
    )


@pytest.mark.parametrize(
    "more",
    [
        {"provider_id": "aws:///a/i-1"},
        {"registered": True},
        {"deleting": True},
        {"assumed": True},
        {"name": "batch-x7k2p"},
        {"pool": ""},
    ],
)
def test_others_are_left(more: dict[str, object]) -> None:
    """Launched, leaving and unseen claims stay, and so do those of Karpenter."""
    other = dataclasses.replace(WAITING, **more)  # type: ignore[arg-type]

    assert [] == stuck([other], 30, NOON + 1000)
