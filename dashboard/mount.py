"""Where the pages are found: at the server's own root, or behind a proxy, at an address of the proxy's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from diagnose.errors import DiagnoseError

_PREFIX: Final = re.compile(r"/((?!\.+/)[\w.~-]+/)*", re.ASCII)
_USUAL_PORTS: Final = {"http": ":80", "https": ":443"}


@dataclass(frozen=True)
class Mount:
    """The path below which all pages lie, from slash to slash, and the proxy's host, "" where it was not told.

    `proxied` tells whether others may come through a proxy.
    """

    prefix: str = "/"
    site: str = ""
    secure: bool = False
    proxied: bool = True


DIRECT: Final = Mount(proxied=False)


def mounted(told: str) -> Mount:
    """The mount for a path (`/diagnose/`) or for the whole address that people open (`https://lab.example/diagnose/`).

    Raises `DiagnoseError` where it is neither.
    """
    try:
        address = urlsplit(told)
        site = (address.hostname or "") and address.netloc.lower().removesuffix(_USUAL_PORTS.get(address.scheme, ""))
    except ValueError:
        address, site = urlsplit(""), ""
    prefix = "/" + "".join(f"{part}/" for part in address.path.split("/") if part)
    whole = address.scheme in _USUAL_PORTS and site and "@" not in site
    path_alone = not address.scheme and not address.netloc and told.startswith("/")
    if not (whole or path_alone) or address.query or address.fragment or not _PREFIX.fullmatch(prefix):
        raise DiagnoseError(
            f"{told!r} is no place to serve at: a path such as /diagnose/ is expected, "
            "or the whole address that people open, such as https://lab.example/diagnose/."
        )
    return Mount(prefix, site, address.scheme == "https")
