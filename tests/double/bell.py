"""A doorbell that remembers who rang: what a cache tells the loop, for tests to read."""

from bayplan.api.resource import Key


class Bell:
    """Every ring, in order."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.placement = 0
        self.namespaces: list[str] = []

    def mark(self, key: Key) -> None:
        self.keys.append(key)

    def mark_placement(self) -> None:
        self.placement += 1

    def mark_namespace(self, namespace: str) -> None:
        self.namespaces.append(namespace)

    def silence(self) -> None:
        self.keys, self.placement, self.namespaces = [], 0, []
