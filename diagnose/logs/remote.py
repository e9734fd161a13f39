"""Files behind a URL (`s3://`, `gs://`, `https://`, `memory://`, …), by the drivers of fsspec.

A place is universal_pathlib's `UPath`, which answers as `pathlib.Path` does. A look at it lists all that is
below in one request (a thousand files each), which the driver remembers: after it, whether a file is there and
how large costs nothing. Bytes are asked for by their range. What comes from there is a
stranger's: it is parsed, never executed. Credentials are the driver's own affair, and stay out of every text.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from diagnose.errors import InvalidArgumentError, NoRunError
from diagnose.logs.storage import Identity

URL: Final = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}  # our extras, by protocol
WEB: Final = frozenset({"http", "https"})  # without listings, and with secrets in the query
PAUSES_S: Final = (0.1, 0.5)  # before a second and a third try
AT_ONCE: Final = 16  # requests of one run: S3 answers each in about 50 ms
WINDOW: Final = 8_000_000  # bytes of a request: what fails midway loses no more
# What changes when an object is written anew, as the drivers of S3, GCS, Azure, the web and memory call it.
VERSIONS: Final = (
    "ETag", "etag", "VersionId", "generation", "LastModified", "last_modified", "Last-Modified", "updated",
    "mtime", "created",
)  # fmt: skip
OF_THIS_MACHINE: Final = frozenset({"file", "local"})

T = TypeVar("T")
R = TypeVar("R")


def is_url(path: object) -> bool:
    """Whether `path` names a place by its protocol; a path of this machine does not."""
    return URL.match(str(path)) is not None


def shown(path: object) -> str:
    """A path for people: a URL without the passwords and signatures that it may hold."""
    scheme, mark, rest = str(path).rpartition("://")
    if not mark:
        return rest
    web = scheme.lower() in WEB or "::" in scheme
    rest = re.split(r"[?#]" if web else r"\?", rest)[0]
    # Before an @: a user's token, or a key and its secret, in which a / may stand.
    secret = r"^[^/@]*@" if web else r"^[^/@]*:[^@]*@"
    return f"{scheme}://{re.sub(secret, '', rest)}"


def remote_place(url: str) -> Path:
    """What lies behind `url`, as a path; asks nothing of the network.

    Raises `InvalidArgumentError` where no driver for its protocol is installed, or where it holds a password.
    """
    from upath import UPath

    protocol = url.split("://", 1)[0].lower()
    if _has_password(url):
        raise InvalidArgumentError(
            f"{shown(url)}: the address holds a password, which reports would show; "
            "leave it to the driver's own settings, such as AWS_SECRET_ACCESS_KEY or a profile."
        )
    try:
        place = UPath(url)
        _ = place.fs  # the driver is found here
    except ImportError as error:
        extra = f"torch-diagnose[{EXTRAS[protocol]}]" if protocol in EXTRAS else "the driver that fsspec names for it"
        raise InvalidArgumentError(f"{shown(url)}: {protocol}:// needs a driver; install {extra}.") from error
    except Exception as error:  # noqa: BLE001  what it raises is each driver's own
        raise InvalidArgumentError(
            f"{shown(url)}: no driver takes {protocol}:// ({type(error).__name__}); expected s3://, gs://, https:// "
            "or another protocol of fsspec."
        ) from None  # a driver's own words may hold what it was given
    return cast(Path, place)


def on_this_machine(url: str) -> Path | None:
    """The path of what is named by a URL but lies on this machine, where files may be links; None for all else."""
    from upath import UPath

    return Path(UPath(url).path) if url.split("://", 1)[0].lower() in OF_THIS_MACHINE else None


def look(place: Path) -> None:
    """List anew all that is below a remote place. Raises `NoRunError` where that cannot be had."""
    files, path = _driver(place)
    if URL.match(str(place))[1].lower() in WEB:  # type: ignore[index]
        return
    for known in list(files.dircache):
        if known == path or known.startswith(f"{path}/"):
            files.dircache.pop(known, None)
    files.invalidate_cache(path)
    try:
        tried(lambda: files.find(path, detail=True))
    except FileNotFoundError:
        return
    except OSError as error:
        raise NoRunError(f"{shown(place)} could not be listed ({reason(error)}).") from None


class RemoteFile:
    """A file behind a URL. Known again by its path: an object store puts a new object where one has grown."""

    window = WINDOW

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        self.name = name or path.name
        self.place = str(path)

    def identity(self) -> Identity:
        """By the version or time that the store tells, as it was at the last look."""
        files, path = _driver(self.path)
        told = tried(lambda: files.info(path))
        if told.get("type") != "file" or told.get("size") is None:
            raise OSError(errno.EIO, "the server does not tell its size")
        changed = " ".join(str(told[name]) for name in VERSIONS if told.get(name) is not None)
        place = hashlib.sha256(path.encode()).hexdigest()  # it is kept in a cache, and may hold a signature
        return Identity(place, int(told["size"]), changed)

    def content(self, begin: int, end: int) -> NDArray[np.uint8]:
        """Ask for these bytes alone, up to three times."""
        if end <= begin:
            return np.empty(0, np.uint8)
        files, path = _driver(self.path)
        told: bytes = tried(lambda: files.cat_file(path, start=begin, end=end))
        if len(told) > end - begin:  # a web server that knows no ranges gives all of it
            told = told[begin:end]
        return np.frombuffer(told, np.uint8)


@contextlib.contextmanager
def local_copy(place: Path, largest: int) -> Iterator[Path]:
    """A copy on this machine of a file or of all below a folder, for as long as the block runs.

    Raises `NoRunError` for more than `largest` bytes, `OSError` where it cannot be read.
    """
    files, path = _driver(place)
    names = [path] if files.isfile(path) else files.find(path)
    within = {name: PurePosixPath(name).relative_to(PurePosixPath(path).parent) for name in names}
    wanted = {name: inside for name, inside in within.items() if ".." not in inside.parts}  # keys are any text
    sizes = {name: int(files.info(name)["size"] or 0) for name in wanted}
    if sum(sizes.values()) > largest:
        raise NoRunError(f"{shown(place)} is larger than {largest / 1e9:.0f} GB, too large to be read at once.")
    with tempfile.TemporaryDirectory(prefix="diagnose-") as folder:
        targets = {name: Path(folder, inside) for name, inside in wanted.items()}

        def fetch(name: str) -> None:
            targets[name].parent.mkdir(parents=True, exist_ok=True)
            targets[name].write_bytes(tried(lambda: files.cat_file(name)))

        at_once(fetch, targets)
        yield Path(folder, PurePosixPath(path).name)


def at_once(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """`work` on each item, many at a time, for what waits on a network; in the order of the items."""
    every = list(items)
    if len(every) < 2:
        return [work(item) for item in every]
    with ThreadPoolExecutor(min(AT_ONCE, len(every)), "diagnose-reader") as pool:
        return list(pool.map(work, every))


def tried(ask: Callable[[], R]) -> R:
    """What a request gives, asked again after a pause where it fails. Raises `OSError` where it goes on failing."""
    for pause in (*PAUSES_S, None):
        try:
            return ask()
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # noqa: BLE001  each driver has errors of its own, only some of them OSErrors
            if pause is None:
                raise OSError(errno.EIO, reason(error)) from None
            time.sleep(pause)
    raise AssertionError


def reason(error: Exception) -> str:
    """Why a request failed; only what is known to hold no address and no secret."""
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def _driver(place: Path) -> tuple[Any, str]:
    """The file system of fsspec and the path in it."""
    path = cast(Any, place)
    return path.fs, path.path


def _has_password(url: str) -> bool:
    try:
        return urlsplit(url).password is not None
    except ValueError:
        return "@" in url
