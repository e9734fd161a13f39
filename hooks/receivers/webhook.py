"""A webhook: each finding as a message to Slack, or to whatever else takes its JSON."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import time
from urllib.parse import urlsplit

from diagnose.errors import InvalidArgumentError
from diagnose.findings import Finding
from diagnose.hooks.receivers.messages import payload_of
from diagnose.hooks.receivers.posting import Answer, post

logger = logging.getLogger("diagnose")

QUEUED = 100  # messages: a run has a few dozen symptoms at most
FLUSH_S = 3.0  # that the end of a run waits for what is under way
LONGEST_PAUSE_S = 30.0


class Webhook:
    """Posts each finding from a thread of its own; training never waits for it, and nothing reaches training.

    A refused, failed or overloaded (429, 5xx) post is tried again, `attempts` times in all, after pauses that double
    from `first_pause_s`; other answers are final. Every connection and answer may take `timeout_s`. What finds the
    queue full, or is not taken, is counted in `dropped` and told once. The end of a run, an exit and SIGTERM wait
    `FLUSH_S` for what is under way; `kill -9` loses it. The URL is a secret: it stands in no message,
    warning or repr. `about` names the run in every message.

    Raises `InvalidArgumentError` for a URL that is not http(s), and for numbers that nothing could be sent with.
    """

    def __init__(
        self, url: str, *, about: str = "", timeout_s: float = 5.0, attempts: int = 4, first_pause_s: float = 1.0
    ) -> None:
        if not _is_web_address(url):
            raise InvalidArgumentError("Webhook(url=…): expected a http:// or https:// address with a host.")
        if attempts < 1 or not timeout_s > 0 or not first_pause_s >= 0:
            raise InvalidArgumentError(
                f"Webhook(timeout_s={timeout_s!r}, attempts={attempts!r}, first_pause_s={first_pause_s!r}): expected "
                "at least one attempt, a timeout above 0 and a pause of 0 or more."
            )
        self._url = url
        self._about = about
        self._timeout_s, self._attempts, self._first_pause_s = timeout_s, attempts, first_pause_s
        self._begin()

    def _begin(self) -> None:
        """Nothing is sent yet by this process."""
        self.sent = 0
        self.dropped = 0
        self._process = os.getpid()
        self._queue: queue.Queue[bytes] = queue.Queue(QUEUED)
        self._idle = threading.Condition()
        self._open = 0  # messages that are neither sent nor dropped
        self._thread: threading.Thread | None = None
        self._told = False

    def __call__(self, finding: Finding) -> None:
        """Queue one finding; returns at once."""
        if self._process != os.getpid():  # a forked child has no thread, nor, it may be, a lock that is let go
            self._begin()
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="diagnose-webhook", daemon=True)
            thread.start()
            self._thread = thread
            atexit.register(self.flush)
        payload = payload_of(finding, self._about)
        with self._idle:
            self._open += 1
        try:
            self._queue.put_nowait(payload)
        except queue.Full:
            self._done(sent=False, reason="its queue is full")

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Wait for what is under way, a few seconds at most; returns whether all of it has been sent or dropped."""
        if self._process != os.getpid():
            return True  # whatever is under way is the parent's
        with self._idle:
            return self._idle.wait_for(lambda: self._open == 0, timeout_s)

    def __repr__(self) -> str:
        return f"<Webhook: {self.sent} sent, {self.dropped} dropped>"

    def _work(self) -> None:
        while True:
            answer = self._post(self._queue.get())
            self._done(sent=answer.taken, reason=answer.reason)

    def _post(self, payload: bytes) -> Answer:
        """Post until it is taken, refused for good, or tried often enough."""
        pause_s = self._first_pause_s
        for left in range(self._attempts - 1, -1, -1):
            answer = post(self._url, payload, self._timeout_s)
            if answer.taken or answer.final or not left:
                break
            time.sleep(min(answer.wait_s or pause_s, LONGEST_PAUSE_S))
            pause_s *= 2
        return answer

    def _done(self, *, sent: bool, reason: str) -> None:
        if not sent and not self._told:
            self._told = True
            logger.warning("diagnose: an alert did not reach its webhook: %s; later ones are only counted.", reason)
        with self._idle:
            self._open -= 1
            self.sent += sent
            self.dropped += not sent
            self._idle.notify_all()


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and url.isprintable() and " " not in url
    except ValueError:
        return False
