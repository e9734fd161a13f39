"""The dashboard behind a proxy, below a path, in a real browser and through a real proxy."""

from __future__ import annotations

from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from diagnose.dashboard.mount import Mount, mounted
from diagnose.errors import DiagnoseError
from tests.dashboard.proxy import Proxy, running

PREFIX = "/lab/diagnose/"
TOKEN = "a-token-that-nobody-guesses"


def _upstream(address: str) -> str:
    return address.removeprefix("http://")


@pytest.mark.slow  # opens many pages
def test_every_page_works_below_the_proxys_path(visit, samples, start):
    with running(Proxy(_upstream(start(samples, TOKEN, PREFIX)), PREFIX)) as proxy:
        one = visit(stranger=True)
        page = one.page
        page.goto(f"{proxy.address}{PREFIX}?token={TOKEN}")
        page.locator('.ag-row a[href="run?name=nets/sound"]').click()
        page.locator("#plot-loss .main-svg").first.wait_for()
        assert page.title() == "nets/sound · diagnose"
        with page.expect_download() as loaded:
            page.get_by_role("link", name="JSON", exact=True).click()
        assert loaded.value.suggested_filename == "nets-sound.json"
        page.get_by_role("link", name="What if").click()
        page.locator("#what-if-answer .after").first.wait_for()
        assert page.url == f"{proxy.address}{PREFIX}what-if"
        page.get_by_role("link", name="Runs", exact=True).click()
        for name in ("ill", "nets/sound"):
            row = page.locator(".ag-row", has=page.locator(f'a[href="run?name={name}"]'))
            row.locator("input[type=checkbox]").check()
        page.locator("#runs-compare", has_text="Compare 2 runs").click()
        page.wait_for_url(f"{proxy.address}{PREFIX}compare?run=*")
        page.locator("#plot-compare .trace").nth(1).wait_for()
        page.locator(".compare-run a", has_text="ill").click()
        page.wait_for_url(f"{proxy.address}{PREFIX}run?name=ill")
        page.get_by_role("link", name="← All runs").click()
        page.locator(".ag-row").first.wait_for()
        page.goto(f"{proxy.address}{PREFIX}no/such/page")
        page.get_by_role("link", name="Back to all runs").click()
        page.locator(".ag-row").first.wait_for()
        assert proxy.strays == []  # nothing was asked for outside the path
        assert one.complaints == []
        assert [cookie["path"] for cookie in page.context.cookies()] == [PREFIX]


@pytest.mark.slow
def test_a_proxy_may_pass_its_path_on(visit, samples, start):
    with running(Proxy(_upstream(start(samples, prefix=PREFIX)), PREFIX, strips=False)) as proxy:
        page = visit(stranger=True).page
        page.goto(f"{proxy.address}{PREFIX}compare?run=ill&run=nets/sound")
        page.locator("#plot-compare .trace").nth(1).wait_for()
        page.get_by_role("link", name="← All runs").click()
        page.locator(".ag-row").first.wait_for()


def test_the_path_without_its_last_slash_leads_there(samples, start):
    address = start(samples, prefix=PREFIX)
    with urlopen(f"{address}{PREFIX.rstrip('/')}?x=1") as answer:
        assert answer.url == f"{address}{PREFIX}?x=1"


def test_a_proxy_that_was_named_may_ask_under_this_machines_name(samples, start):
    address = start(samples, TOKEN, "https://lab.example/diagnose/")

    def asked(**headers: str) -> int:
        request = Request(f"{address}/diagnose/_dash-layout?token={TOKEN}", headers=headers)
        try:
            with urlopen(request) as answer:
                return answer.status
        except HTTPError as refusal:
            return refusal.code

    assert asked(Origin="https://lab.example") == 200  # the Host header is this machine's, rewritten by the proxy
    assert asked(Host="lab.example", Origin="https://lab.example") == 200
    assert asked(Host="evil.example") == 403
    assert asked(Origin="https://evil.example") == 403


def test_a_proxy_whose_name_nobody_told_is_trusted_with_a_token_alone(samples, start):
    bare, guarded = start(samples, prefix=PREFIX), start(samples, TOKEN, PREFIX)
    for address, query in ((bare, ""), (guarded, ""), (guarded, "?token=wrong")):
        with pytest.raises(HTTPError, match="403"):
            urlopen(Request(f"{address}{PREFIX}{query}", headers={"Host": "lab.example"}))
    with urlopen(Request(f"{guarded}{PREFIX}?token={TOKEN}", headers={"Host": "lab.example"})) as answer:
        assert answer.headers["Set-Cookie"].endswith(f"HttpOnly; Path={PREFIX}; SameSite=Strict")


@pytest.mark.parametrize(
    "header",
    [
        {"X-Forwarded-For": "203.0.113.7"},
        {"X-Forwarded-Host": "lab.example"},
        {"Forwarded": "for=203.0.113.7"},
        {"X-Real-IP": "203.0.113.7"},
        {"Via": "1.1 lab"},
    ],
    ids=lambda header: next(iter(header)),
)
def test_what_comes_through_a_proxy_that_nobody_told_of_is_refused_with_the_way_out(samples, start, header):
    with pytest.raises(HTTPError, match="403") as refused:
        urlopen(Request(f"{start(samples)}/_dash-layout", headers=header))
    assert "--prefix" in refused.value.read().decode()
    with urlopen(Request(f"{start(samples, TOKEN, '/')}/_dash-layout?token={TOKEN}", headers=header)) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("told", "mount"),
    [
        ("/", Mount()),
        ("/diagnose", Mount("/diagnose/")),
        ("/user/ada/proxy/8050/", Mount("/user/ada/proxy/8050/")),
        ("https://lab.example:443/a/b", Mount("/a/b/", "lab.example", secure=True)),
        ("http://LAB.example:8080", Mount("/", "lab.example:8080")),
    ],
)
def test_a_path_and_a_whole_address_tell_where_the_pages_are(told, mount):
    assert mounted(told) == mount


@pytest.mark.parametrize(
    "told", ["", "diagnose", "lab.example/diagnose", "//evil.example/", "/a?b", "/a#b", '/"><script>/', "ftp://a/b",
             "https://", "https://me@lab.example/", "http://[", "/a b/", "/a/../"]
)  # fmt: skip
def test_what_is_neither_path_nor_address_is_refused_in_a_sentence(told):
    with pytest.raises(DiagnoseError, match="a path such as /diagnose/ is expected"):
        mounted(told)
