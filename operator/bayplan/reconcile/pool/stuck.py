"""Claims that get no instance: they are withdrawn, because each stops all buying of Karpenter.

While any NodeClaim has no providerID, Karpenter's state is not synced, and neither its provisioning
nor its disruption does anything for anybody (kubernetes-sigs/karpenter v1.14.1, pkg/controllers/
state/cluster.go). Karpenter itself gives up only after 5 minutes.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from bayplan.model.claim_names import made_by_us
from bayplan.model.intents import RetireNode
from bayplan.model.node_claims import ClaimState, NodeClaim


def stuck(
    claims: Iterable[NodeClaim],
    launch_seconds: int,
    now: int,
    shifts: Mapping[str, int] = MappingProxyType({}),
) -> list[RetireNode]:
    """Deletes of our claims that have waited for an instance for `launch_seconds`.

    `shifts` are seconds by which the clocks were set since a claim was made, by its uid.
    The offerings of such a claim should be put away (`refusals`). A claim that Karpenter made is
    left to Karpenter.
    """
    return [
        RetireNode(claim.name, claim.uid, _why(claim, launch_seconds), unlaunched=True)
        for claim in claims
        if _waits(claim) and now - claim.created_at - shifts.get(claim.uid, 0) >= launch_seconds
    ]


def _waits(claim: NodeClaim) -> bool:
    ours = bool(claim.pool) and not claim.group and made_by_us(claim.name, claim.pool)
    return ours and not claim.assumed and claim.state is ClaimState.REQUESTED


def _why(claim: NodeClaim, launch_seconds: int) -> str:
    said = f" ({claim.problem})" if claim.problem else ""
    return f"no instance after {launch_seconds} s{said}"
