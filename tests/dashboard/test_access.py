"""Who may ask: addresses, foreign pages, tokens."""

import re

import pytest
from flask.testing import FlaskClient

from diagnose.dashboard.server import make_app

TOKEN = "a-token-that-nobody-guesses"
ROUTES = ["/", "/run?name=ill", "/assets/look.css", "/_dash-layout", "/_dash-dependencies", "/_favicon.ico", "/nowhere"]
ROUTES += ["/report?name=ill&format=json", "/compare?run=ill", "/what-if", "/assets/connection.js"]


@pytest.fixture(scope="module")
def open_client(samples) -> FlaskClient:
    return make_app(samples).server.test_client()


@pytest.fixture
def locked_client(samples) -> FlaskClient:
    return make_app(samples, TOKEN).server.test_client()


@pytest.mark.parametrize("host", ["127.0.0.1:8050", "localhost:9000", "[::1]:8050", "LOCALHOST"])
def test_this_machine_is_served_under_each_of_its_own_names(open_client, host):
    assert open_client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8050", "127.0.0.1.evil.example", "192.168.0.9", "[", ""]
)
def test_a_foreign_host_header_is_refused(open_client, host):
    assert open_client.get("/", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:9999", "http://localhost.evil.example", "http://["]
)
def test_a_request_from_another_site_is_refused(open_client, origin):
    assert open_client.post("/_dash-update-component", headers={"Origin": origin}, json={}).status_code == 403


def test_a_request_from_our_own_page_is_taken(open_client):
    assert open_client.get("/_dash-layout", headers={"Origin": "http://localhost"}).status_code == 200


@pytest.mark.parametrize("route", ROUTES)
def test_nothing_is_answered_without_the_token(locked_client, route):
    assert locked_client.get(route).status_code == 403


def test_callbacks_are_not_answered_without_the_token(locked_client):
    assert locked_client.post("/_dash-update-component", json={}).status_code == 403


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "\N{SNOWMAN}"])
def test_a_wrong_token_is_refused(locked_client, token):
    assert locked_client.get("/", query_string={"token": token}).status_code == 403


def test_the_token_is_taken_once_and_then_kept_in_a_cookie_that_scripts_and_other_sites_cannot_use(locked_client):
    welcome = locked_client.get("/run", query_string={"name": "ill", "token": TOKEN})
    cookie = welcome.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "url=/run?name=ill" in welcome.text  # the address moves on without the token
    assert TOKEN not in welcome.text
    assert all(locked_client.get(route).status_code != 403 for route in ROUTES)


def test_the_welcome_page_never_leads_to_another_site(locked_client):
    for path in ("//evil.example/", "/\\evil.example", "/%5cevil.example", "/http://evil.example", "///evil.example"):
        answer = locked_client.get(query_string={"token": TOKEN}, environ_overrides={"PATH_INFO": path})
        assert answer.status_code == 200
        target = re.search(r"url=([^\"]*)", answer.text)
        assert target is not None and re.match(r"/(?![/\\])", target[1])


def test_every_answer_carries_the_security_headers(open_client):
    for route in ROUTES:
        headers = open_client.get(route).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "'unsafe-eval'" not in policy
        assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../server.py",
        "/assets/..%2fserver.py",
        "/assets/%2e%2e/server.py",
        "/assets//etc/passwd",
        "/_dash-component-suites/dash/../../../../etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_assets(open_client, path):
    answer = open_client.get(path)
    assert answer.status_code in {200, 404}  # the page itself, or nothing: not an error on the way there
    assert "root:" not in answer.text
    assert "make_app" not in answer.text
