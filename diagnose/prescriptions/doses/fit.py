"""How length, regularisation, batch and capacity move, so that the model fits and generalises."""

from __future__ import annotations

from diagnose import facts
from diagnose.averaging import recommended_decay, window
from diagnose.prescriptions.dose import Dose, Found, rounded, whole
from diagnose.prescriptions.doses.batch import enlarged, shrunk
from diagnose.prescriptions.settings import settings_of
from diagnose.run import Run
from diagnose.signals import LR

USUAL_DECAY = 1e-4  # K50: 1e-3, 1e-4, 1e-5 are the usual starts
LARGEST_USUAL_DECAY = 1e-3  # K50
DECAY_STEP = 10.0  # K50: the usual starts lie a factor of ten apart
STRONG_DECAY = 1e-2  # above this one of K50's starts times ten: a search, not a step
USUAL_ADAMW_DECAY = 1e-2  # torch's own: decoupled decay is multiplied by the rate
DROPOUT_STEP, MOST_DROPOUT = 0.1, 0.5
MILD_DROPOUT = 0.2
USUAL_SMOOTHING = 0.1  # ε, Szegedy et al. 2016; K48 gives none
USUAL_WIDTHS = (64, 128, 256, 512, 1024)  # K68 (tune-like-a-champ “Fine-tuning Layer(s)”)


def early_stop(run: Run, found: Found) -> Dose | None:
    """So that it ends where the validation loss was best."""
    overfitting = found.get("overfitting")
    if overfitting is None:
        return None
    best, last = overfitting.window
    epochs, steps = settings_of(run).number("epochs"), _as_far(run, best)
    because = f"The validation loss was best at step {best} of {last}"
    because += f"; under a schedule cut to its length, {steps} steps go as far." if steps != best - run.start else "."
    if epochs and run.length:
        at = epochs * steps / run.length
        return Dose("epochs", whole(epochs), max(1, round(at)) if epochs >= 1 else rounded(at), because)
    return Dose("steps", run.length, steps, because)


def _as_far(run: Run, best: int) -> int:
    """Steps of a shorter run, its schedule cut to its length, over which the rate adds up to what it did by `best`."""
    lr = run.scalar(LR)
    if lr is None or not len(lr.finite) or lr.finite.values.sum() <= 0:
        return best - run.start
    until = lr.finite.values[lr.finite.steps <= best].sum() / lr.finite.values.sum()
    return max(round(float(until) * run.length), 1)


def train_longer(run: Run, _: Found) -> Dose | None:
    """Twice as long; nothing where no length is known."""
    epochs = settings_of(run).number("epochs")
    setting, before = ("epochs", epochs) if epochs else ("steps", float(run.length))
    if not before:
        return None
    return Dose(setting, whole(before), whole(2 * before), "The loss was still falling when the run ended.")


def increase_weight_decay(run: Run, _: Found) -> Dose | None:
    """One usual start up."""
    decay = facts.weight_decay(run.setup)
    if decay is None:
        return Dose("weight_decay", None, USUAL_DECAY, "The usual starts are 1e-3, 1e-4 and 1e-5.")
    if decay >= STRONG_DECAY:
        return None
    after = max(DECAY_STEP * decay, USUAL_DECAY)
    return Dose("weight_decay", decay, rounded(after), "Usual starts lie a factor of ten apart: one step up.")


def decrease_weight_decay(run: Run, found: Found) -> Dose | None:
    """To the largest usual start where it lies decades above, else one start down."""
    decay = facts.weight_decay(run.setup)
    if not decay:
        return None
    usual = USUAL_ADAMW_DECAY if facts.has_decoupled_decay(run.setup) else LARGEST_USUAL_DECAY
    if decay > DECAY_STEP * usual:
        return Dose("weight_decay", decay, usual, f"It lies decades above the usual starts: {usual:g} is the largest.")
    if "weight_decay_outside_usual_starts" not in found and facts.dropout(run.setup):
        return None  # dropout is what is unusual here
    return Dose("weight_decay", decay, rounded(decay / DECAY_STEP), "Usual starts lie a factor of ten apart.")


def increase_dropout(run: Run, _: Found) -> Dose | None:
    """A tenth more, up to one half."""
    dropout = facts.dropout(run.setup)
    because = "Units that may be missing cannot be relied on alone."
    if dropout is None:
        return Dose("dropout", None, MILD_DROPOUT, because)
    if dropout >= MOST_DROPOUT:
        return None
    return Dose("dropout", dropout, rounded(dropout + DROPOUT_STEP), because)


def decrease_dropout(run: Run, _: Found) -> Dose | None:
    """To a mild rate where it is heavy, else half of it."""
    dropout = facts.dropout(run.setup)
    if not dropout:
        return None
    after = MILD_DROPOUT if dropout > MOST_DROPOUT else rounded(dropout / 2)
    return Dose("dropout", dropout, after, "The model cannot fit even what it is shown.")


def more_data(run: Run, _: Found) -> Dose:
    """As much as there is."""
    samples = run.setup.config_number("dataset_size")
    because = "Data usually gives more than any setting."
    return Dose("dataset_size", whole(samples) if samples else None, "as many more as can be had", because)


def augment(run: Run, _: Found) -> Dose | None:
    """Mildly."""
    if run.setup.config.get("augmentation"):
        return None
    return Dose("augmentation", "none", "mild", "Varied samples cannot be memorised one by one.")


def use_adamw(run: Run, _: Found) -> Dose | None:
    """For Adam with an L2 penalty (K45); nothing for any other."""
    optimizer = facts.optimizer_type(run.setup)
    if not facts.is_adaptive(optimizer) or facts.has_decoupled_decay(run.setup) or not facts.weight_decay(run.setup):
        return None
    because = "Its decay stays out of the moments, so that each weight decays alike."
    return Dose("optimizer", optimizer, "AdamW", because)


def label_smoothing(run: Run, _: Found) -> Dose | None:
    """The usual 0.1, for classes that are not smoothed yet."""
    if not run.setup.config_number("num_classes") or facts.label_smoothing(run.setup):
        return None
    because = "Targets short of certainty keep the logits from growing without end."
    return Dose("label_smoothing", 0.0, USUAL_SMOOTHING, because)


def average_weights(run: Run, _: Found) -> Dose:
    """Over a twentieth of the run (K34)."""
    settings = settings_of(run)
    decay = rounded_decay(recommended_decay(settings.steps or run.length))
    back = window(decay)
    epochs = f", {back / settings.steps_per_epoch:.3g} epochs" if settings.steps_per_epoch else ""
    because = f"An average over the last {back:,.0f} steps{epochs} has less of the optimizer's noise."
    return Dose("ema_decay", settings.number("ema_decay"), decay, because)


def rounded_decay(decay: float) -> float:
    """Two significant digits of what is missing to 1: 0.9978, not 0.998."""
    return 1 - float(f"{1 - decay:.2g}")


def shrink_model(run: Run, _: Found) -> Dose:
    """Half as wide."""
    width = settings_of(run).number("width")
    because = "What memorises has more capacity than the data ask for."
    return Dose("width", whole(width) if width else None, max(int(width / 2), 1) if width else "half as much", because)


def enlarge_batch(run: Run, found: Found) -> Dose:
    """Towards the noise scale."""
    batch = facts.effective_batch_size(run.setup)
    unused = "undertrained" in found and found["undertrained"].evidence.get("all_seen") == "no"
    because = "Noise in the gradient falls with the root of the batch; beyond the noise scale more samples tell little."
    return Dose(
        "batch_size", batch and whole(batch), enlarged(run, unused_data=unused) or "four times as many samples", because
    )


def shrink_batch(run: Run, _: Found) -> Dose | None:
    """Towards the noise scale."""
    after = shrunk(run)
    if after is None:
        return None
    because = "A batch of the noise scale takes twice the fewest steps and twice the fewest samples: the middle."
    return Dose("batch_size", whole(facts.effective_batch_size(run.setup) or 0), after, because)


def enlarge_model(run: Run, _: Found) -> Dose:
    """The next usual width that is twice as wide or more, of those that heads are tried with (K68)."""
    width = settings_of(run).number("width")
    because = "Both losses are level and close together: there is room for capacity."
    if not width:
        return Dose("width", None, "twice as much", because)
    after = next((usual for usual in USUAL_WIDTHS if usual >= 2 * width), 2 * width)
    return Dose("width", whole(width), whole(after), because)
