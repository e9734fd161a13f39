"""Temperature scaling: one number by which logits are divided, so that confidence means what it says.

    calibrated = diagnose.temperature_scaling(model, validation_loader)   # or (logits, labels)
    calibrated.temperature                                # 1.9: the model was too sure of itself
    calibrated.before.ece, calibrated.after.ece           # 0.081, 0.012
    probabilities = (model(x) / calibrated.temperature).softmax(-1)
    calibrated.plot().show()                              # the reliability diagram, before and after

The data must be held out: on what it was trained on a model is nearly always right, and a T fitted there calls it
better calibrated than it is. Which class is the likeliest never changes, and so neither does the accuracy.

Sources: K54 (interdependencies §10); Guo et al. 2017, On Calibration of Modern Neural Networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import exp, log
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from diagnose.errors import InvalidArgumentError
from diagnose.hooks.experiments.batches import Supply, as_batches
from diagnose.hooks.experiments.losses import inputs_and_targets, logits_in, model_output
from diagnose.hooks.experiments.untouched import untouched
from diagnose.reports.numbers import shown
from diagnose.run import Values

if TYPE_CHECKING:
    import plotly.graph_objects as go

BINS: Final = 15  # of equal width between 0 and 1, as in Guo et al.
IGNORED: Final = -100  # cross-entropy's own mark for targets that do not count
BOUND: Final = 100.0  # times: a T beyond it either way is no fit
EXACT: Final = 1e-6  # of T: far below what any number of samples tells
AS_SURE: Final = 0.02  # of T: so near to 1 nothing has to be divided
FEW: Final = 1_000  # samples: an ECE over 15 bins of fewer is mostly noise
NEARLY_RIGHT: Final = 0.995  # accuracy of what may well be the training data


@dataclass(frozen=True, eq=False)
class Reliability:
    """How far confidence can be relied on, in bins of equal width: float64 of shape (bins,), NaN where a bin is empty.

    `counts` samples of mean `confidence` (the likeliest class's probability) and `accuracy`; `ece` is the mean of
    |accuracy − confidence| over samples, `nll` the mean negative log-likelihood in nats.
    """

    counts: Values
    confidence: Values
    accuracy: Values
    ece: float
    nll: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """The fitted temperature, and reliability before and after it, on the same `samples` held-out samples."""

    temperature: float
    before: Reliability
    after: Reliability
    samples: int
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What was found, in a sentence."""
        sure = "too sure of itself" if self.temperature > 1 else "not sure enough of itself"
        told = f"The model is {sure}: divide its logits by {shown(self.temperature)}."
        if abs(self.temperature - 1) <= AS_SURE:
            told = f"The model is as sure of itself as one temperature can make it (T = {shown(self.temperature)})."
        return (
            f"{told} On {self.samples:,} samples, which must be held-out ones, confidence is off by "
            f"{shown(self.before.ece)} before and {shown(self.after.ece)} after (ECE over {BINS} bins)."
        )

    def plot(self) -> go.Figure:
        """The reliability diagram: accuracy over confidence, before and after."""
        from diagnose.hooks.experiments.drawing import reliability_figure

        return reliability_figure(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data; None for empty bins."""
        sides = {"before": self.before, "after": self.after}
        return {
            "temperature": self.temperature,
            "samples": self.samples,
            "notes": list(self.notes),
            **{
                name: {
                    "ece": side.ece,
                    "nll": side.nll,
                    "counts": side.counts.tolist(),
                    "confidence": [None if np.isnan(value) else float(value) for value in side.confidence],
                    "accuracy": [None if np.isnan(value) else float(value) for value in side.accuracy],
                }
                for name, side in sides.items()
            },
        }

    def _repr_html_(self) -> str:
        notes = "".join(f"<br>{escape(note)}" for note in self.notes)
        return f"<p><strong>Temperature scaling</strong><br>{escape(self.summary)}{notes}</p>"


def temperature_scaling(model: nn.Module | Tensor, data: Tensor | Iterable[Any]) -> Calibration:
    """Fit T on held-out data, never on training data: the T of least negative log-likelihood of softmax(logits / T).

    Either `model` and a loader of (inputs, targets), or of mappings with "labels": the model runs once over it in
    evaluation mode, and is left as it was; its output, or the output's `.logits` or "logits", are the logits. Or
    logits and labels as tensors: logits of shape (n, classes), (n, classes, …) or (n, …, classes), the second where
    both fit, labels whole numbers of the shape without classes, −100 where they do not count; logits of the labels'
    own shape are those of two classes. T lies between 1/100 and 100. All is held on the CPU in float64.

    Raises `InvalidArgumentError` where shapes or labels do not fit, or logits are no finite numbers, and where the
    model cannot be put back.
    """
    given: tuple[list[Any], list[Any]] = [model], [data]
    logits, labels = _collected(model, data) if isinstance(model, nn.Module) else given
    if not all(isinstance(one, Tensor) for one in (*logits, *labels)):
        raise InvalidArgumentError(
            "temperature_scaling(): expected a model and a loader, or logits and labels, all of them tensors, and not "
            f"{type(logits[0]).__name__} and {type(labels[0]).__name__}."
        )
    z, y = _flat(logits, labels)
    temperature, fits = _fitted(z, y)
    notes = []
    if not fits:
        notes.append(f"The likelihood still rises at T = {shown(temperature)}: these logits have no best temperature.")
    if float((z.argmax(1) == y).double().mean()) >= NEARLY_RIGHT:
        notes.append("Nearly all are classified rightly: if the model was trained on these samples, T means nothing.")
    if len(y) < FEW:
        notes.append(f"{len(y)} samples leave each of the {BINS} bins few: the two ECEs are rough.")
    return Calibration(temperature, reliability(z, y), reliability(z / temperature, y), len(y), tuple(notes))


def reliability(logits: Tensor, labels: Tensor) -> Reliability:
    """Reliability of logits, shape (n, classes), for labels, shape (n,): bins (0, 1/15], (1/15, 2/15], …"""
    confidence = logits.softmax(1).amax(1).numpy()
    right = (logits.argmax(1) == labels).double().numpy()  # the softmax may round two classes to one number
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS).astype(np.float64)
    with np.errstate(invalid="ignore"):
        sure = np.bincount(place, confidence, BINS) / counts
        accuracy = np.bincount(place, right, BINS) / counts
    ece = float(np.nansum(counts * np.abs(accuracy - sure)) / len(right))
    return Reliability(counts, sure, accuracy, ece, float(nn.functional.cross_entropy(logits, labels)))


def _fitted(logits: Tensor, labels: Tensor) -> tuple[float, bool]:
    """The T of least negative log-likelihood, and whether there is one within bounds.

    The loss is convex in 1/T, and so has one minimum over log T as well, which a bounded search finds without slopes.
    """

    def loss_at(log_t: float) -> float:
        return float(nn.functional.cross_entropy(logits * exp(-log_t), labels))

    ends = -log(BOUND), log(BOUND)
    found = minimize_scalar(loss_at, bounds=ends, method="bounded", options={"xatol": EXACT})
    end = min(ends, key=loss_at)
    fits = float(found.fun) < loss_at(end)
    return exp(float(found.x) if fits else end), fits


def _collected(model: nn.Module, loader: Any) -> tuple[list[Any], list[Any]]:
    """The logits and labels of each batch of one pass over the loader, on the CPU where they are tensors."""
    supply = Supply(as_batches(loader), model)
    logits, labels = [], []
    with untouched(model, loader), torch.no_grad():
        model.eval()
        for batch in supply.once():
            inputs, targets = inputs_and_targets(batch)
            output = logits_in(model_output(model, inputs))
            logits.append(_on_cpu(output["logits"] if isinstance(output, Mapping) and "logits" in output else output))
            labels.append(_on_cpu(targets))
    if not labels:
        raise InvalidArgumentError("temperature_scaling(): the loader has no batches.")
    return logits, labels


def _on_cpu(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, Tensor) else value


def _flat(logits: Sequence[Tensor], labels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Logits of shape (n, classes), in float64, and labels of shape (n,), of all batches; only those that count."""
    place = _classes_in([(one.shape, other.shape) for one, other in zip(logits, labels, strict=True)])
    flat = torch.cat([_rows(one.detach().cpu(), place) for one in logits]).double()
    told = torch.cat([one.detach().cpu().reshape(-1) for one in labels])
    whole = told.long()
    if not torch.equal(whole.to(told.dtype), told):
        raise InvalidArgumentError("Labels are whole numbers, one for each sample: these have fractions, as mixed do.")
    counts = whole != IGNORED
    flat, whole = flat[counts], whole[counts]
    if not len(whole) or not flat.isfinite().all():
        raise InvalidArgumentError(
            "Logits must be finite numbers, and there must be some: the model may have diverged."
        )
    if int(whole.min()) < 0 or int(whole.max()) >= flat.shape[1]:
        raise InvalidArgumentError(
            f"Labels lie between {int(whole.min())} and {int(whole.max())}, but there are {flat.shape[1]} classes."
        )
    return flat, whole


def _classes_in(shapes: Sequence[tuple[torch.Size, torch.Size]]) -> int | None:
    """Which dimension of the logits is that of the classes, the same in every batch; None where they have two classes.

    Texts of a batch may be as many tokens long as there are classes, so that one batch alone would not tell.
    """
    if all(one in (other, (*other, 1)) for one, other in shapes):
        return None
    for place in (1, -1):
        if all(len(one) > 1 and (*one[:place], *one[place:][1:]) == tuple(other) for one, other in shapes):
            return place
    one, other = shapes[0]
    raise InvalidArgumentError(
        f"Logits of shape {tuple(one)} do not fit labels of shape {tuple(other)}: expected one dimension more than the "
        "labels have, that of the classes, the same one in every batch."
    )


def _rows(logits: Tensor, place: int | None) -> Tensor:
    """Logits of shape (n, classes)."""
    if place is None:
        one = logits.reshape(-1)
        return torch.stack([torch.zeros_like(one), one], 1)  # σ(z) is the second's share of softmax(0, z)
    return logits.movedim(place, -1).reshape(-1, logits.shape[place])
