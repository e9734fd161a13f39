"""Symptoms of layers on recorded runs: an ill run that shows one, and a near miss that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

import diagnose
from diagnose import Severity, symptoms

RUNS = Path(__file__).parents[3] / "fixtures" / "runs"


def above_info(name, symptom):
    found = symptoms.find(diagnose.load(RUNS / name), [symptom])
    return [finding for finding in found if finding.severity is not Severity.INFO]


@pytest.mark.parametrize(
    ("symptom", "ill", "near_miss"),
    [
        # Near misses: frozen by nobody, a loud head alone, falling loss, healthy scaling and rare clipping.
        ("frozen_parameters", "frozen_layers-classification-0", "fine_tuning-classification-0"),
        ("frozen_parameters", "frozen_layers-language-1", "fine_tuning-language-1"),
        ("exploding_activations", "init_too_large-autoencoder-0", "high_early_loss-autoencoder-0"),
        ("exploding_gradients", "gradients_not_cleared-autoencoder-0", "plain-autoencoder-0"),
        ("exploding_gradients", "unnormalized_inputs-autoencoder-1", "high_early_loss-autoencoder-1"),
        ("exploding_gradients", "gradients_not_cleared-classification-1", "parameters_missing-diffusion-0"),
        ("saturated_units", "saturated_tanh-classification-0", "plain-classification-0"),
        ("constant_clipping", "clip_far_too_small-convolution-0", "rare_clipping-convolution-0"),
        ("loss_scale_collapse", "loss_scale_collapse-autoencoder-0", "loss_scaling-autoencoder-0"),
        ("vanishing_activations", "init_too_small-autoencoder-0", "plain-autoencoder-0"),
        ("huge_updates", "lr_far_too_high-autoencoder-0", "bad_sample-autoencoder-0"),
    ],
)
def test_the_ill_run_shows_it_and_the_near_miss_does_not(symptom, ill, near_miss):
    assert [finding.id for finding in above_info(ill, symptom)] == [symptom]
    assert not above_info(near_miss, symptom)


def test_frozen_layers_are_named():
    (finding,) = above_info("frozen_layers-convolution-0", "frozen_parameters")
    assert finding.layers == ("1", "2")


def test_a_loud_start_ends_within_the_run_and_says_where_it_grows():
    (finding,) = above_info("unnormalized_inputs-autoencoder-0", "exploding_gradients")
    assert finding.evidence["grows"] == "at the start"
    assert finding.window is not None and finding.window[0] <= 1 < finding.window[1] < 100
