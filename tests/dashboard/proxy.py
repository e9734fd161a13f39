"""A small reverse proxy: what it gets below its prefix it passes on to the dashboard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FOR_ONE_HOP = {"connection", "keep-alive", "transfer-encoding", "host"}


@dataclass
class Proxy:
    """`strips` takes the prefix off, as Jupyter's does; `keeps_host` passes on the name that the browser asked for."""

    upstream: str
    prefix: str
    strips: bool = True
    keeps_host: bool = True
    seen: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)  # asked for outside the prefix: some address was not under it
    address: str = ""


@contextmanager
def running(proxy: Proxy) -> Iterator[Proxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy.address = f"http://127.0.0.1:{server.server_address[1]}"
    yield proxy
    server.shutdown()
    server.server_close()


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            proxy.seen.append(self.path)
            if not (self.path + "/").replace("?", "/").startswith(proxy.prefix):
                proxy.strays.append(self.path)
                self.send_error(404)
                return
            path = "/" + self.path.removeprefix(proxy.prefix) if proxy.strips else self.path
            headers = {name: value for name, value in self.headers.items() if name.lower() not in FOR_ONE_HOP}
            headers["Host"] = self.headers["Host"] if proxy.keeps_host else proxy.upstream
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            onward = HTTPConnection(proxy.upstream, timeout=20)
            try:
                onward.request(self.command, path, body, headers)
                answer = onward.getresponse()
                with suppress(ConnectionError):  # the browser has gone on
                    self._give(answer.status, answer.getheaders(), answer.read())
            except OSError:
                self.send_error(502)
            finally:
                onward.close()

        do_POST = do_GET  # noqa: N815  the server's own name

        def _give(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in {*FOR_ONE_HOP, "content-length"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    return Handler
