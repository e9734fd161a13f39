"""The dashboard with many people looking at it: python benchmarks/dashboard_load.py [--minutes 1] [--clients 50]

A server in a process of its own, on loopback, over runs of which some grow all the time. Half of the clients look
at the list of runs, half at one run each, as the pages do: they open, and then ask again so and so long after each
answer, the list as soon as the server tells them to. Given are requests, how long the answers took, and the server's
memory over the time; the clients and what grows share one interpreter, which is part of how long an answer takes. No
answer may be an error and no client may die: the exit status is 1 where one was or did.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import tables

from dashboard import Server, ours, write_sweep
from diagnose.logs.writing import EventFile

LIST_PAUSE_MS: Final = 600  # the pages' own while runs are unread, as here at first: dashboard/pages/runs.py
RUN_PAUSE_S: Final = 0.75  # dashboard/pages/run.py
GROWING: Final = 8
FINISHED: Final = 40
GROWS_EACH_S: Final = 0.5
GROWS_BY: Final = 10  # steps
LOOKS: Final = 10  # at the server's memory
PATIENCE_S: Final = 60.0
MB: Final = 1e6


@dataclass
class Client:
    """What one client asks and how long it waits, by kind of request."""

    place: str  # host and port
    callbacks: Mapping[str, dict[str, Any]]  # by an output of theirs
    waits_s: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def ask(self, kind: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One request, on a connection that stays open; its answer as JSON, None where there is nothing new."""
        began = time.perf_counter()
        try:
            sent = json.dumps(body) if body is not None else None
            self.line.request(
                "POST" if body else "GET", path, sent, {"Content-Type": "application/json"} if body else {}
            )
            answer = self.line.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.errors.append(f"{kind}: {type(error).__name__}")
            self.line.close()
            return None
        self.waits_s.setdefault(kind, []).append(time.perf_counter() - began)
        if answer.status not in {200, 204}:
            self.errors.append(f"{kind}: {answer.status}")
            return None
        return (
            json.loads(content) if answer.status == 200 and "json" in (answer.getheader("Content-Type") or "") else None
        )

    def call(self, kind: str, output: str, **values: Any) -> dict[str, Any]:
        """A callback by one of its outputs, with values by `id.property`, dots and dashes as underscores."""
        told = self.callbacks[output]
        given = {
            place: [{**one, "value": values.get(_word(one))} for one in told[place]] for place in ("inputs", "state")
        }
        outputs = [dict(zip(("id", "property"), one.rsplit(".", 1), strict=True)) for one in _outputs(told["output"])]
        asked = {
            "output": told["output"],
            "outputs": outputs if told["output"].startswith("..") else outputs[0],
            "changedPropIds": [f"{one['id']}.{one['property']}" for one in told["inputs"]][:1],
            **given,
        }
        answer = self.ask(kind, "/_dash-update-component", asked)
        return answer["response"] if answer else {}

    def open(self, path: str, search: str) -> None:
        """Load a page as a browser does that has the scripts already."""
        for kind, place in (
            ("page", path + search),
            ("layout", "/_dash-layout"),
            ("dependencies", "/_dash-dependencies"),
        ):
            self.ask(kind, place)
        self.call("page's content", "page.children", address_pathname=path, address_search=search)

    @property
    def line(self) -> http.client.HTTPConnection:
        """The connection, opened where it is not."""
        if not hasattr(self, "_line"):
            self._line = http.client.HTTPConnection(self.place, timeout=PATIENCE_S)
        return self._line


def look_at_list(client: Client, until: float) -> None:
    """The list of runs, left open."""
    client.open("/", "")
    revision, pause_ms = None, LIST_PAUSE_MS
    while time.monotonic() < until:
        time.sleep(pause_ms / 1000)
        told = client.call("list, again", "runs-news.data", runs_refresh_n_intervals=1, runs_refresh_interval=pause_ms,
                           runs_revision_data=revision)  # fmt: skip
        pause_ms = told.get("runs-refresh", {}).get("interval", pause_ms)
        revision = told.get("runs-news", {}).get("data", {}).get("revision", revision)


def look_at_run(client: Client, name: str, until: float) -> None:
    """One run's page, left open."""
    client.open("/run", f"?name={name}")
    shown: dict[str, str] = {}
    drawn: dict[str, str] = {}
    while time.monotonic() < until:
        told = client.call("run, again", "run-verdict.children", run_refresh_n_intervals=1, run_name_data=name,
                           run_shown_data=shown)  # fmt: skip
        if "run-shown" in told:
            shown = told["run-shown"]["data"]
            plots = client.call("plots", "run-plots.data", run_shown_data=shown, dark_data=False, run_view_data={},
                                run_name_data=name, plots_drawn_data=drawn)  # fmt: skip
            drawn = plots.get("plots-drawn", {}).get("data", drawn)
        time.sleep(RUN_PAUSE_S)


def looking(client: Client, look: Callable[..., None], *arguments: Any) -> None:
    """Look, and tell of what ends that before its time: a client that is gone only makes the load lighter."""
    try:
        look(client, *arguments)
    except Exception as error:  # noqa: BLE001  an answer in another form than expected, say
        client.errors.append(f"the client died: {type(error).__name__}: {error}")


def main() -> int:
    """Print the table; the exit status says whether all answers were there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("-o", "--output", type=Path, metavar="DIRECTORY")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "runs", Path(folder) / "cache"
        write_sweep(root, FINISHED, 1_000, 20)
        with growing(root), ours(root, cache) as server:
            clients, memory = load(server, options.clients, options.minutes * 60)
    rows = [_row(kind, waits) for kind, waits in sorted(_by_kind(clients).items())]
    everything = [wait for waits in _by_kind(clients).values() for wait in waits]
    table = tables.markdown(("request", "answers", "median", "p95", "longest"), [*rows, _row("all", everything)])
    errors = [error for client in clients for error in client.errors]
    print(f"{tables.machine()} {options.clients} clients, {options.minutes:g} min.\n\n{table}\n")
    print(f"Errors: {len(errors)} {sorted(set(errors))}")
    print("Server's memory, MB: " + ", ".join(f"{one:.0f}" for one in memory))
    if options.output:
        figures = {"clients": [asdict(client)["waits_s"] for client in clients], "memory_mb": memory, "errors": errors}
        tables.write(options.output, "dashboard_load", table, figures)
    return int(bool(errors))


def load(server: Server, clients: int, seconds: float) -> tuple[list[Client], list[float]]:
    """Have that many clients look for that long; they, and the server's memory at ten times."""
    place = server.address.removeprefix("http://")
    known = Client(place, {})
    callbacks = {
        output: one
        for one in known.ask("dependencies", "/_dash-dependencies")
        if not one["clientside_function"]
        for output in _outputs(one["output"])
    }
    until = time.monotonic() + seconds
    lookers = [Client(place, callbacks) for _ in range(clients)]
    names = [f"live{number:02d}" for number in range(GROWING)] + [f"run{number:05d}" for number in range(FINISHED)]
    threads = [
        threading.Thread(target=looking, args=(one, look_at_run, names[number % len(names)], until))
        if number % 2
        else threading.Thread(target=looking, args=(one, look_at_list, until))
        for number, one in enumerate(lookers)
    ]
    for thread in threads:
        thread.start()
        time.sleep(min(0.1, seconds / 10 / clients))  # nobody's colleagues all click at once
    memory = []
    for look in range(1, LOOKS + 1):
        time.sleep(max(until - seconds + seconds * look / LOOKS - time.monotonic(), 0))
        memory.append(_resident_bytes(server) / MB)
    for thread, one in zip(threads, lookers, strict=True):
        thread.join(2 * PATIENCE_S)
        if thread.is_alive():
            one.errors.append("the client hangs")
    return lookers, memory


class growing:  # noqa: N801  used like a function
    """Within, GROWING runs below `root` get GROWS_BY steps each GROWS_EACH_S."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._grow, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _grow(self) -> None:
        noise, step = np.random.default_rng(0), 0
        files = [EventFile(self._root / f"live{number:02d}") for number in range(GROWING)]
        while not self._done.is_set():
            for _ in range(GROWS_BY):
                step += 1
                for file in files:
                    loss = 2.3 * 0.999**step + 0.02 * noise.normal()
                    layers = {"layers/grad_norm": np.full(12, loss, np.float32)}
                    scalars = {"loss/train": loss, "lr/group0": 0.1, "grad_norm": 1.0}
                    file.write_step(step, time.time(), scalars.items(), layers)
            for file in files:
                file.flush()
            self._done.wait(GROWS_EACH_S)
        for file in files:
            file.close()


def _outputs(told: str) -> Iterator[str]:
    return iter(told.strip(".").split("...") if told.startswith("..") else [told])


def _word(place: Mapping[str, str]) -> str:
    return f"{place['id']}_{place['property']}".replace("-", "_")


def _by_kind(clients: list[Client]) -> dict[str, list[float]]:
    kinds: dict[str, list[float]] = {}
    for client in clients:
        for kind, waits in client.waits_s.items():
            kinds.setdefault(kind, []).extend(waits)
    return kinds


def _row(kind: str, waits: list[float]) -> list[str]:
    figures = (float(np.quantile(waits, share)) for share in (0.5, 0.95, 1.0))
    return [kind, f"{len(waits):,}", *(f"{1000 * one:.0f} ms" for one in figures)]


def _resident_bytes(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


if __name__ == "__main__":
    sys.exit(main())
