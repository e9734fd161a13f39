"""Settings whose name says that they are secret: neither written into a log nor read out of one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

WITHHELD: Final = "(withheld)"
_SECRET: Final = frozenset({
    "password", "passwords", "passwd", "passphrase", "secret", "secrets", "credential", "credentials", "webhook",
    "apikey",
})  # fmt: skip
# Whose key or token opens a door; `pad_token` and `partition_key` are a model's and a table's.
_OWNERS: Final = frozenset({
    "access", "account", "api", "auth", "bearer", "comet", "encryption", "github", "gitlab", "hf", "hub", "huggingface",
    "license", "neptune", "private", "refresh", "secret", "service", "session", "slack", "wandb",
})  # fmt: skip
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def withheld(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, the texts of secret ones replaced, at any depth of mappings and lists."""
    return {name: WITHHELD if _is_secret(str(name), value) else _within(value) for name, value in config.items()}


def _within(value: Any) -> Any:
    if isinstance(value, Mapping):
        return withheld(value)
    return [_within(each) for each in value] if isinstance(value, list | tuple) else value


def _is_secret(name: str, value: object) -> bool:
    """Of texts alone: a number or a switch under such a name is a setting."""
    return isinstance(value, str | bytes) and bool(value) and _names_a_secret(_WORDS.findall(name))


def _names_a_secret(parts: list[str]) -> bool:
    words = [part.lower() for part in parts]
    if words[-1:] in (["id"], ["url"]):  # aws_access_key_id, webhook_url
        words.pop()
    if not words:
        return False
    if words[-1] in {"key", "token"}:
        return any(word in _OWNERS for word in words[:-1]) or words == ["token"]
    return words[-1] in _SECRET
