"""The dashboard inside a Jupyter notebook: a server in the kernel's own process, shown in a frame below the cell."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Final

from diagnose.dashboard.access import new_token
from diagnose.dashboard.mount import DIRECT, mounted
from diagnose.dashboard.server import in_thread, make_app

HEIGHT_PX: Final = 720
# Only a notebook that this machine serves may show the pages; behind Jupyter's proxy, only the proxy's own site.
LOCAL_NOTEBOOKS: Final = "http://localhost:* http://127.0.0.1:*"
OWN_SITE: Final = "'self'"


@dataclass(frozen=True)
class Shown:
    """A dashboard that runs in this process. A notebook shows it where it is a cell's last value."""

    address: str
    height: int
    stop: Callable[[], None]

    def _repr_html_(self) -> str:
        source = escape(self.address)
        frame = (
            f'<iframe src="{source}" width="100%" height="{self.height}" title="diagnose" style="border: 0"></iframe>'
        )
        return f'{frame}<p><a href="{source}" target="_blank" rel="noreferrer">Open in a tab of its own</a></p>'


_running: Final[dict[tuple[Path, str | None], Shown]] = {}


def show(root: str | Path, *, height: int = HEIGHT_PX, jupyter: str | None = None) -> Shown:
    """The dashboard of all runs below `root`, served until `stop()` or until the kernel ends.

    A cell that is executed again shows the server that already runs. The browser asks this machine directly, or,
    with the path at which it sees Jupyter (`jupyter="/"`), through jupyter-server-proxy; on a hub, that path is
    known. Raises `NoRunError` where `root` is no folder.
    """
    path = os.environ.get("JUPYTERHUB_SERVICE_PREFIX") if jupyter is None else jupyter
    place = (Path(root).resolve(), path)
    if place not in _running:
        _running[place] = _started(*place)
    return replace(_running[place], height=height)


def _started(root: Path, jupyter: str | None) -> Shown:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    if jupyter is None:
        mount, token, framed_by, address = DIRECT, None, LOCAL_NOTEBOOKS, f"http://127.0.0.1:{port}/"
    else:
        mount, token, framed_by = mounted(f"{jupyter.rstrip('/')}/proxy/{port}/"), new_token(), OWN_SITE
        address = f"{mount.prefix}?token={token}"
    end = in_thread(make_app(root, token, mount=mount, framed_by=framed_by), listener, mount)

    def stop() -> None:
        if _running.pop((root, jupyter), None) is not None:  # else it has been stopped before
            end()

    return Shown(address, height=HEIGHT_PX, stop=stop)
