"""What the cache rings: the loop's inbox, and the retries of admission."""

from collections.abc import Callable
from dataclasses import dataclass

from bayplan.api.resource import Key
from bayplan.scheduler.inbox import Inbox


@dataclass(frozen=True, slots=True)
class InboxDoorbell:
    """`retry_namespace` is called with namespaces in which refused pods may be admitted by now."""

    inbox: Inbox
    retry_namespace: Callable[[str], None]

    def mark(self, key: Key) -> None:
        """Look at this resource."""
        self.inbox.mark(key)

    def mark_placement(self) -> None:
        """Room or nodes have changed: look at waiting pods."""
        self.inbox.mark_placement()

    def mark_namespace(self, namespace: str) -> None:
        """A quota, a LimitRange or the namespace has changed."""
        self.retry_namespace(namespace)
