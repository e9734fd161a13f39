"""The server: puts the pages together, and serves them on one address until it is stopped."""

from __future__ import annotations

import errno
import logging
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from dash import Dash
from dash.exceptions import DependencyException
from flask import Flask, Response, redirect, request
from waitress import wasyncore
from waitress.server import BaseWSGIServer, create_server

from diagnose.dashboard import exports, shell
from diagnose.dashboard.access import guard, is_loopback, new_token
from diagnose.dashboard.headers import NOBODY, send_headers
from diagnose.dashboard.mount import DIRECT, Mount, mounted
from diagnose.dashboard.store import Store
from diagnose.errors import DiagnoseError
from diagnose.logs.printable import printable

THREADS: Final = 8  # a look at all runs holds one for up to a second; the others serve the pages meanwhile
BODY_BYTES: Final = 1 << 20  # the pages send a few kilobytes
ASSETS: Final = Path(__file__).parent / "assets"


def make_app(
    root: str | Path,
    token: str | None = None,
    *,
    host: str = "127.0.0.1",
    mount: Mount = DIRECT,
    framed_by: str = NOBODY,
) -> Dash:
    """The dashboard of all runs below `root` as a Dash app; `host` is the address it will be served on.

    With a `token`, nothing is answered without it. Its server must be told `mount.prefix` as WSGI's
    SCRIPT_NAME, as all servers here do. `framed_by` are the sites that may show its pages inside theirs.
    Raises `NoRunError` where `root` is no folder.
    """
    store = Store(root)
    server = Flask("diagnose.dashboard", static_folder=None)
    server.config["MAX_CONTENT_LENGTH"] = BODY_BYTES
    guard(server, host, token, mount)  # before Dash adds its routes, so that it also runs before Dash's own handlers
    server.before_request(_into_the_folder)
    server.register_error_handler(DependencyException, _no_such_file)
    exports.connect(server, store)
    app = Dash(
        "diagnose.dashboard",
        server=server,  # type: ignore[arg-type]  # Dash takes a Flask app; its annotation forgets it
        assets_folder=str(ASSETS),
        assets_ignore="first_paint",  # loaded by the page's head instead
        serve_locally=True,
        suppress_callback_exceptions=True,  # a page's parts exist only while it is open
        routes_pathname_prefix="/",
        requests_pathname_prefix=mount.prefix,
        title="diagnose",
        update_title="",
    )
    shell.build(app, store)
    send_headers(server, app.csp_hashes(), framed_by)
    return app


def _into_the_folder() -> Response | None:
    """`/diagnose` leads on to `/diagnose/`: the pages' links are relative."""
    if request.environ["PATH_INFO"] or not request.script_root:
        return None
    query = request.query_string.decode("latin-1")
    return redirect(f"{request.script_root}/" + (f"?{query}" if query else ""), code=308)  # type: ignore[return-value]


def _no_such_file(_: Exception) -> Response:
    """What Dash's own route for scripts says of a path that is none of theirs."""
    return Response(status=404)


def in_thread(app: Dash, listener: socket.socket, mount: Mount = DIRECT) -> Callable[[], None]:
    """Serve the app in a thread of its own; gives the function that ends it."""
    channels: dict[int, Any] = {}
    server = _serving(app, listener, mount, channels)
    thread = threading.Thread(target=server.run, name="diagnose dashboard", daemon=True)
    thread.start()

    def stop() -> None:
        # Connections are closed by the thread that uses them; the stubs take the trigger for a number.
        server.trigger.pull_trigger(lambda: wasyncore.close_all(channels))  # type: ignore[attr-defined]
        thread.join()
        server.task_dispatcher.shutdown()

    return stop


def _serving(app: Dash, listener: socket.socket, mount: Mount, channels: dict[int, Any]) -> BaseWSGIServer:
    """A server that listens there, to be run; `channels` is filled with its open connections."""
    # Proxies differ in whether they pass their prefix on; waitress takes it off where it stands.
    prefix = mount.prefix.rstrip("/")
    server = create_server(
        app.server,
        channels,
        sockets=[listener],
        threads=THREADS,
        ident="diagnose",
        url_prefix=prefix,
        clear_untrusted_proxy_headers=False,  # they are believed by nobody here, but tell that there is a proxy
        max_request_body_size=BODY_BYTES,  # it takes in the whole body before anything asks who sends it
    )
    return cast("BaseWSGIServer", server)  # one, as there is one listener


def serve(root: str | Path, host: str = "127.0.0.1", port: int = 8050, *, prefix: str | None = None) -> None:
    """Serve the runs below `root` until Ctrl-C; port 0 picks a free one. The address is printed.

    `prefix` is the path, or the whole address, at which a proxy shows the pages. With one, be it "/", and on any host
    but this machine's own, a token is needed, which is made here and is part of the printed address. Raises
    `DiagnoseError` where the folder or the address cannot be used.
    """
    mount = DIRECT if prefix is None else mounted(prefix)
    token = None if is_loopback(host) and not mount.proxied else new_token()
    app = make_app(root, token, host=host, mount=mount)
    with _listening(host, port) as listener:
        address = _address(host, listener.getsockname()[1], token, mount)
        sys.stdout.write(f"diagnose watches {printable(str(Path(root).resolve()))}\n  {address}\nStop with Ctrl-C.\n")
        sys.stdout.flush()
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a short wait for a thread is no news
        _serving(app, listener, mount, {}).run()  # Ctrl-C ends it; it waits for the requests under way
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


def _address(host: str, port: int, token: str | None, mount: Mount) -> str:
    """The address to open; a server on all networks is reached by the machine's name."""
    name = socket.gethostname() if host in {"0.0.0.0", "::", ""} else host  # noqa: S104  compared, not bound
    shown = f"[{name}]" if ":" in name else name
    site = f"http{'s' if mount.secure else ''}://{mount.site}" if mount.site else f"http://{shown}:{port}"
    return f"{site}{mount.prefix}" + (f"?token={token}" if token else "")
