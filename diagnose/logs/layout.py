"""How a run lies in an event log: the tags, plugins and file names that writing and reading share."""

from __future__ import annotations

from typing import Final

FILE_MARK: Final = "tfevents"  # every writer's event files carry it in their name
FILE_VERSION: Final = "brain.Event:2"

SETUP_TAG: Final = "diagnose/setup"  # a text summary: the set-up as one JSON object
SETUP_SCHEMA: Final = 1

DIAGNOSIS_TAG: Final = "diagnose/diagnosis"  # a text summary in a file of its own: the report as Markdown
DIAGNOSIS_ENDING: Final = ".diagnosis"  # of that file's name

OWN_TAGS: Final = "diagnose/"  # what the log says of itself
CLOSED_TAG: Final = "diagnose/closed"  # a scalar in the last event of a log that was closed in order: one of the two
CLOSED, CUT_SHORT = 1.0, 2.0  # training had ended by itself, or as the text before the mark says

ENDING_TAG: Final = "diagnose/ending"  # a text summary: what ended a training that did not end by itself
ENDING_SCHEMA: Final = 1

CADENCE_TAG: Final = "diagnose/cadence/"  # and a probe's name: a scalar at each of its looks, its period then
DROPPED_TAG: Final = "diagnose/dropped_rows"  # a scalar beside it: steps that could not be written

TEXT_PLUGIN: Final = "text"
HPARAMS_PLUGIN: Final = "hparams"
VECTOR_PLUGIN: Final = "diagnose"  # marks per-layer vectors; TensorBoard keeps and ignores them
