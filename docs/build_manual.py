"""Builds the manual: `python docs/build_manual.py [OUT]`, or `make docs`.

Hand-written pages lie beside this file; the others are generated from the product's own data (`generators/`). All are
put together in OUT/pages and built by Zensical into OUT/site, where every warning is an error. The site asks no other
host for anything.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from generators import command_line, couplings, explained, inclusions, reference  # noqa: E402  found beside this file

GENERATORS: Final = (explained.pages, couplings.pages, command_line.pages, reference.pages)
SHIM: Final = "https://unpkg.com/iframe-worker/shim"  # what Zensical searches with where no server answers
OWN_SHIM: Final = "assets/iframe-worker.js"


def main(out: Path) -> int:
    """Write the pages, then the site; Zensical's exit code."""
    pages = out / "pages"
    for made in ("pages", "site"):
        shutil.rmtree(out / made, ignore_errors=True)
    for path, text in every_page():
        (pages / path).parent.mkdir(parents=True, exist_ok=True)
        (pages / path).write_text(text, encoding="utf-8")
    for folder in ("assets", "images"):
        shutil.copytree(DOCS / folder, pages / folder)
    shutil.copy(DOCS / "mkdocs.yml", out)
    built = subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=out, check=False)
    if built.returncode == 0:
        for page in (out / "site").rglob("*.html"):
            make_offline(page, out / "site")
    return built.returncode


def every_page() -> Iterator[tuple[str, str]]:
    """Path and Markdown of every page, hand-written and generated."""
    for page in sorted(DOCS.glob("*.md")):
        yield page.name, inclusions.included(page.read_text(encoding="utf-8"))
    for generate in GENERATORS:
        yield from generate()


def make_offline(page: Path, site: Path) -> None:
    """Let search on a page that is opened as a file load its one script from the site itself."""
    up = "../" * (len(page.relative_to(site).parts) - 1)
    page.write_text(page.read_text(encoding="utf-8").replace(SHIM, f"{up}{OWN_SHIM}"), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS.parent / "build" / "manual"))
