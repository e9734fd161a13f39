"""The numbers of a remedy: which setting goes from where to where, and why just there.

A number comes from the run where the run gives it and from the documents' factors where not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Final

from diagnose.diagnosis import Setting
from diagnose.findings import Finding
from diagnose.prescriptions.dose import Dose, Prescribe
from diagnose.prescriptions.doses import code, fit, rate, signal
from diagnose.prescriptions.remedies import known_remedies
from diagnose.run import Run

DOSES: Final[Mapping[str, Prescribe]] = {
    prescribe.__name__: prescribe
    for prescribe in (
        rate.lower_lr, rate.raise_lr, rate.add_warmup, rate.decay_lr, rate.delay_decay,
        signal.clip_gradients, signal.loss_scaling, signal.change_activation, signal.match_initialization,
        signal.normalize_inputs, signal.add_normalization, signal.switch_normalization, signal.add_residuals,
        fit.early_stop, fit.train_longer, fit.increase_weight_decay, fit.decrease_weight_decay, fit.increase_dropout,
        fit.decrease_dropout, fit.more_data, fit.augment, fit.enlarge_batch, fit.shrink_batch, fit.enlarge_model,
        fit.use_adamw, fit.label_smoothing, fit.shrink_model, fit.average_weights,
        code.inspect_data, code.register_parameters, code.unfreeze, code.shuffle_data, code.fix_labels,
    )
}  # fmt: skip


def dose_of(remedy: str, run: Run, findings: Sequence[Finding]) -> Dose | None:
    """The numbers of `remedy` for this run, or its words; None where it does not apply to it."""
    dose = DOSES.get(remedy)
    if dose is not None:
        told = dose(run, {finding.id: finding for finding in findings})
        return told if told is not None and _finite(told.before) and _finite(told.after) else None
    known = known_remedies()[remedy]
    return Dose(known.setting, None, known.after, known.because)


def _finite(value: Setting) -> bool:
    """Whether anyone could set it; what a log holds may be a number at the end of its kind."""
    return not isinstance(value, float) or isfinite(value)
