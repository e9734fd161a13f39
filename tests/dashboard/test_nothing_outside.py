"""Nothing outside the folder is served, in whatever spelling it is asked for, and nothing at all to strangers."""

from __future__ import annotations

import http.client
import json
import socket
from urllib.parse import quote, quote_plus

import pytest

from diagnose.dashboard.server import ASSETS, make_app

TOKEN = "a-token-that-nobody-guesses"
SECRET = "what-nobody-below-the-root-may-know"
UP = [
    "..",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "..;",
    "..\\",
    "..%5c",
    "%c0%ae%c0%ae",
    "．．",
    "....//",
    "..%00",
    "./..",
]
SLASH = ["/", "%2f", "%252f", "\\", "%5c", "//", "／"]
SPELLINGS = [f"{up}{slash}outside" for up in UP for slash in SLASH]


@pytest.fixture(scope="module")
def root(tmp_path_factory, write_run):
    """A folder of runs; beside it a run that is none of its own, and links that lead to that."""
    below = tmp_path_factory.mktemp("all") / "runs"
    outside = below.parent / "outside"
    write_run(below, "inside")
    event_file = write_run(below.parent, "outside", note=SECRET)
    (outside / "config.json").write_text(json.dumps({"note": SECRET}))
    (below / "linked").symlink_to(outside)
    (below / "link-within").mkdir()
    (below / "link-within" / event_file.name).symlink_to(event_file)
    (below / "inside" / "config.json").symlink_to(outside / "config.json")
    return below


@pytest.fixture(scope="module")
def ask(root, start):
    """ask(path, body, headers) -> status and text; the path goes out byte for byte as it is written."""
    place = start(root).removeprefix("http://")

    def asked(path, body=None, headers=None):
        line = http.client.HTTPConnection(place, timeout=20)
        line._encode_request = lambda request: request.encode()  # ASCII alone otherwise
        line.putrequest("GET" if body is None else "POST", path)
        sent = b"" if body is None else json.dumps(body).encode()
        for name, value in (
            {"Content-Type": "application/json", "Content-Length": str(len(sent))} | (headers or {})
        ).items():
            line.putheader(name, value)
        line.endheaders(sent)
        answer = line.getresponse()
        return answer.status, answer.read().decode(errors="replace")

    return asked


def page(ask, search, path="/run"):
    """What the page at an address holds."""
    inputs = [
        {"id": "address", "property": name, "value": value} for name, value in (("pathname", path), ("search", search))
    ]
    asked = {
        "output": "page.children",
        "outputs": {"id": "page", "property": "children"},
        "inputs": inputs,
        "state": [],
    }
    return ask("/_dash-update-component", asked | {"changedPropIds": ["address.pathname"]})


def test_a_run_inside_is_served_so_that_the_rest_means_something(ask):
    status, text = ask("/report?name=inside&format=json")
    assert status == 200 and json.loads(text)["healthy"]
    assert "run-verdict" in page(ask, "?name=inside")[1]


@pytest.mark.parametrize("route", ["/report?format=json&name=", "/comparison?format=json&run=inside&run="])
def test_a_name_reaches_no_run_outside_in_any_spelling(ask, root, route):
    names = [*SPELLINGS, str(root.parent / "outside"), f"file://{root.parent}/outside", "inside/../../outside"]
    names += [quote(name, safe="") for name in names] + ["linked", "linked/", "inside%00/../../outside"]
    for name in names:
        status, text = ask(route + quote_plus(name, safe="%./\\;"))
        assert status == 404 and SECRET not in text, name


@pytest.mark.parametrize("spelling", ["../outside", "..%2Foutside", "%252e%252e/outside", "linked", "/", "link-within"])
def test_a_page_shows_no_run_outside(ask, spelling):
    for path, name in (("/run", "name"), ("/compare", "run")):
        status, text = page(ask, f"?{name}={spelling}", path)
        assert status == 200 and SECRET not in text


def test_settings_beside_a_log_are_not_read_through_a_link_that_leads_out(ask):
    assert SECRET not in ask("/report?name=inside&format=json")[1]
    assert SECRET not in ask("/report?name=inside&format=html")[1]
    assert ask("/report?name=link-within&format=json")[0] == 404


@pytest.mark.parametrize("base", ["/assets/", "/_dash-component-suites/dash/"])
def test_no_spelling_of_a_path_reaches_a_file_that_is_no_asset(ask, base):
    for up in UP:
        for slash in SLASH:
            for target in ("outside/config.json", "etc/passwd"):
                status, text = ask(base + (up + slash) * 3 + target)
                assert SECRET not in text and "root:" not in text and "make_app" not in text
                assert status != 200 or "_dash-config" in text or "<title>diagnose</title>" in text  # our own page


# --- strangers ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked(root):
    return make_app(root, TOKEN).server


def routes(server):
    """All that the server answers to, each rule with every method, and every asset."""
    for rule in server.url_map.iter_rules():
        path = rule.rule
        for argument in rule.arguments:
            path = (
                path.replace(f"<path:{argument}>", "x")
                .replace(f"<string:{argument}>", "x")
                .replace(f"<{argument}>", "x")
            )
        yield from ((method, path) for method in sorted((rule.methods or set()) | {"GET", "HEAD", "OPTIONS", "POST"}))
    for asset in ASSETS.rglob("*"):
        if asset.is_file():
            yield "GET", f"/assets/{asset.relative_to(ASSETS).as_posix()}"


def test_no_route_no_method_and_no_asset_is_answered_without_the_token(locked):
    client, asked = locked.test_client(), list(routes(locked))
    assert len(asked) > 40
    for method, path in asked:
        answer = client.open(path, method=method)
        assert answer.status_code == 403, (method, path)
        assert TOKEN not in answer.text


def test_no_callback_is_answered_without_the_token_nor_with_the_cookie_of_another(locked, root):
    stranger = make_app(root, TOKEN + "-another").server.test_client()
    stranger.get("/", query_string={"token": TOKEN + "-another"})
    cookie = next(iter(stranger._cookies.values()))
    guest, owner = locked.test_client(), locked.test_client()
    guest.set_cookie(cookie.key, cookie.value)
    owner.get("/", query_string={"token": TOKEN})
    for callback in owner.get("/_dash-dependencies").json:
        body = {"output": callback["output"], "inputs": callback["inputs"], "state": callback["state"]}
        for client in (locked.test_client(), guest):
            assert client.post("/_dash-update-component", json=body).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "127.0.0.1@rebound.example"},
        {"Host": "rebound.example#127.0.0.1"},
        {"Host": "localhost.rebound.example"},
        {"Host": "2130706433.example"},
        {"Host": "rebound.example", "X-Forwarded-Host": "localhost", "Forwarded": "host=localhost"},
        {"Origin": "http://rebound.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://localhost@rebound.example"},
        {"Origin": "file://"},
    ],
    ids=str,
)
@pytest.mark.parametrize("token", [None, TOKEN])
def test_every_route_refuses_a_rebound_name_and_a_foreign_page_the_owner_s_browser_included(root, headers, token):
    server = make_app(root, token).server
    client = server.test_client()
    if token:
        client.get("/", query_string={"token": token})
    for method, path in routes(server):
        assert client.open(path, method=method, headers=headers).status_code == 403, (method, path)


def test_two_host_headers_and_an_absolute_address_do_not_slip_through(root, start):
    place = start(root).removeprefix("http://").split(":")
    for request in (
        b"GET http://rebound.example/report?name=inside&format=json HTTP/1.1\r\nHost: rebound.example\r\n\r\n",
        b"GET /report?name=inside&format=json HTTP/1.1\r\nHost: rebound.example\r\nHost: rebound.example\r\n\r\n",
        b"GET /report?name=inside&format=json HTTP/1.1\r\nHost: localhost\r\nHost: rebound.example\r\n\r\n",
        b"GET /report?name=inside&format=json HTTP/1.0\r\n\r\n",
    ):
        with socket.create_connection((place[0], int(place[1])), timeout=10) as line:
            line.sendall(request)
            answer = line.recv(65536)
        status = int(answer.split()[1])
        assert status in {400, 403}, answer[:300]
