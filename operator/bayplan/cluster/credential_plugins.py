"""Credentials that somebody else issues: an exec plugin, or an OpenID provider's refresh token.

An exec plugin is a program that prints an ExecCredential (client.authentication.k8s.io), such as
`aws eks get-token`.
"""

import asyncio
import base64
import binascii
import contextlib
import datetime as dt
import json
import os
import ssl
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import aiohttp

_MOST_SECONDS = 30  # that others may take to issue credentials
_SKEW_SECONDS = 60  # an id token that ends sooner is refreshed
_JWT_PARTS = 3


class AccessError(Exception):
    """A configuration that gives no access; the text says why."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A token or a certificate with its key, and when it ends (epoch seconds)."""

    token: str = field(default="", repr=False)
    certificate: str = ""
    key: str = field(default="", repr=False)
    expires_at: float | None = None


async def by_program(
    asked: Mapping[str, Any], cluster: Mapping[str, Any] | None, folder: Path
) -> Issued:
    """Run an exec plugin. A command with a slash is relative to the kubeconfig's folder.

    `cluster`: what the plugin learns of it, if it asks for that.
    """
    version, command = str(asked.get("apiVersion") or ""), str(asked.get("command") or "")
    if not (version and command):
        raise AccessError("exec: apiVersion and command are needed")
    program = str(folder / command) if "/" in command else command
    spec: dict[str, Any] = {"interactive": _interactive(asked)}
    if cluster is not None:
        spec["cluster"] = cluster
    told = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    more = {str(one.get("name")): str(one.get("value", "")) for one in asked.get("env") or ()}
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *map(str, asked.get("args") or ()),
            env={**os.environ, **more, "KUBERNETES_EXEC_INFO": json.dumps(told)},
            stdin=None if spec["interactive"] else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        # Who logs in by hand takes the time that it takes.
        async with asyncio.timeout(None if spec["interactive"] else _MOST_SECONDS):
            printed, complaints = await _finished(process, shown=spec["interactive"])
    except TimeoutError as error:
        raise AccessError(f"exec: {command} took more than {_MOST_SECONDS} s") from error
    except OSError as error:
        hint = f"; {asked['installHint']}".rstrip() if asked.get("installHint") else ""
        raise AccessError(f"exec: {command}: {error.strerror}{hint}") from error
    if process.returncode != 0:
        why = complaints.decode(errors="replace").strip()
        raise AccessError(f"exec: {command} ended with {process.returncode}: {why}")
    return _issued(command, version, printed)


async def _finished(process: asyncio.subprocess.Process, *, shown: bool) -> tuple[bytes, bytes]:
    """What a program prints; it is ended if nobody waits for it any more.

    `shown`: its complaints are shown at once, for they may say how to log in.
    """
    streams = (process.stdout, False), (process.stderr, shown)
    try:
        printed, complaints = await asyncio.gather(
            *(_read(stream, shown=tell) for stream, tell in streams)
        )
        await process.wait()
    except asyncio.CancelledError:
        if process.returncode is None:
            process.kill()
            with contextlib.suppress(TimeoutError):  # its own children may hold its output
                async with asyncio.timeout(1):
                    await process.wait()
        raise
    return printed, complaints


async def _read(stream: asyncio.StreamReader | None, *, shown: bool) -> bytes:
    held = b""
    while stream is not None and (piece := await stream.read(4096)):
        held += piece
        if shown:
            sys.stderr.write(piece.decode(errors="replace"))
            sys.stderr.flush()
    return held


def _interactive(asked: Mapping[str, Any]) -> bool:
    terminal = sys.stdin is not None and sys.stdin.isatty()
    mode = asked.get("interactiveMode", "IfAvailable")
    if mode == "Always" and not terminal:
        raise AccessError(f"exec: {asked['command']} asks something, and there is no terminal")
    return terminal and mode != "Never"


def _issued(command: str, version: str, printed: bytes) -> Issued:
    try:
        answer = json.loads(printed)
        status = answer["status"]
        if answer["apiVersion"] != version:
            raise AccessError(f"exec: {command} answers {answer['apiVersion']}, not {version}")
        ends = status.get("expirationTimestamp")
        found = Issued(
            token=str(status.get("token") or ""),
            certificate=str(status.get("clientCertificateData") or ""),
            key=str(status.get("clientKeyData") or ""),
            expires_at=dt.datetime.fromisoformat(ends).timestamp() if ends else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AccessError(f"exec: {command} printed no ExecCredential") from error
    if not found.token and not (found.certificate and found.key):
        raise AccessError(f"exec: {command} gave neither a token nor a certificate with its key")
    return found


async def by_openid(config: Mapping[str, Any]) -> Issued:
    """The id token of a kubeconfig, refreshed if it has ended; nothing is written back."""
    token = str(config.get("id-token") or "")
    ends = _end_of(token)
    if token and (ends is None or ends - _SKEW_SECONDS > time.time()):
        return Issued(token=token, expires_at=ends)
    missing = [
        field for field in ("refresh-token", "client-id", "idp-issuer-url") if not config.get(field)
    ]
    if missing:
        raise AccessError(
            f"oidc: the id-token has ended, and there is no {missing[0]}; log in again"
        )
    fresh = await _refreshed(config)
    return Issued(token=fresh, expires_at=_end_of(fresh))


async def _refreshed(config: Mapping[str, Any]) -> str:
    issuer = str(config["idp-issuer-url"]).rstrip("/")
    secret = str(config.get("client-secret") or "")
    form = {"grant_type": "refresh_token", "refresh_token": str(config["refresh-token"])}
    headers = {}
    if secret:
        pair = f"{quote_plus(str(config['client-id']))}:{quote_plus(secret)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form["client_id"] = str(config["client-id"])  # a client that can keep no secret
    try:
        data = config.get("idp-certificate-authority-data")
        authority = base64.b64decode(str(data)).decode() if data else None
        tls = ssl.create_default_context(
            cafile=config.get("idp-certificate-authority"), cadata=authority
        )
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls),
            timeout=aiohttp.ClientTimeout(total=_MOST_SECONDS),
            raise_for_status=True,
            trust_env=True,
        ) as session:
            async with session.get(f"{issuer}/.well-known/openid-configuration") as answer:
                endpoint = (await answer.json(content_type=None))["token_endpoint"]
            async with session.post(endpoint, data=form, headers=headers) as answer:
                return str((await answer.json(content_type=None))["id_token"])
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError) as error:
        raise AccessError(f"oidc: {issuer} refreshes no token: {error}; log in again") from error


def _end_of(token: str) -> float | None:
    """When a token ends, by its own words; None if it does not say."""
    parts = token.split(".")
    if len(parts) != _JWT_PARTS:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None
