"""Which versions of a framework its adapter is tested with."""

from __future__ import annotations

import logging
import re
from importlib.metadata import PackageNotFoundError, version

logger = logging.getLogger("diagnose")

_told: set[str] = set()


def expect(package: str, *tested: str) -> None:
    """Say once, in one line, where the installed version of `package` is none of those `tested` (“2.6”); and go on."""
    try:
        installed = version(package)
    except PackageNotFoundError:
        return  # in a folder on the path, say: nobody knows then
    family = ".".join(re.findall(r"\d+", installed)[:2])
    if family not in tested and package not in _told:
        _told.add(package)
        logger.warning(
            "diagnose: %s %s is none of the versions that its integration is tested with (%s); going on with it.",
            package, installed, ", ".join(tested),
        )  # fmt: skip
