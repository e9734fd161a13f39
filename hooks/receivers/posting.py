"""One post of JSON over HTTP, and what came of it; the address appears nowhere in that."""

from __future__ import annotations

import http.client
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError

OVERLOADED = (408, 425, 429)  # and what begins with 5: to be tried again


@dataclass(frozen=True)
class Answer:
    """What a post came to: `final` where trying again would change nothing, `wait_s` where the server asks for it."""

    taken: bool
    reason: str
    final: bool = False
    wait_s: float = 0.0


def post(url: str, payload: bytes, timeout_s: float) -> Answer:
    """Post `payload` as JSON; raises nothing."""
    try:
        request = urllib.request.Request(url, payload, {"Content-Type": "application/json"})  # noqa: S310  http(s)
        with _OPENER.open(request, timeout=timeout_s) as answer:
            return Answer(200 <= answer.status < 300, f"it answered {answer.status}", final=True)
    except HTTPError as error:
        error.close()
        again = error.code in OVERLOADED or error.code >= 500
        return Answer(taken=False, reason=f"it answered {error.code}", final=not again, wait_s=_wait_s(error))
    except (OSError, http.client.HTTPException) as error:
        # Only the kind: some messages quote the address.
        cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
        return Answer(taken=False, reason=type(cause).__name__)
    except Exception as error:  # noqa: BLE001  whatever it is, the thread goes on to the next one
        return Answer(taken=False, reason=type(error).__name__, final=True)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Whoever asks to post elsewhere is not who the address was given for."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none: the answer counts as it is."""


_OPENER = urllib.request.build_opener(_NoRedirects)


def _wait_s(error: HTTPError) -> float:
    told = error.headers.get("Retry-After", "")
    return float(told) if told.isascii() and told.isdigit() else 0.0
