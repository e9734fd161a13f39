"""Confidences after calibration."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from diagnose.confidence import calibrated
from diagnose.findings import Finding, Severity


def finding(confidence, severity=Severity.WARNING):
    return Finding("plateau", severity, confidence, (1, 2), "It stands still.")


@given(lower=st.floats(0, 1), higher=st.floats(0, 1))
def test_calibration_keeps_the_order_and_stays_short_of_certainty(lower, higher):
    lower, higher = sorted((lower, higher))
    assert 0 < calibrated(finding(lower)).confidence <= calibrated(finding(higher)).confidence < 1


def test_even_odds_become_those_of_the_recordings():
    assert 0.73 < calibrated(finding(0.5)).confidence < 0.74


def test_what_claims_no_illness_stays_as_it_is():
    assert calibrated(finding(0.5, Severity.INFO)) == finding(0.5, Severity.INFO)
