"""Numbers as every view shows them: three significant digits, no needless exponents."""

from __future__ import annotations

from math import isfinite, isnan

PLAIN_FROM, PLAIN_BELOW = 1e-4, 1e6  # in between, no exponent


def shown(value: object) -> str:
    """A setting or an evidence value as text; strings stay as they are, None is a dash.

    Whole numbers keep all their digits (steps, epochs, samples), others get three significant ones.
    """
    if value is None:
        return "—"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) < PLAIN_BELOW):
        return f"{int(value):,}"
    return _finite(value) if isfinite(value) else "NaN" if isnan(value) else "∞" if value > 0 else "−∞"


def _finite(value: float) -> str:
    if value and not PLAIN_FROM <= abs(value) < PLAIN_BELOW:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    rounded = float(f"{value:.3g}")
    if abs(rounded) >= 100:
        return f"{rounded:,.0f}"
    return f"{rounded:.10f}".rstrip("0").rstrip(".")


def percent(share: float) -> str:
    """A share of 1 as whole per cent; never 0 or 100 for what is not quite so."""
    if 0 < share < 0.005:
        return "< 1 %"
    if 0.995 <= share < 1:
        return "> 99 %"
    return f"{share:.0%}".replace("%", " %")
