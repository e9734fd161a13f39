"""Security headers: the browser is told to run, load and send nothing that is not ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flask import Flask, Response

# Plotly and Mantine set styles from scripts, which only 'unsafe-inline' allows; styles carry no code.
# Plotly draws exported and cached images from data: and blob: addresses.
_POLICY: Final = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
)
NOBODY: Final = "'none'"


def send_headers(server: Flask, script_hashes: Sequence[str], framed_by: str = NOBODY) -> None:
    """Add the headers to every answer; `script_hashes` are those of Dash's own inline scripts.

    `framed_by` are the sites that may show a page inside one of theirs, as the policy writes them.
    """
    headers = {
        "Content-Security-Policy": _POLICY.format(scripts=" ".join(script_hashes), ancestors=framed_by),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }
    if framed_by == NOBODY:
        headers["X-Frame-Options"] = "DENY"  # for browsers that do not know frame-ancestors

    @server.after_request
    def add(response: Response) -> Response:
        response.headers.update(headers)
        return response
