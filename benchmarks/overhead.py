"""What watching costs, ours and what others do:

    python benchmarks/overhead.py [--threads 1 2] [--seconds 20] [--workloads mlp conv gpt] [-o benchmarks/out]

Three figures, because wall time alone cannot show less than its own noise:
- self time: what is spent inside hooks and calls on the training's thread, as a share of the plain step;
- wall ratio: blocks of a plain training and of a watched one in turn; the median of the ratios, and beside it
  the middle half of the same ratios for plain against plain (A/A);
- CPU ratio: the whole process's CPU time, background threads included.
A look that comes once in 100 steps of a slow training escapes the median: read its self time. What the first
steps cost (tracing, the first look of each probe) stands apart, under “once”: a run pays it a single time.

--seconds is how long each variant of each training runs at each number of threads, beside three ratios at least.
-o writes overhead.md and overhead.json to a directory.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import tables
import torch
from interleaved import Figures, compare
from peers import installed_peers
from variants import OURS
from workloads import WORKLOADS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("-o", "--output", type=Path, metavar="DIRECTORY")
    options = parser.parse_args()
    variants = {**OURS, **installed_peers()}
    results: dict[str, list[Figures]] = {}
    rows: list[list[str]] = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        for name in options.workloads:
            training = f"{name}, {threads} thread{'s' if threads > 1 else ''}"
            results[training] = compare(WORKLOADS[name], variants, options.seconds)
            rows += tables.comparison(training, results[training])
            print(f"measured: {training}", flush=True)
    table = tables.markdown(("training", *tables.HEADINGS), rows)
    print(f"\n{tables.machine()}\n\n{table}")
    if options.output:
        tables.write(options.output, "overhead", table, results)


if __name__ == "__main__":
    main()
