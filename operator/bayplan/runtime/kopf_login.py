"""kopf's login: the server and the credentials that the operator itself uses."""

import base64
import datetime as dt

import kopf

from bayplan.cluster import kubeconfig
from bayplan.cluster.credential_plugins import AccessError


async def login() -> kopf.ConnectionInfo:
    """The connection of kopf's watches; kopf asks again when it ends or is refused."""
    try:
        found = await kubeconfig.access()
        shown = found.authorization()
    except AccessError as error:
        raise kopf.LoginError(f"no usable configuration: {error}") from error
    scheme, _, token = (shown or "").partition(" ")
    expires = found.expires_at
    return kopf.ConnectionInfo(
        server=found.server,
        ca_data=_encoded(found.authority),
        insecure=found.insecure,
        scheme=scheme or None,
        token=token or None,
        certificate_data=_encoded(found.certificate),
        private_key_data=_encoded(found.key),
        proxy_url=found.proxy or None,
        trust_env=not found.proxy,
        expiration=dt.datetime.fromtimestamp(expires, dt.UTC) if expires is not None else None,
    )


def _encoded(pem: str) -> str | None:
    return base64.b64encode(pem.encode()).decode() if pem else None
