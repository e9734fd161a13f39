"""A real S3 server, and a line to it that counts, is slow, or breaks."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
import s3fs
from moto.moto_server.threaded_moto_server import ThreadedMotoServer


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
