"""The numbers of a remedy: which setting goes from where to where, and why just there.

A number comes from the run where the run gives it and from the documents' factors where not. Where
the log does not hold the old value, `before` is None and `after` says the factor in words: a number
is never invented.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from diagnose.batch import effective_batch
from diagnose.causes import EARLY_SHARE
from diagnose.diagnosis import Setting
from diagnose.findings import Finding
from diagnose.prescriptions.batch_doses import enlarged, shrunk
from diagnose.prescriptions.remedies import known_remedies
from diagnose.run import Run
from diagnose.schedules import peak_lr
from diagnose.setup_rules.learning_rate import usual_range
from diagnose.signals import GRAD_NORM, LR

DIVIDE_BAD, DIVIDE_LATE = 10.0, 3.0  # K01: divide the rate by 3 to 10
RAISE = 3.0  # K02 names no factor; K01's smaller one, turned round
WARMUP_SHARE = 0.05  # of the run's steps: what is common where nothing was measured (K21 gives no number)
USUAL_DECAY = 1e-4  # K50: 1e-3, 1e-4, 1e-5 are the usual starts
DECAY_STEP = 10.0  # K50: the usual starts lie a factor of ten apart
STRONG_DECAY = 1e-2  # above this one of K50's starts times ten: a search, not a step
DROPOUT_STEP, MOST_DROPOUT = 0.1, 0.5
CLIP_QUANTILE = 0.9  # of the gradient norms before the trouble: clip the tail, leave the rest


@dataclass(frozen=True)
class Dose:
    """One setting's move and the reason for its size."""

    setting: str
    before: Setting
    after: Setting
    because: str


def dose_of(remedy: str, run: Run, findings: Sequence[Finding]) -> Dose | None:
    """The numbers of `remedy` for this run, or its words; None where it does not apply to it."""
    dose = _DOSES.get(remedy)
    if dose is not None:
        return dose(run, {finding.id: finding for finding in findings})
    known = known_remedies()[remedy]
    return Dose(known.setting, None, known.after, known.because)


Found = Mapping[str, Finding]
_UNSTEADY = ("late_instability", "oscillation", "loss_spikes")  # the loss stays in reach: K01's smaller factor


def current_lr(run: Run) -> float | None:
    """The highest learning rate that was used, else the one the optimizer was made with."""
    return peak_lr(run.scalar(LR)) or run.setup.optimizer_setting("lr")


def _lower_lr(run: Run, found: Found) -> Dose:
    ill = next((found[name] for name in ("nan_loss", "divergence", *_UNSTEADY) if name in found), None)
    begins_late = ill is not None and ill.window[0] - run.start > EARLY_SHARE * run.length
    mild = ill is not None and (ill.id in _UNSTEADY or (ill.id == "divergence" and begins_late))
    factor = DIVIDE_LATE if mild else DIVIDE_BAD
    how = (
        "grew without bound"
        if ill is not None and ill.id == "nan_loss"
        else f"turned unsteady at step {ill.window[0]}"
        if ill is not None and ill.id in _UNSTEADY
        else "grew only later in the run"
        if mild
        else "grew from the beginning"
    )
    lr = current_lr(run)
    return Dose(
        "lr",
        lr,
        _rounded(lr / factor) if lr else f"a {'third' if mild else 'tenth'} of it",
        f"The loss {how}: divide the rate by {factor:.0f} (3 to 10 is the usual range).",
    )


def _raise_lr(run: Run, _: Found) -> Dose:
    lr = current_lr(run)
    usual = usual_range(str(run.setup.optimizer.get("type", "")))
    if lr and usual and lr < usual[0]:
        return Dose(
            "lr", lr, usual[0], "The rate lies below its optimizer's usual range: start at that range's lower end."
        )
    return Dose(
        "lr",
        lr,
        _rounded(RAISE * lr) if lr else "three times as much",
        "Nothing shakes at this rate: there is room for larger steps, and three times stays reversible.",
    )


def _add_warmup(run: Run, _: Found) -> Dose:
    return Dose(
        "warmup_steps",
        0,
        _warmup(run),
        "The trouble begins while curvature is still changing fast: let the rate rise over the first steps.",
    )


def _warmup(run: Run) -> int:
    return max(10, round(WARMUP_SHARE * run.length))


def _clip_gradients(run: Run, found: Found) -> Dose:
    norms = run.scalar(GRAD_NORM)
    onset = min((finding.window[0] for finding in found.values() if finding.kind == "symptom"), default=run.steps)
    before = norms.finite.values[norms.finite.steps < onset] if norms is not None else np.empty(0)
    if len(before) < 10:
        return Dose(
            "max_norm", None, 1.0, "No gradient norms before the trouble to choose from: 1.0 is the common start."
        )
    limit = float(np.quantile(before, CLIP_QUANTILE))
    return Dose("max_norm", None, _rounded(limit), "Nine of ten gradient norms before the trouble were below this.")


def _loss_scaling(_: Run, __: Found) -> Dose:
    return Dose("loss_scaling", None, "dynamic", "Small gradients vanish and large ones overflow in half precision.")


def _inspect_data(_: Run, found: Found) -> Dose:
    ill = found.get("nan_loss") or found.get("divergence")
    place = f"the batches just before step {ill.window[0]}" if ill else "the batches around the trouble"
    return Dose(
        "data", None, f"check {place}", "A single broken batch explains a sudden break as well as any setting does."
    )


def _change_activation(run: Run, _: Found) -> Dose | None:
    used = next((name for name in ("Sigmoid", "Tanh", "Softsign") if run.setup.modules.get(name)), None)
    if used is None:
        return None
    return Dose(
        "activation", used, "ReLU", f"{used} flattens at both ends, and its slope shrinks the gradient at every layer."
    )


def _match_initialization(run: Run, _: Found) -> Dose:
    saturating = any(run.setup.modules.get(name) for name in ("Sigmoid", "Tanh"))
    fitting = "Xavier/Glorot" if saturating else "He/Kaiming"
    return Dose(
        "initialization", None, fitting, "It keeps the variance of activations and gradients level through depth."
    )


def _add_normalization(run: Run, _: Found) -> Dose | None:
    if any("Norm" in module for module in run.setup.modules):
        return None
    batch = run.setup.config_number("batch_size")
    small = batch is not None and batch < 16
    kind = "LayerNorm" if small or not run.setup.modules.get("Conv2d") else "BatchNorm"
    return Dose("normalization", "none", kind, "It restores the signal's scale at every layer, forward and backward.")


def _add_residuals(_: Run, __: Found) -> Dose:
    return Dose(
        "residual_connections", "none", "every two layers", "They carry the gradient past the layers that shrink it."
    )


def _early_stop(run: Run, found: Found) -> Dose | None:
    overfitting = found.get("overfitting")
    if overfitting is None:
        return None
    best, last = overfitting.window
    epochs = run.setup.config_number("epochs")
    if epochs and run.length:
        at = max(1, round(epochs * (best - run.start) / run.length))
        return Dose("epochs", _whole(epochs), at, f"The validation loss was best at step {best} of {last}.")
    return Dose("steps", run.length, best - run.start, f"The validation loss was best at step {best} of {last}.")


def _train_longer(run: Run, _: Found) -> Dose:
    epochs = run.setup.config_number("epochs")
    setting, before = ("epochs", epochs) if epochs else ("steps", float(run.length))
    return Dose(setting, _whole(before), _whole(2 * before), "The loss was still falling when the run ended.")


def _increase_weight_decay(run: Run, _: Found) -> Dose | None:
    decay = run.setup.optimizer_setting("weight_decay")
    if decay is None:
        return Dose("weight_decay", None, USUAL_DECAY, "The usual starts are 1e-3, 1e-4 and 1e-5.")
    if decay >= STRONG_DECAY:
        return None
    after = max(10 * decay, USUAL_DECAY)
    return Dose("weight_decay", decay, _rounded(after), "Usual starts lie a factor of ten apart: one step up.")


def _increase_dropout(run: Run, _: Found) -> Dose | None:
    dropout = run.setup.config_number("dropout")
    if dropout is None:
        return Dose("dropout", None, 0.2, "Units that may be missing cannot be relied on alone.")
    if dropout >= MOST_DROPOUT:
        return None
    return Dose(
        "dropout", dropout, _rounded(dropout + DROPOUT_STEP), "Units that may be missing cannot be relied on alone."
    )


def _more_data(run: Run, _: Found) -> Dose:
    samples = run.setup.config_number("dataset_size")
    return Dose(
        "dataset_size",
        _whole(samples) if samples else None,
        "as many more as can be had",
        "Data usually gives more than any setting.",
    )


def _augment(run: Run, _: Found) -> Dose | None:
    if run.setup.config.get("augmentation"):
        return None
    return Dose("augmentation", "none", "mild", "Varied samples cannot be memorised one by one.")


def _register_parameters(_: Run, found: Found) -> Dose | None:
    frozen = found.get("frozen_parameters")
    if frozen is None or frozen.evidence.get("gradient_arrives") == "no":
        return None
    return Dose("optimizer", None, f"add {_shown(frozen.layers)}", "Only what the optimizer holds is ever moved.")


def _unfreeze(_: Run, found: Found) -> Dose | None:
    frozen = found.get("frozen_parameters")
    if frozen is None or frozen.evidence.get("gradient_arrives") == "yes":
        return None
    what = f"find what cuts {_shown(frozen.layers)} off: detach, no_grad, .data, or an output that is not used"
    return Dose("graph", None, what, "No gradient arrives there, so nothing is learned there.")


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _enlarge_batch(run: Run, _: Found) -> Dose:
    batch = effective_batch(run)
    because = "Noise in the gradient falls with the root of the batch; beyond the noise scale more samples tell little."
    return Dose("batch_size", batch and _whole(batch), enlarged(run) or "four times as many samples", because)


def _shrink_batch(run: Run, _: Found) -> Dose | None:
    after = shrunk(run)
    if after is None:
        return None
    because = "A batch of the noise scale takes twice the fewest steps and twice the fewest samples: the middle."
    return Dose("batch_size", _whole(effective_batch(run) or 0), after, because)


def _decay_lr(run: Run, _: Found) -> Dose:
    return Dose(
        "scheduler",
        str(run.setup.scheduler["type"]) if run.setup.scheduler.get("type") else None,
        "cosine to 0 over the whole run, after a linear warmup",
        "The rate was right early; the end wants finer steps.",
    )


def _delay_decay(run: Run, found: Found) -> Dose:
    gone = found["plateau"].evidence.get("rate_gone") if "plateau" in found else None
    return Dose("decay_end", gone if isinstance(gone, int | float) else None, run.steps, "The loss fell until then.")


def _shuffle_data(_: Run, __: Found) -> Dose:
    return Dose("shuffle", None, "True", "Each batch should be a fair sample of all the data.")


def _fix_labels(_: Run, __: Found) -> Dose:
    return Dose(
        "labels", None, "look at twenty pairs of input and label", "What no person sees in them, no model learns."
    )


def _enlarge_model(_: Run, __: Found) -> Dose:
    return Dose("width", None, "twice as much", "Both losses are level and close together: there is room for capacity.")


def _decrease_weight_decay(run: Run, _: Found) -> Dose | None:
    decay = run.setup.optimizer_setting("weight_decay")
    if not decay:
        return None
    return Dose("weight_decay", decay, _rounded(decay / DECAY_STEP), "Usual starts lie a factor of ten apart.")


def _decrease_dropout(run: Run, _: Found) -> Dose | None:
    dropout = run.setup.config_number("dropout")
    if not dropout:
        return None
    return Dose("dropout", dropout, _rounded(dropout / 2), "The model cannot fit even what it is shown.")


_DOSES: Final[Mapping[str, Callable[[Run, Found], Dose | None]]] = {
    "lower_lr": _lower_lr,
    "raise_lr": _raise_lr,
    "add_warmup": _add_warmup,
    "clip_gradients": _clip_gradients,
    "loss_scaling": _loss_scaling,
    "inspect_data": _inspect_data,
    "change_activation": _change_activation,
    "match_initialization": _match_initialization,
    "add_normalization": _add_normalization,
    "add_residuals": _add_residuals,
    "early_stop": _early_stop,
    "train_longer": _train_longer,
    "increase_weight_decay": _increase_weight_decay,
    "increase_dropout": _increase_dropout,
    "more_data": _more_data,
    "augment": _augment,
    "register_parameters": _register_parameters,
    "unfreeze": _unfreeze,
    "enlarge_batch": _enlarge_batch,
    "shrink_batch": _shrink_batch,
    "decay_lr": _decay_lr,
    "delay_decay": _delay_decay,
    "shuffle_data": _shuffle_data,
    "fix_labels": _fix_labels,
    "enlarge_model": _enlarge_model,
    "decrease_weight_decay": _decrease_weight_decay,
    "decrease_dropout": _decrease_dropout,
}


def _rounded(value: float) -> float:
    """Three significant digits: a setting that a person would type."""
    return float(f"{value:.3g}")


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) else value
