"""Rules about what keeps the model from memorising."""

from __future__ import annotations

from diagnose.findings import Finding, Severity
from diagnose.run import Run

__all__ = ["adam_with_l2", "more_parameters_than_samples", "no_regularization"]

COUPLED = ("Adam", "NAdam", "RAdam", "Adamax", "Adagrad", "RMSprop")


def adam_with_l2(run: Run) -> Finding | None:
    """Adam with L2 weight decay: the decay enters the gradient, and so both moments.

    AdamW decays apart from the adaptive scaling, so that the setting means what it says.
    Source: K45 (interdependencies §2, stability-scaling §4).
    """
    optimizer = run.setup.optimizer
    decay = run.setup.optimizer_setting("weight_decay")
    if optimizer.get("type") not in COUPLED or not decay or run.setup.optimizer_flag("decoupled_weight_decay"):
        return None
    return Finding(
        id="adam_with_l2",
        kind="setup_rule",
        severity=Severity.INFO,
        confidence=0.95,
        window=(0, run.steps),
        summary=f"{optimizer['type']} with weight_decay {decay:g} scales the decay with the gradients; AdamW does not.",
        evidence={"weight_decay": decay},
    )


def no_regularization(run: Run) -> Finding | None:
    """No regularisation: neither weight decay nor dropout nor augmentation is set.

    Common weight decays to start from are 1e-3, 1e-4 and 1e-5. Source: K44, K50 (deep-dive §6, §7).
    """
    decay = run.setup.optimizer_setting("weight_decay")
    dropout = any("Dropout" in module for module in run.setup.modules)
    if decay is None or decay > 0 or dropout or run.setup.config.get("augmentation"):
        return None
    return Finding(
        id="no_regularization",
        kind="setup_rule",
        severity=Severity.INFO,
        confidence=0.8,
        window=(0, run.steps),
        summary="Neither weight decay nor dropout nor augmentation is set.",
        evidence={"weight_decay": decay},
    )


def more_parameters_than_samples(run: Run) -> Finding | None:
    """More parameters than samples: the model has over ten parameters for each training sample.

    Such a model can memorise; more data, augmentation or stronger regularisation keep it from doing so.
    Source: K44 (interdependencies §2), K84 (tune-like-a-champ "Key Takeaways").
    """
    samples = run.setup.config_number("dataset_size")
    parameters = run.setup.model.get("parameters")
    if not samples or not isinstance(parameters, int) or parameters < 10 * samples:
        return None
    return Finding(
        id="more_parameters_than_samples",
        kind="setup_rule",
        severity=Severity.INFO,
        confidence=0.8,
        window=(0, run.steps),
        summary=f"{parameters:,} parameters for {samples:,.0f} training samples.",
        evidence={"parameters": parameters, "dataset_size": samples},
    )
