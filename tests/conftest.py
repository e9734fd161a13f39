"""What all tests share: the demo's four real runs, trained once, a real browser, and a real S3 server."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
import s3fs
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from playwright.sync_api import sync_playwright

import diagnose

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE_S = 10.0


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads what another has kept, nor writes to the user's cache."""
    monkeypatch.setenv("DIAGNOSE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def demo_runs(tmp_path_factory) -> dict[str, Path]:
    """The demo's runs by name: healthy, diverging, overfitting, vanishing."""
    root = tmp_path_factory.mktemp("demo")
    return {path.name: path for path in diagnose.train_demo_runs(root, lambda name, share: None)}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium; without one the test is skipped loudly, and fails under CI."""
    found = CHROMIUM if Path(CHROMIUM).exists() else shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        reason = f"no Chromium at {CHROMIUM} nor on PATH: the pages were NOT tested in a browser"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=found, args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


class Visit:
    """One page of the browser, with all that it asked for and complained about."""

    def __init__(self, context: Any) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE_S * 1000)
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)

    def until(self, expression: str) -> None:
        """Wait for a JavaScript expression to hold (playwright's own way needs eval, which our pages forbid)."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"never came true: {expression}"
            self.page.wait_for_timeout(50)


@pytest.fixture(scope="session")
def open_visit(browser: Any) -> Iterator[Callable[..., Visit]]:
    """Opens a page; profiles are shared by width and scheme, so that scripts are loaded once.

    A `stranger` brings a profile of its own, without cookies or settings.
    """
    contexts: list[Any] = []
    shared: dict[tuple[int, str], Any] = {}

    def opened(width: int = 1280, scheme: str = "light", *, stranger: bool = False) -> Visit:
        context = None if stranger else shared.get((width, scheme))
        if context is None:
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            contexts.append(context)
        if not stranger:
            shared[width, scheme] = context
        return Visit(context)

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def visit(open_visit: Callable[..., Visit]) -> Iterator[Callable[..., Visit]]:
    """`open_visit`, with every page closed after the test."""
    pages: list[Visit] = []

    def visiting(width: int = 1280, scheme: str = "light", *, stranger: bool = False) -> Visit:
        pages.append(open_visit(width, scheme, stranger=stranger))
        return pages[-1]

    yield visiting
    for one in pages:
        one.page.close()


class Line:
    """The way to the S3 server: counts what is asked and given, and can be slow, break or be down."""

    def __init__(self, host: str, port: int) -> None:
        self.asked: list[tuple[str, str]] = []  # method and path
        self.given: list[tuple[str, int]] = []  # path, bytes of an object's content
        self.cut_after = -1  # bytes of an object that are given before the connection breaks
        self.cuts = 0  # how often it does
        self.down = False
        self.pause_s = 0.0  # before each kilobyte
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(host, port))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def reads(self) -> list[str]:
        """Paths of the objects whose content was asked for, listings apart."""
        return [path for method, path in self.asked if method == "GET" and "list-type" not in path]

    def listings(self) -> list[str]:
        return [path for method, path in self.asked if method == "GET" and "list-type" in path]

    def forget(self) -> None:
        self.asked.clear()
        self.given.clear()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(line, host: str, port: int) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                line.asked.append((self.command, self.path))
                if line.down:
                    self.close_connection = True
                    return
                server = HTTPConnection(host, port)
                server.request(self.command, self.path, body, dict(self.headers))
                answer = server.getresponse()
                content = answer.read()
                server.close()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {"content-length", "transfer-encoding", "connection", "server", "date"}:
                        self.send_header(name, value)
                told = answer.getheader("Content-Length") if self.command == "HEAD" else None
                self.send_header("Content-Length", told or str(len(content)))
                self.end_headers()
                self.give(content, is_object=self.command == "GET" and "list-type" not in self.path)

            def give(self, content: bytes, *, is_object: bool) -> None:
                if is_object and line.cuts and len(content) > line.cut_after:
                    line.cuts -= 1
                    self.wfile.write(content[: line.cut_after])
                    self.close_connection = True
                    return
                if is_object:
                    line.given.append((self.path, len(content)))
                for at in range(0, len(content), 1000 if line.pause_s else len(content) or 1):
                    time.sleep(line.pause_s)
                    self.wfile.write(content[at : at + 1000] if line.pause_s else content)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@dataclass
class Bucket:
    """A bucket of a real S3 server, by its URL, with a client that goes past the line."""

    url: str
    name: str
    client: Any
    line: Line

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def keys(self) -> list[str]:
        return [told["Key"] for told in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])]

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()


@pytest.fixture(scope="session")
def s3_address() -> Iterator[tuple[str, int]]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture(scope="session")
def s3_client(s3_address) -> Any:
    address = "http://{}:{}".format(*s3_address)
    keys = {"aws_access_key_id": "AKIAFAKEFAKEFAKEFAKE", "aws_secret_access_key": "secret-of-the-test"}
    return boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)


@pytest.fixture
def bucket(s3_address, s3_client, monkeypatch) -> Iterator[Bucket]:
    """A fresh bucket, reached by `s3://` through a line that counts."""
    line = Line(*s3_address)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAFAKEFAKEFAKEFAKE",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": line.url,
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"runs-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=name)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)  # its own pauses take seconds; ours are what is tried
    s3fs.S3FileSystem.clear_instance_cache()  # the endpoint of the test before
    yield Bucket(f"s3://{name}", name, s3_client, line)
    s3fs.S3FileSystem.clear_instance_cache()
    line.close()
