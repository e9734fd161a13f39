"""Numbers as a person reads them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnose.reports.numbers import percent, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"), (True, "True"), ("ReLU", "ReLU"), (50_000, "50,000"), (12345, "12,345"),
        (0.0, "0"), (0.1, "0.1"), (0.0003, "0.0003"), (1e-5, "1e-5"), (2.489e-9, "2.49e-9"), (3.14159, "3.14"),
        (46.23, "46.2"), (4096.0, "4,096"),
        (123456.7, "123,000"), (8.02e26, "8.02e26"), (-0.5, "-0.5"), (10.0, "10"), (999.9, "1,000"),
        (math.nan, "NaN"), (math.inf, "∞"), (-math.inf, "−∞"),
    ],
)  # fmt: skip
def test_a_value_is_shown(value, text):
    assert shown(value) == text


@given(st.floats(1e-12, 1e12))
def test_what_is_shown_is_right_to_three_digits(value):
    assert math.isclose(float(shown(value).replace(",", "")), value, rel_tol=5.1e-3)


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (0.001, "< 1 %"), (0.5, "50 %"), (0.999, "> 99 %"), (1, "100 %")]
)
def test_a_share_is_never_rounded_to_a_certainty(share, text):
    assert percent(share) == text
