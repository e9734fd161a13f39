"""Rules about what keeps the model from memorising, and how much of it there is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from diagnose.facts import (
    EPOCHS,
    dropout,
    first_number,
    has_decoupled_decay,
    label_smoothing,
    says_yes,
    strong_augmentation,
    weight_decay,
)
from diagnose.findings import Finding
from diagnose.run import Run
from diagnose.setup_rules import breach
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

__all__ = [
    "dropout_beside_batchnorm",
    "dropout_beside_label_smoothing",
    "few_epochs_for_augmentation",
    "heavy_dropout",
    "heavy_label_smoothing",
    "more_parameters_than_samples",
    "no_regularization",
    "regularization_beside_strong_augmentation",
    "training_loss_above_validation",
]

USUAL_DROPOUT = 0.5  # of hidden units, where nothing else regularises (Srivastava et al. 2014)
STRONG_L2 = 1e-3  # the strongest of the usual starts, K50
HEAVY_DROPOUT = 0.7  # fewer than three units in ten are left; 0.2 to 0.5 are usual (Srivastava et al. 2014)
HELD_BACK = 1.25  # times the validation loss, which is measured without dropout
LEAST_CUT = 0.3  # K46, K47: 30–50 % less beside BatchNorm or strong augmentation
LONGER = 1.5  # times the epochs at least under strong augmentation, K47
USUAL_SMOOTHING = 0.1  # Szegedy et al. 2016
FEW = 6  # values: fewer have no last third
MANY = 10  # parameters for each sample


def no_regularization(run: Run) -> Finding | None:
    """No regularisation: neither weight decay nor dropout nor augmentation nor label smoothing is set.

    Common weight decays to start from are 1e-3, 1e-4 and 1e-5. Source: K44, K50 (deep-dive §6, §7).
    """
    decay, rate = weight_decay(run.setup), dropout(run.setup)
    drops = rate > 0 if rate is not None else any("Dropout" in module for module in run.setup.modules)
    augmented = says_yes(run.setup.config.get("augmentation")) or strong_augmentation(run.setup)
    if decay is None or decay > 0 or drops or augmented or label_smoothing(run.setup) > 0:
        return None
    return breach(
        "no_regularization",
        run,
        "Neither weight decay nor dropout nor augmentation is set.",
        confidence=0.8,
        weight_decay=decay,
    )


def more_parameters_than_samples(run: Run) -> Finding | None:
    """More parameters than samples: over ten trainable parameters for each training sample.

    Such a model can memorise; more data, augmentation or stronger regularisation keep it from doing so.
    Source: K44 (interdependencies §2), K84 (tune-like-a-champ "Key Takeaways").
    """
    setup = run.setup
    samples, every = setup.config_number("dataset_size"), setup.model_number("parameters")
    trainable = setup.model_number("trainable_parameters")
    parameters = every if trainable is None else trainable
    if not samples or samples < 0 or not parameters or parameters < MANY * samples:
        return None
    return breach(
        "more_parameters_than_samples",
        run,
        f"{parameters:,.0f} parameters for {samples:,.0f} training samples.",
        confidence=0.8,
        parameters=parameters,
        dataset_size=samples,
    )


def dropout_beside_batchnorm(run: Run) -> Finding | None:
    """Dropout beside BatchNorm: its rate was not cut, although BatchNorm regularises too.

    The noise of BatchNorm's statistics stands for some of dropout's: beside it, 30 to 50 % less than the
    usual 0.5 is enough. Source: K46 (interdependencies §2).
    """
    rate = dropout(run.setup)
    if rate is None or not _uncut(rate) or not any("BatchNorm" in module for module in run.setup.modules):
        return None
    return breach(
        "dropout_beside_batchnorm",
        run,
        f"Dropout of {rate:g} beside BatchNorm, which regularises too: 30–50 % less than the usual 0.5 is enough.",
        dropout=rate,
    )


def regularization_beside_strong_augmentation(run: Run) -> Finding | None:
    """Full regularisation beside strong augmentation: dropout or L2 were not cut.

    RandAugment, Mixup and their kin regularise strongly: dropout and λ go down by 30 to 50 %.
    Source: K47 (interdependencies §8).
    """
    used, rate, decay = strong_augmentation(run.setup), dropout(run.setup), weight_decay(run.setup)
    drops = rate is not None and _uncut(rate)
    decays = decay is not None and decay > STRONG_L2 * (1 - LEAST_CUT) and not has_decoupled_decay(run.setup)
    if not used or not (drops or decays):
        return None
    strong = {"dropout": rate or 0.0} if drops else {}
    if decays:
        strong["weight_decay"] = decay or 0.0
    told = " and ".join(f"{name} {value:g}" for name, value in strong.items())
    finding = breach(
        "regularization_beside_strong_augmentation",
        run,
        f"{told} beside {used:.40}, which regularises strongly: 30–50 % less is enough.",
    )
    return replace(finding, evidence=strong)


def few_epochs_for_augmentation(run: Run) -> Finding | None:
    """Few epochs for strong augmentation: not 1.5 times as many as without it.

    `reference_epochs` in the config tells how many were enough without; 1.5 to 2 times as many are needed
    under RandAugment, Mixup and their kin. Source: K47 (interdependencies §8).
    """
    used, epochs = strong_augmentation(run.setup), first_number(run.setup, EPOCHS)
    before = run.setup.config_number("reference_epochs")
    if not used or epochs is None or before is None or before <= 0 or epochs >= LONGER * before:
        return None
    return breach(
        "few_epochs_for_augmentation",
        run,
        f"{epochs:g} epochs under {used:.40}, {before:g} without: 1.5 to 2 times as many are needed.",
        epochs=epochs,
        reference_epochs=before,
    )


def dropout_beside_label_smoothing(run: Run) -> Finding | None:
    """Dropout beside label smoothing: its rate was not cut, although smoothed labels regularise too.

    A little less than the usual 0.5 is enough; how much, validation tells. Source: K48 (interdependencies §10).
    """
    smoothing, rate = label_smoothing(run.setup), dropout(run.setup)
    if rate is None or rate < USUAL_DROPOUT or smoothing <= 0:
        return None
    return breach(
        "dropout_beside_label_smoothing",
        run,
        f"Dropout of {rate:g} beside label smoothing of {smoothing:g}: a little less is enough.",
        confidence=0.7,
        dropout=rate,
        label_smoothing=smoothing,
    )


def heavy_label_smoothing(run: Run) -> Finding | None:
    """Heavy label smoothing: more than twice the usual 0.1.

    It blurs the logits, so that calibrated confidence may want a lower temperature at inference.
    Source: K48 (interdependencies §10).
    """
    smoothing = label_smoothing(run.setup)
    if smoothing <= 2 * USUAL_SMOOTHING:
        return None
    return breach(
        "heavy_label_smoothing",
        run,
        f"Label smoothing of {smoothing:g}, the usual is 0.1: confidence may want a lower temperature at inference.",
        confidence=0.7,
        label_smoothing=smoothing,
    )


def heavy_dropout(run: Run) -> Finding | None:
    """Heavy dropout: seven in ten units or more are dropped.

    From 0.2 for inputs to 0.5 for hidden units is usual (Srivastava et al. 2014); little gets through more.
    Source: K42 (deep-dive §5, §6).
    """
    rate = dropout(run.setup)
    if rate is None or not HEAVY_DROPOUT <= rate <= 1:
        return None
    return breach("heavy_dropout", run, f"Dropout of {rate:g}: 0.5 is much for hidden units.", dropout=rate)


def training_loss_above_validation(run: Run) -> Finding | None:
    """Training loss above validation: dropout holds the model back in training by a quarter of the loss or more.

    Validation is measured without dropout. Where training ends far above it, what is dropped costs more than
    what is not yet learnt. Told of models with dropout, by the last thirds' medians. Source: K42 (deep-dive §6).
    """
    train, held_out = run.scalar(TRAIN_LOSS), run.scalar(VALIDATION_LOSS)
    drops = any("Dropout" in module for module in run.setup.modules) and dropout(run.setup) != 0
    if not drops or train is None or held_out is None or min(len(train.finite), len(held_out.finite)) < FEW:
        return None
    losses = [float(np.median(curve.finite.values[-(len(curve.finite) // 3) :])) for curve in (train, held_out)]
    if losses[1] <= 0 or losses[0] < HELD_BACK * losses[1]:
        return None
    return breach(
        "training_loss_above_validation",
        run,
        f"With dropout the training loss ends at {losses[0]:.3g}, without it validation's at {losses[1]:.3g}.",
        confidence=0.8,
        train_loss=losses[0],
        validation_loss=losses[1],
    )


def _uncut(rate: float) -> bool:
    return rate > USUAL_DROPOUT * (1 - LEAST_CUT)
