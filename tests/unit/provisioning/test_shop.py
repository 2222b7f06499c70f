"""What can be bought, as places for pods."""

from bayplan.provisioning.demand import Shop
from tests.builders import make_class


def test_where_nothing_is_offered_nothing_holds_a_pod() -> None:
    """A NodePool that names no zone, in a cluster without a node: no zone is known."""
    kind = make_class(1)

    assert [] == Shop((), (), (), {}).holders(kind.request, [kind], "")
