"""What the API server makes of a template's pods before one of them is created."""

from dataclasses import dataclass

from bayplan.model import resources


@dataclass(frozen=True, slots=True)
class Admission:
    """What the API server answered to a dry-run CREATE of one pod of a template.

    `refusal` empty: it would accept, and `request` is what the stored pod would ask for (after
    LimitRange, webhooks, sidecars). Otherwise a closed reason: `InvalidTemplate` (final until the
    template changes), `TemplateRefused` or `QuotaExceeded` (tried again at `retry_at`).
    `unknown_fields` are paths that the server does not know, leaves out and accepts the rest.
    `placing` names what else it said of where such a pod may run.
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
        """Whether only a full quota is in the way: who goes makes room for who comes."""
        return self.refusal == "QuotaExceeded"
