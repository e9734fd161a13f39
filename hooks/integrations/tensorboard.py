"""TensorBoard: a run's diagnosis in its “Text” tab."""

from __future__ import annotations

import os
import time
from pathlib import Path

from diagnose.diagnosis import Diagnosis
from diagnose.hooks.integrations.onward import diagnosis_of
from diagnose.logs import layout
from diagnose.logs.writing import EventFile


def write_diagnosis(run_dir: str | os.PathLike[str], diagnosis: Diagnosis | None = None) -> None:
    """Write the diagnosis of the run in `run_dir`, or one that was made already, beside its log, as Markdown.

    A later one takes the place of an earlier. Raises `NoRunError` where there is no run, `OSError` where the
    folder cannot be written.
    """
    directory = Path(run_dir)
    diagnosis = diagnosis_of(directory) if diagnosis is None else diagnosis
    earlier = list(directory.glob(f"*{layout.FILE_MARK}*{layout.DIAGNOSIS_ENDING}"))
    steps = [int(series.steps[-1]) for series in diagnosis.run.scalars.values() if len(series)]
    with EventFile(directory, layout.DIAGNOSIS_ENDING) as file:
        file.write_text(layout.DIAGNOSIS_TAG, diagnosis.to_markdown(), time.time(), max(steps, default=0))
    for old in earlier:
        old.unlink(missing_ok=True)
