"""The API server's answer about a template's pods before any of them is created."""

from dataclasses import dataclass

from bayplan.model import resources

# Refusals that may end without an edit of the template.
PASSING = frozenset(
    {"ApiServerUnavailable", "QuotaExceeded", "TemplateRefused", "WebhookUnavailable"}
)


@dataclass(frozen=True, slots=True)
class Admission:
    """What the API server answered to a dry-run CREATE of one pod of a template.

    An empty `refusal` means that the server would accept the pod, and `request` is what the stored
    pod would ask for (after LimitRange, webhooks, sidecars). Otherwise `refusal` is a closed
    reason: `InvalidTemplate` (final until the template changes), or one of `PASSING`, which is
    tried again at `retry_at`. `unknown_fields` are paths that the server does not
    know: it drops them and accepts the rest. `placing` is a fingerprint of what else the server
    said about where such a pod may run.
    """

    template_hash: str
    request: resources.Vector = resources.NOTHING
    refusal: str = ""
    message: str = ""
    checked_at: int = 0
    retry_at: int = 0
    unknown_fields: tuple[str, ...] = ()
    placing: str = ""

    @property
    def final(self) -> bool:
        return self.refusal == "InvalidTemplate"

    @property
    def lacks_quota(self) -> bool:
        """Whether only a full quota is in the way: pods that go make room for pods that come."""
        return self.refusal == "QuotaExceeded"
