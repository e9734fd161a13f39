"""What pages are put together from."""

from itertools import pairwise

import pytest
from dash import html

from diagnose.dashboard.pieces import breakable


@pytest.mark.parametrize("name", ["lr", "accumulation_steps", "_private__name_", ""])
def test_a_name_may_break_behind_each_of_its_underscores_and_is_copied_whole(name):
    parts = breakable(name)
    assert "".join(part for part in parts if isinstance(part, str)) == name
    may_break = [before for before, part in pairwise(parts) if isinstance(part, html.Wbr)]
    assert may_break == ["_"] * name.count("_")
