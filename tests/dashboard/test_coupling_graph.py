"""The drawing of the coupling graph."""

import re
from itertools import combinations

import pytest

from diagnose import what_if
from diagnose.dashboard.coupling_graph import ORDER, figure
from diagnose.reports.figures import ON_DARK, PALETTE

LETTER_PX, LINE_PX, HIGH_PX = 6.4, 14, 420  # of the names' letters, bold ones; of the drawing (assets/compare.css)
WIDE = {"right": (-1, 0), "center": (-0.5, 0.5), "left": (0, 1)}


def _boxes(drawn, wide_px):
    """Where each name stands: left, right, bottom and top in pixels, by its letters alone."""
    across = wide_px / (drawn.layout.xaxis.range[1] - drawn.layout.xaxis.range[0])
    up = HIGH_PX / (drawn.layout.yaxis.range[1] - drawn.layout.yaxis.range[0])
    for name in (one for one in drawn.layout.annotations if not one.showarrow):
        lines = re.sub(r"</?b>", "", name.text).split("<br>")
        wide, high = LETTER_PX * max(map(len, lines)), LINE_PX * len(lines)
        left, right = (name.x * across + share * wide for share in WIDE[name.xanchor])
        yield "".join(lines), (left, right, name.y * up - high / 2, name.y * up + high / 2)


@pytest.mark.parametrize("wide_px", [325, 690])  # on a telephone, and beside the settings
def test_no_two_names_stand_on_one_another_and_all_are_inside(wide_px):
    boxes = dict(_boxes(figure([], dark=False), wide_px))
    assert set(boxes) == set(ORDER)
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        beside = a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2]
        assert beside, f"{one} and {other}"
    assert max(max(abs(left), abs(right)) for left, right, _, _ in boxes.values()) <= wide_px / 2
    assert max(max(abs(low), abs(high)) for _, _, low, high in boxes.values()) <= HIGH_PX / 2


@pytest.mark.parametrize(("dark", "colour"), [(False, PALETTE["train"]), (True, ON_DARK[PALETTE["train"]])])
def test_what_moves_has_the_colour_of_its_arrows(dark, colour):
    changes = what_if({"lr": 0.1, "batch_size": 128, "optimizer": "SGD"}, batch_size=256).changes
    drawn = figure(changes, dark=dark)
    moved = {change.setting for change in changes}
    points = next(trace for trace in drawn.data if trace.mode == "markers")
    assert {name for name, its in zip(ORDER, points.marker.color, strict=True) if its == colour} == moved
    assert {arrow.arrowcolor for arrow in drawn.layout.annotations if arrow.showarrow} == {colour}
