"""A server that goes away and comes back under an open page, and two browsers on one server."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow  # opens many pages


def test_a_lost_connection_is_told_and_the_page_goes_on_by_itself(server, visit, write_run):
    page = visit().page
    page.goto(server.start())
    page.get_by_role("link", name="first", exact=True).wait_for()
    banner = page.get_by_role("status").and_(page.locator("#connection"))
    assert banner.get_attribute("aria-live") == "polite"
    assert banner.inner_text() == ""
    server.stop()
    banner.filter(has_text="Connection lost, trying again").wait_for()
    assert banner.bounding_box()["height"] > 30
    write_run(server.root, "second", steps=200)
    server.start()
    banner.filter(has_text="Connected again").wait_for()
    page.get_by_role("link", name="second", exact=True).wait_for()
    server.stop()
    page.get_by_role("link", name="What if").click()
    banner.filter(has_text="Connection lost").wait_for()
    server.start()
    page.get_by_role("heading", name="What if").wait_for()  # asked for meanwhile, and there without asking again


def test_the_same_token_lets_the_page_go_on_and_another_is_told(server, visit):
    page = visit(stranger=True).page
    page.goto(f"{server.start('the-same-token-twice')}/?token=the-same-token-twice")
    page.get_by_role("link", name="first", exact=True).wait_for()
    server.stop()
    page.get_by_text("Connection lost").wait_for()
    server.start("the-same-token-twice")
    page.get_by_text("Connected again").wait_for()
    server.stop()
    address = server.start("quite-another-token")
    told = page.get_by_text("started again with another token")
    told.wait_for()
    other_tab = page.context.new_page()
    other_tab.goto(f"{address}/?token=quite-another-token")
    told.wait_for(state="hidden")


@pytest.mark.slow  # it waits as long as the page does
def test_a_server_that_takes_requests_and_never_answers_is_told(visit, address):
    page = visit().page
    page.goto(address)
    page.get_by_role("link", name="ill", exact=True).wait_for()
    page.route("**/assets/mark.svg", lambda _: None)
    page.get_by_text("Connection lost").wait_for(timeout=30_000)
    page.unroute_all()
    page.get_by_text("Connected again").wait_for()


@pytest.mark.slow
def test_two_browsers_see_the_same_runs_each_in_its_own_way(server, visit, write_run):
    address = server.start()
    one, other = visit().page, visit(scheme="dark").page
    for page in (one, other):
        page.goto(address)
        page.get_by_role("link", name="first", exact=True).wait_for()
    one.get_by_label("Filter runs").fill("no such run")
    one.get_by_role("link", name="first", exact=True).wait_for(state="detached")
    write_run(server.root, "second", steps=200)
    other.get_by_role("link", name="second", exact=True).wait_for()
    assert other.get_by_role("link", name="first", exact=True).is_visible()
    one.get_by_label("Filter runs").fill("")
    one.get_by_role("link", name="second", exact=True).wait_for()
    assert one.evaluate("document.documentElement.dataset.mantineColorScheme") == "light"
    assert other.evaluate("document.documentElement.dataset.mantineColorScheme") == "dark"
