"""The server: puts the pages together, and serves them on one address until it is stopped."""

from __future__ import annotations

import errno
import logging
import socket
import sys
import webbrowser
from pathlib import Path
from typing import Final

from dash import Dash
from flask import Flask
from waitress.server import create_server

from diagnose.dashboard import exports, shell
from diagnose.dashboard.access import guard, is_loopback, new_token
from diagnose.dashboard.headers import send_headers
from diagnose.dashboard.store import Store
from diagnose.errors import DiagnoseError

THREADS: Final = 8  # a look at all runs holds one for up to a second; the others serve the pages meanwhile
BODY_BYTES: Final = 1 << 20  # the pages send a few kilobytes
ASSETS: Final = Path(__file__).parent / "assets"


def make_app(root: str | Path, token: str | None = None, *, host: str = "127.0.0.1") -> Dash:
    """The dashboard of all runs below `root` as a Dash app; `host` is the address it will be served on.

    With a `token`, nothing is answered without it. Raises `NoRunError` where `root` is no folder.
    """
    store = Store(root)
    server = Flask("diagnose.dashboard", static_folder=None)
    server.config["MAX_CONTENT_LENGTH"] = BODY_BYTES
    guard(server, host, token)  # before Dash adds its routes, so that it also runs before Dash's own handlers
    exports.connect(server, store)
    app = Dash(
        "diagnose.dashboard",
        server=server,  # type: ignore[arg-type]  # Dash takes a Flask app; its annotation forgets it
        assets_folder=str(ASSETS),
        assets_ignore="first_paint",  # loaded by the page's head instead
        serve_locally=True,
        suppress_callback_exceptions=True,  # a page's parts exist only while it is open
        index_string=shell.INDEX,
        title="diagnose",
        update_title="",
    )
    shell.build(app, store)
    send_headers(server, app.csp_hashes())
    return app


def serve(root: str | Path, host: str = "127.0.0.1", port: int = 8050, *, open_browser: bool = False) -> None:
    """Serve the runs below `root` until Ctrl-C; port 0 picks a free one. The address is printed.

    Any host but this machine's own needs a token, which is made here and is part of the printed
    address. Raises `DiagnoseError` where the folder or the address cannot be used.
    """
    token = None if is_loopback(host) else new_token()
    app = make_app(root, token, host=host)
    with _listening(host, port) as listener:
        address = _address(host, listener.getsockname()[1], token)
        sys.stdout.write(f"diagnose watches {Path(root).resolve()}\n  {address}\nStop with Ctrl-C.\n")
        sys.stdout.flush()
        if open_browser:
            webbrowser.open(address)
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a short wait for a thread is no news
        # Ctrl-C ends run(), which waits for the requests under way.
        create_server(app.server, sockets=[listener], threads=THREADS, ident="diagnose").run()
    sys.stdout.write("\nThe dashboard has stopped.\n")


def _listening(host: str, port: int) -> socket.socket:
    """A socket bound to the address, or one sentence that says why not."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family)
    except (socket.gaierror, OverflowError) as error:
        raise DiagnoseError(f"Cannot listen on {host}:{port}: no such address ({error}).") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise DiagnoseError(
                f"Port {port} on {host} is taken, perhaps by another dashboard: "
                "choose another with --port, or --port 0 for any free one."
            ) from error
        raise DiagnoseError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error


def _address(host: str, port: int, token: str | None) -> str:
    """The address to open; a server on all networks is reached by the machine's name."""
    name = socket.gethostname() if host in {"0.0.0.0", "::", ""} else host  # noqa: S104  compared, not bound
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
