"""When time alone changes what a consolidation could do."""

from collections.abc import Iterator

from bayplan.model.movability import of_its_node, old_at
from bayplan.provisioning.consolidation.scene import Scene


def ripens_at(scene: Scene) -> int | None:
    """When the next pod or node no longer stays for its age, or for a time that it names itself.

    None if nothing waits for a time. O(pods).
    """
    return min((at for at in _times(scene) if at > scene.now), default=None)


def _times(scene: Scene) -> Iterator[int]:
    terms = scene.terms
    for node in scene.nodes:
        yield node.created_at + terms.minimum_node_age_seconds
        for pod in scene.snapshot.pods_on(node.name):
            if not of_its_node(pod):
                yield old_at(pod, terms.minimum_stay_seconds)
                if pod.stays_until is not None:
                    yield pod.stays_until
