"""Who may ask: the address a request came to, the page it came from, and the token it carries.

Three checks before every route, callbacks and assets included. The Host header must name this server,
or a foreign name that resolves here (DNS rebinding) could read the pages. The Origin header, where a
browser sends one, must be our own. And where there is a token, it must be known: given once as
`?token=`, then kept in a cookie that scripts cannot read and other sites cannot send. Where there is
none, only this machine may ask: what a proxy that nobody told of passes on is refused, if the proxy says
that it is one.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
from urllib.parse import quote, urlencode, urlsplit

from flask import Flask, Response, request
from markupsafe import escape

from diagnose.dashboard.mount import Mount

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
TOKEN_BYTES = 32
PROXIED = re.compile(r"forwarded|x-forwarded-.*|x-real-ip|via", re.IGNORECASE)  # headers that proxies add


def is_loopback(host: str) -> bool:
    """Whether `host` can be reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def guard(server: Flask, host: str, token: str | None, mount: Mount) -> None:
    """Refuse whatever does not pass the three checks; must be registered before any other handler."""

    @server.before_request
    def check() -> Response | None:
        asked = request.headers.get("Host", "")
        if not _is_ours(_hostname(asked), host, token, mount):
            return _refusal("This address is not one this dashboard answers to. Open it at the address it printed.")
        origin = request.headers.get("Origin")
        if origin is not None and _site(origin) not in {asked, mount.site or asked}:
            return _refusal("Requests from other sites are refused.")
        if token is not None:
            return _check_token(token, mount)
        if not mount.proxied and any(PROXIED.fullmatch(name) for name, _ in request.headers):
            return _refusal(
                "This came through a proxy, which others may reach: tell of it by --prefix to have a token."
            )
        return None


def _check_token(token: str, mount: Mount) -> Response | None:
    # Cookies do not tell ports apart: the name keeps two dashboards on one machine from fighting over one cookie.
    cookie = f"diagnose-{hashlib.sha256(token.encode()).hexdigest()[:12]}"
    given = request.args.get("token")
    if given is not None and _same(given, token):
        return _welcome(cookie, token, mount)
    if _same(request.cookies.get(cookie, ""), token):
        return None
    return _refusal("A token is needed. Open the address that was printed when the dashboard started.")


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())


def _welcome(cookie: str, token: str, mount: Mount) -> Response:
    """A page that sets the cookie and moves on to the address without the token.

    A redirect would lose the cookie when the link was clicked on another site: SameSite=Strict looks at
    where the navigation began. Moving on from our own page begins here.
    """
    rest = urlencode([(key, value) for key, value in request.args.items(multi=True) if key != "token"])
    target = escape(mount.prefix + quote(request.path.lstrip("/")) + (f"?{rest}" if rest else ""))
    # An icon of its own keeps the browser from asking the site's root for one.
    head = '<!doctype html><link rel="icon" href="data:,"><title>diagnose</title>'
    page = f'{head}<meta http-equiv="refresh" content="0; url={target}">'
    response = Response(page, mimetype="text/html")
    response.set_cookie(cookie, token, httponly=True, samesite="Strict", path=mount.prefix, secure=mount.secure)
    response.headers["Cache-Control"] = "no-store"
    return response


def _refusal(reason: str) -> Response:
    return Response(reason + "\n", status=403, mimetype="text/plain")


def _hostname(host_header: str) -> str:
    try:
        return (urlsplit(f"//{host_header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _site(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _is_ours(name: str, bound: str, token: str | None, mount: Mount) -> bool:
    """Whether a Host header's name is one of this server's own.

    A server bound to this machine alone has three names. One that others may reach has as many as its
    networks give it: any bare IP address (rebinding needs a name), and the machine's own names. A proxy
    whose name was not told may pass on any: there the token alone decides, as no cookie follows a rebound name.
    """
    if name in LOOPBACK_NAMES or name in {bound.lower(), _hostname(mount.site) or bound.lower()}:
        return True
    if mount.proxied and not mount.site and token is not None:
        return True
    if is_loopback(bound):
        return False
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return name in {socket.gethostname().lower(), socket.getfqdn().lower()}
