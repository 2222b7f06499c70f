"""kopf's login: the server and the credentials that the operator itself uses."""

import dataclasses
import datetime as dt
import ssl

import kopf

from bayplan.cluster import kubeconfig
from bayplan.cluster.credential_plugins import AccessError
from bayplan.cluster.kubeconfig import Access


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Connection(kopf.ConnectionInfo):
    """Trusts whom our own connections trust."""

    access: Access

    def as_ssl_context(self) -> ssl.SSLContext:
        return self.access.tls()


async def login() -> kopf.ConnectionInfo:
    """The connection of kopf's watches; kopf asks again when it ends or is refused."""
    try:
        found = await kubeconfig.access()
        shown = found.authorization()
    except AccessError as error:
        raise kopf.LoginError(f"no usable configuration: {error}") from error
    scheme, _, token = (shown or "").partition(" ")
    expires = found.expires_at
    return _Connection(
        server=found.server,
        access=found,
        scheme=scheme or None,
        token=token or None,
        proxy_url=found.proxy or None,
        expiration=dt.datetime.fromtimestamp(expires, dt.UTC) if expires is not None else None,
    )
