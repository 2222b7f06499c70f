"""What an operator does with tainted nodes that it finds when it starts."""

from types import SimpleNamespace
from typing import Any, cast

from bayplan.cluster.pools import NODE_CLAIM, NODE_POOL, POOL
from bayplan.model.intents import TaintNode
from bayplan.model.nodes import Taint
from bayplan.scheduler.pools.menus import Menus
from bayplan.scheduler.pools.pool_nodes import PoolNodes
from bayplan.scheduler.pools.retirer import Retirer
from tests.builders import NOON, make_node
from tests.unit.cluster.held import Held
from tests.unit.cluster.test_pools import node_pool_body, pool_body

CLASS = {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "c"}


def test_a_taint_stays_until_it_is_known_who_buys() -> None:
    """A node that the last process was giving back is not opened by a process that just started."""
    held, written = Held(), list[TaintNode]()
    pools = held.cache.pools
    pools.karpenter = pools.looked = True
    taints = (Taint("bayplan.dev/draining", "retiring"),)
    held.cache.state.set_node(make_node(labels={"bayplan.dev/pool": "batch"}, taints=taints))
    held.put(POOL, "batch", pool_body(), 10, namespace="")
    held.put(NODE_POOL, "of-batch", node_pool_body(nodeClassRef=CLASS), 10, namespace="")
    parts: dict[str, Any] = dict.fromkeys(("clock", "under_way", "measured", "groups"))
    retirer = Retirer(
        cache=held.cache,
        writer=cast("Any", SimpleNamespace(taint=written.append)),
        nodes=PoolNodes(held.cache),
        menus=cast("Any", SimpleNamespace(node_pool=lambda _: None)),
        **parts,
    )

    for kind in (POOL, NODE_POOL, NODE_CLAIM):
        retirer.look(Menus(), NOON)
        held.cache.sync(kind)
    retirer.look(Menus(), NOON)
    assert [] == written

    pools.node_classes["EC2NodeClass", "c"] = {}
    retirer.look(Menus(), NOON)
    assert [("n1", False)] == [(one.node, one.present) for one in written]
