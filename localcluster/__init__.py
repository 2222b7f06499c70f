"""A real Kubernetes control plane on this machine, without Docker: for tests, demo, contributors.

etcd, kube-apiserver, controller manager and, if wanted, kube-scheduler are the real programs, built
from pinned Go modules. Nodes are fake (`kwok`: hundreds, shaped like EC2 instances) or real
(`kubelets`: kubelet and containerd, root only), also side by side. Never imported by `bayplan`.

From Python:

    from localcluster import Cluster

    with Cluster.start(kwok="m5.2xlarge:us-east-1a=6", audit=True) as c:
        c.kubeconfig, c.server, c.ca, c.directory      # the administrator's; https://127.0.0.1:PORT
        c.kubectl("apply", "-f", "-", input=manifest)  # text in, CompletedProcess[str] out
        c.request("GET", "/api/v1/nodes")              # decoded; PATCH is a merge patch
        c.audit_events()                               # dicts, oldest first

`Cluster.start(name=None, …)`, all by keyword but the name:

    kwok=""                   fake nodes: INSTANCE-TYPE:ZONE[:spot][=COUNT],…
    kubelets=0                real nodes, named kubelet-1, kubelet-2 …
    kubelet_shapes=…          as what those show themselves, in turn; at most what the machine has
    scheduler=False           kube-scheduler, for pods that name no other and for DaemonSets
    controller_manager=True   it collects garbage, taints silent nodes, deletes namespaces …
    audit=False               an audit log of every request, metadata only
    port=None                 of the API server; else a free one
    apiserver_flags=(), controller_manager_flags=()
    node_monitor_grace_seconds=40     a silent node counts as unreachable after this; fake nodes
                              renew their leases two and a half times as often
    prices=None               a prices file of the operator; fake nodes are labelled with it
    stays=False               it is not cleared away when this process has died

What can be done to it:

    c.add_kwok_nodes("c5.xlarge:us-east-1b=2")     names, e.g. c5-xlarge-us-east-1b-1
    c.start_karpenter(["m5.xlarge"], ["us-east-1a"])   an autoscaler that buys fake nodes; prices=…
    c.stop_heartbeat(node), c.resume_heartbeat(node)   a fake node is cut off, is back
    c.stop_kubelet(node), c.start_kubelet(node)    likewise a real one; its containers go on
    c.lose_node(node)                              a real node and its containers are gone
    c.boot_node(node)                              it is switched on again, with the same disk
    c.delete_node(node)                            the Node object goes
    c.client_kubeconfig("system:serviceaccount:NAMESPACE:NAME")   acts as it; any user, groups=()
    c.pause_apiserver(), c.resume_apiserver(), c.stop_apiserver(), c.restart_apiserver()

`Cluster.open(name)` is a handle on one that another process started, from the command line say.
How long a fake pod takes to start, to become ready, to end and with which exit code is said by its
annotations: see `kwok`. Real nodes have one image, `bayplan.local/busybox:1` or `busybox:1.36`, see
`image`.

Clusters stand side by side, each with ports and a folder of its own below `state.home()`. Nothing
waits longer than 90 s (nodes: and a second for every 20). What stop does not need to be told: it
finds processes by marks in their environment and everything else by names that follow from the
folder, so that it works after a SIGKILL of whoever started the cluster.
"""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("bayplan") is None:  # a checkout without an install
    sys.path.append(str(Path(__file__).parents[1] / "operator"))

from localcluster.cluster import Cluster

__all__ = ["Cluster"]
