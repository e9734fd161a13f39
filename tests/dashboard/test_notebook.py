"""The dashboard inside a notebook: a page of another server that holds what a cell shows."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from diagnose.dashboard import notebook
from diagnose.errors import NoRunError
from tests.dashboard.proxy import Proxy, running


@contextmanager
def _page(html: str) -> Iterator[str]:
    """A page on localhost, as a notebook's: another site than the frame's 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<!doctype html><link rel="icon" href="data:,">{html}'.encode())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def shown(samples):
    dashboard = notebook.show(samples)
    yield dashboard
    dashboard.stop()


@pytest.mark.slow  # opens pages
def test_a_cell_shows_the_runs_in_a_frame(visit, shown):
    one = visit(stranger=True)
    with _page(shown._repr_html_()) as address:
        one.page.goto(address)
        frame = one.page.frame_locator("iframe[title=diagnose]")
        frame.get_by_role("link", name="ill", exact=True).click()
        frame.locator("h1", has_text="ill").wait_for()
    assert one.complaints == []


@pytest.mark.slow  # opens pages
def test_any_other_site_and_the_usual_dashboard_show_nothing_in_a_frame(visit, shown, address):
    one = visit(stranger=True)
    with _page(f"{shown._repr_html_()}<iframe src='{address}'></iframe>") as page:
        one.page.goto(page.replace("localhost", "evil.localhost"))  # reaches this machine, is another site
        one.until("document.querySelectorAll('iframe').length === 2")
        one.page.goto(page)
        one.page.frame_locator("iframe[title=diagnose]").get_by_role("link", name="ill", exact=True).wait_for()
    blocked = [re.findall(r"http://127.0.0.1:\d+/", told)[0] for told in one.complaints if "frame-ancestors" in told]
    assert sorted(blocked) == sorted([shown.address, f"{address}/", f"{address}/"])


def test_a_cell_that_is_executed_again_shows_the_same_server(samples, shown, tmp_path):
    again = notebook.show(samples, height=300)
    assert again.address == shown.address
    assert 'height="300"' in again._repr_html_()
    other = notebook.show(tmp_path)
    assert other.address != shown.address
    other.stop()


@pytest.mark.slow  # opens pages
def test_a_stopped_dashboard_answers_no_more_and_a_new_one_can_be_shown(samples, visit):
    threads = threading.active_count()
    first = notebook.show(samples)
    visit().page.goto(first.address)  # a browser that keeps its connections
    first.stop()
    first.stop()
    with pytest.raises(URLError):
        urlopen(first.address, timeout=5)
    assert threading.active_count() <= threads
    second = notebook.show(samples)
    with urlopen(second.address) as answer:
        assert answer.status == 200
    second.stop()


@pytest.mark.slow
@pytest.mark.slow  # opens pages
def test_through_jupyters_proxy_the_frame_is_of_jupyters_own_site_and_brings_its_token(samples, visit, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    shown = notebook.show(samples)
    port = re.search(r"^/user/ada/proxy/(\d+)/\?token=", shown.address)
    assert port is not None
    one = visit(stranger=True)
    with running(Proxy(f"127.0.0.1:{port[1]}", f"/user/ada/proxy/{port[1]}/")) as proxy:
        cell = shown._repr_html_()
        one.page.route(f"{proxy.address}/lab", lambda route: route.fulfill(body=cell, content_type="text/html"))
        one.page.goto(f"{proxy.address}/lab")
        one.page.frame_locator("iframe[title=diagnose]").get_by_role("link", name="ill", exact=True).wait_for()
    shown.stop()


def test_a_folder_that_is_none_is_told_at_once(tmp_path):
    with pytest.raises(NoRunError):
        notebook.show(tmp_path / "nowhere")
