"""Which cause stands first in recorded runs, and what the facts of their first steps are."""

from __future__ import annotations

from pathlib import Path

import pytest

import diagnose
from diagnose import setup_rules
from diagnose.causes import ranked
from diagnose.findings import Finding, Severity
from diagnose.run import Run, Setup

RUNS = Path(__file__).parents[2] / "fixtures" / "runs"


def recorded(name: str) -> Run:
    return diagnose.load(RUNS / name)


@pytest.mark.parametrize(
    ("run", "cause"),
    [
        ("bad_sample-sequence-0", "bad_data"),
        ("log_of_zero-regression-0", "bad_data"),
        ("labels_corrupted_late-classification-0", "bad_data"),
        ("pure_half_precision-classification-0", "precision"),
        ("gradients_not_cleared-classification-0", "gradients_not_cleared"),
        ("unnormalized_inputs-classification-0", "unnormalized_inputs"),
        ("model_too_small-autoencoder-0", "model_too_small"),
        ("lr_far_too_high-classification-0", "lr_too_high"),
        ("lr_jump-classification-0", "lr_too_high"),
        ("weight_decay_too_strong-classification-0", "too_much_regularization"),
    ],
)
def test_what_was_done_to_a_run_stands_first(run, cause):
    assert diagnose.examine(recorded(run)).causes[0].id == cause


@pytest.mark.parametrize(
    ("rule", "breaking", "keeping"),
    [
        ("inputs_far_from_unit_scale", "unnormalized_inputs-autoencoder-0", "init_too_large-autoencoder-0"),
        ("gradients_add_up", "gradients_not_cleared-regression-0", "lr_too_high-diffusion-0"),
        ("loss_follows_the_data_order", "unshuffled-classification-0", "plain-classification-0"),
        ("weights_far_from_any_init", "init_zero-convolution-0", "high_early_loss-autoencoder-0"),
        ("narrow_layers", "model_too_small-sequence-0", "plain-sequence-0"),
        ("half_precision_losses", "pure_half_precision-autoencoder-0", "loss_scaling-autoencoder-0"),
        ("rate_gone_early", "decayed_too_early-language-0", "dead_relus-classification-0"),
        ("few_passes", "too_few_epochs-sequence-0", "plain-sequence-0"),
        ("training_loss_above_validation", "dropout-classification-0", "plain-classification-0"),
    ],
)
def test_a_rule_tells_the_run_that_breaks_it_from_one_that_looks_like_it(rule, breaking, keeping):
    finding = setup_rules.rules()[rule](recorded(breaking))
    assert finding is not None and finding.severity is Severity.INFO and finding.summary.endswith(".")
    assert setup_rules.rules()[rule](recorded(keeping)) is None


@pytest.mark.parametrize(("rate", "heavy"), [(0.9, True), (0.5, False), (0.0, False), (7.0, False)])
def test_seven_in_ten_units_dropped_are_heavy_dropout(rate, heavy):
    run = Run("r", Setup(model={"dropout": rate}))
    assert (setup_rules.rules()["heavy_dropout"](run) is not None) == heavy


def test_a_climb_at_a_rate_that_was_borne_is_not_the_rates_fault():
    run = recorded("plain-classification-0")  # cosine: half of the peak in the middle

    def first(step: int) -> str:
        climb = Finding(
            id="divergence",
            kind="symptom",
            severity=Severity.CRITICAL,
            confidence=1.0,
            window=(step, step + 50),
            summary="It climbs.",
            evidence={},
        )
        return ranked([climb], run)[0].id

    assert first(3) == "lr_too_high"
    assert first(200) == "bad_data"
