"""Who is answered: whoever has the token, from the page itself. A page of another site gets 403, whatever it sends.

Host: a name that another site has made point to this address is refused (DNS rebinding). Token: in every path, 256
bits, compared in constant time. Origin and Sec-Fetch-Site: what a browser says of the page that asks; a write must come
from ours, as JSON, which no form can send.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY = 1 << 20
"""Bytes of one write."""
HEADERS = (
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """An ASGI application before another: refuses with 403 and a sentence, adds headers to what is answered."""

    def __init__(
        self, app: App, token: str, hosts: frozenset[str], any_address: bool = False
    ) -> None:
        self._app, self._token = app, token.encode()
        self._hosts = hosts
        """HOST:PORT as a browser says it."""
        self._any_address = any_address
        """Whether any number is taken for a host, as when all addresses are listened on; a name never is."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        if why := self.refusal(scope):
            head = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
            await send({"type": "http.response.start", "status": 403, "headers": head})
            await send({"type": "http.response.body", "body": why.encode() + b"\n"})
            return

        async def answer(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self._app(scope, receive, answer)

    def refusal(self, scope: Scope) -> str:
        """Why a request is not answered; empty if it is."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if host not in self._hosts and not (self._any_address and _is_number(host)):
            return "another host's name"
        asked = scope["path"].split("/")[1].encode(errors="replace")
        if not hmac.compare_digest(asked, self._token):
            return "no token: open the address that kdumpfs web printed"
        site = headers.get(b"sec-fetch-site", "none")
        if site not in ("none", "same-origin"):
            return "asked by a page of another site"
        origin = headers.get(b"origin")
        if origin is not None and origin != f"http://{host}":
            return "asked by a page of another origin"
        if scope["method"] in ("GET", "HEAD"):
            return ""
        if origin is None:
            return "a write without an Origin"
        if headers.get(b"content-type", "").partition(";")[0].strip() != "application/json":
            return "a write that is not application/json"
        if not headers.get(b"content-length", "x").isdecimal():
            return "a write without a length"
        if int(headers[b"content-length"]) > MOST_BODY:
            return f"a write of more than {MOST_BODY} bytes"
        return ""


def _is_number(host: str) -> bool:
    """Whether HOST:PORT is an address, which nobody else's name server can make point here."""
    name = host.rpartition(":")[0].strip("[]")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
