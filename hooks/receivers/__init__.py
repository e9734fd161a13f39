"""Where findings go while training runs, to be given to `attach(on_finding=…)`."""

from __future__ import annotations

from diagnose.hooks.receivers.log_records import LogRecords
from diagnose.hooks.receivers.webhook import Webhook

__all__ = ["LogRecords", "Webhook"]
