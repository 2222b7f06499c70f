"""What the API server says of DaemonSets, as the scheduler is to understand it."""

import pytest

from bayplan.model import daemonsets
from tests.unit.cluster.written import container, seen, vector


@pytest.mark.parametrize("host_network", [None, False, True])
def test_daemonset(host_network: bool | None) -> None:
    """Its pods' request, and the tolerations that its controller will add."""
    template = {
        "spec": {
            "containers": [container(cpu="100m")],
            "nodeSelector": {"os": "linux"},
            "hostNetwork": host_network,
        },
    }
    found = seen(
        "DaemonSet",
        {
            "metadata": {"name": "d", "namespace": "kube-system", "uid": "u"},
            "spec": {"template": template},
        },
    )

    assert vector(cpu=100) == found.request
    assert (("os", "linux"),) == found.constraints.selector
    expected = daemonsets.tolerations((), host_network=host_network is True)
    assert expected == found.constraints.tolerations
