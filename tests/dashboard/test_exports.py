"""Reports as files, over real HTTP."""

from __future__ import annotations

import json
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import pytest


@pytest.mark.parametrize(("kind", "begins"), [("html", "<!doctype html>"), ("md", "# Critical"), ("json", "{")])
def test_a_run_s_report_comes_as_a_file_of_its_kind(address, kind, begins):
    with urlopen(f"{address}/report?name=ill&format={kind}") as answer:
        assert answer.headers["Content-Disposition"] == f'attachment; filename="ill.{kind}"'
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.read().decode().startswith(begins)


def test_the_json_is_the_diagnosis(address):
    with urlopen(f"{address}/report?name=nets/sound&format=json") as answer:
        assert json.load(answer)["healthy"] is True


def test_a_hostile_name_makes_a_plain_file_name(address, hostile_name):
    with urlopen(f"{address}/report?name={quote(hostile_name)}&format=md") as answer:
        name = answer.headers["Content-Disposition"]
    assert not set("<>=\r\n") & set(name.removeprefix("attachment; filename="))


@pytest.mark.parametrize(
    "query", ["", "name=no-such-run", "name=../../etc/passwd", "name=ill&format=exe", "name=damaged"]
)
def test_what_there_is_none_of_is_not_found(address, query):
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"{address}/report?{query}")


@pytest.mark.parametrize(("kind", "begins"), [("md", "# The first run is worse"), ("json", "{")])
def test_a_comparison_comes_as_a_file_of_its_kind(address, kind, begins):
    with urlopen(f"{address}/comparison?run=ill&run=nets/sound&format={kind}") as answer:
        assert answer.headers["Content-Disposition"] == f'attachment; filename="ill-and-nets-sound.{kind}"'
        assert answer.read().decode().startswith(begins)


@pytest.mark.parametrize("query", ["run=ill", "run=ill&run=none", "run=ill&run=damaged", "run=ill&run=ill&format=exe"])
def test_runs_that_cannot_be_compared_are_not_found(address, query):
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"{address}/comparison?{query}")


@pytest.mark.parametrize(("kind", "told"), [("md", "Raise the learning rate"), ("json", '"to": 0.2')])
def test_what_follows_from_a_change_comes_as_a_file_of_its_kind(address, kind, told):
    query = f"lr=0.1&batch_size=128&optimizer=SGD&new.batch_size=256&format={kind}"
    with urlopen(f"{address}/consequences?{query}") as answer:
        assert answer.headers["Content-Disposition"] == f'attachment; filename="what-if.{kind}"'
        assert told in answer.read().decode()


@pytest.mark.parametrize("query", ["", "lr=0.1", "lr=0.1&new.lr=x&format=exe", "lr=0.1&new.colour=red"])
def test_what_nothing_follows_from_is_not_found(address, query):
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"{address}/consequences?{query}")


def test_every_shown_plot_of_a_run_comes_as_a_picture_of_what_is_shown(ill):
    shown = ill.page.locator("section:visible > .card-head [data-png]")
    assert shown.count() >= 3
    sizes = []
    for button in (shown.nth(0), shown.nth(2)):
        with ill.page.expect_download() as loaded:
            button.click()
        assert loaded.value.suggested_filename == f"{button.get_attribute('data-name')}.png"
        picture = loaded.value.path().read_bytes()
        assert picture.startswith(b"\x89PNG")
        sizes.append(len(picture))
    assert min(sizes) > 10_000  # more than an empty sheet


def test_without_the_token_no_report_is_given(samples, start):
    address = start(samples, token="secret")
    with pytest.raises(HTTPError, match="403"):
        urlopen(f"{address}/report?name=ill")
