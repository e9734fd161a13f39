"""The server: one address, printed, and a clean end."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest

from diagnose.cli import main
from diagnose.dashboard.server import serve
from diagnose.errors import DiagnoseError


def _started(call, stderr):
    """A server in a process of its own, and the two lines in which it tells its address."""
    command = [sys.executable, "-c", f"from diagnose.dashboard.server import serve; {call}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline() + process.stdout.readline()


def test_it_prints_the_address_it_got_and_ends_cleanly_on_ctrl_c(samples):
    process, told = _started(f"serve({str(samples)!r}, port=0)", stderr=subprocess.PIPE)
    address = re.search(r"http://127\.0\.0\.1:\d+/", told)
    assert address is not None
    with urllib.request.urlopen(address[0]) as answer:
        assert answer.status == 200
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "has stopped" in rest
    assert errors == ""  # no traceback, no warning about a development server


def test_the_token_is_printed_once_and_stands_in_no_log_and_no_referrer(samples):
    process, told = _started(f"serve({str(samples)!r}, port=0, prefix='/lab/')", stderr=subprocess.STDOUT)
    address, token = re.search(r"(http://127\.0\.0\.1:\d+/lab/)\?token=(\S+)", told).groups()
    with urllib.request.urlopen(f"{address}?token={token}") as answer:
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    # A request that fails inside is logged, with its path.
    broken = urllib.request.Request(f"{address}_dash-update-component?x={token}", b"{}", {"Cookie": cookie})
    broken.add_header("Content-Type", "application/json")
    with pytest.raises(HTTPError, match="500"):
        urllib.request.urlopen(broken)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=20)
    assert "_dash-update-component" in rest
    assert token not in rest


def test_a_body_far_larger_than_any_page_sends_is_refused_before_it_is_taken_in(samples, start):
    address = urlsplit(start(samples, token="a-token-that-nobody-guesses"))
    with socket.create_connection((address.hostname, address.port), timeout=20) as caller:
        caller.sendall(b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000\r\n\r\n")
        caller.sendall(b"\0" * 10_000)
        assert b" 413 " in caller.recv(200)


def test_the_dashboard_needs_no_torch():
    code = "import sys, diagnose.dashboard.server; print('torch' in sys.modules, 'diagnose.hooks' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]


def test_a_taken_port_is_told_in_one_sentence(samples):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DiagnoseError, match=rf"Port {port} on 127\.0\.0\.1 is taken.*--port 0"):
            serve(samples, port=port)


def test_an_address_that_is_not_this_machines_is_told_in_one_sentence(samples):
    with pytest.raises(DiagnoseError, match=r"Cannot listen on 203\.0\.113\.1:"):
        serve(samples, host="203.0.113.1", port=0)


def test_a_prefix_that_is_none_is_told_in_one_sentence(samples, capsys):
    assert main(["dashboard", str(samples), "--prefix", "diagnose"]) == 2
    assert "'diagnose' is no place to serve at: a path such as /diagnose/ is expected" in capsys.readouterr().err


@pytest.fixture
def unserved(monkeypatch):
    class Unserved:
        def run(self):
            return None

    monkeypatch.setattr("diagnose.dashboard.server.create_server", lambda *args, **options: Unserved())


def test_any_other_host_gets_a_token_that_is_printed_with_the_address(samples, unserved, capsys):
    serve(samples, host="0.0.0.0", port=0)
    first = re.search(r"\?token=([\w-]{40,})", capsys.readouterr().out)
    serve(samples, host="0.0.0.0", port=0)
    second = re.search(r"\?token=([\w-]{40,})", capsys.readouterr().out)
    assert first is not None
    assert second is not None
    assert first[1] != second[1]


@pytest.mark.parametrize("prefix", ["/", "/lab/", "https://lab.example/"])
def test_whoever_tells_of_a_proxy_gets_a_token_at_whatever_path_it_is(samples, unserved, capsys, prefix):
    assert main(["dashboard", str(samples), "--port", "0", "--prefix", prefix]) == 0
    assert re.search(r"\?token=[\w-]{40,}", capsys.readouterr().out)
    assert main(["dashboard", str(samples), "--port", "0"]) == 0
    assert "token" not in capsys.readouterr().out
