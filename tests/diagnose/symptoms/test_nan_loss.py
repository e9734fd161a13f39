"""Which loss, which rank, and what of the step broke first."""

from __future__ import annotations

import numpy as np
import pytest

from diagnose import symptoms
from diagnose.causes import ranked
from diagnose.findings import Severity
from diagnose.logs.names import is_training_loss
from diagnose.run import Layer, LayerSeries, Run, Series, Setup

STEPS = 200
LAYERS = ("embedding", "block", "head")


def broken_from(step, value=np.nan, steps=STEPS):
    values = np.linspace(2, 1, steps)
    values[step - 1 :] = value
    return values


def run_of(scalars, vectors=None):
    """Scalars from step 1 on, vectors as step -> row over LAYERS."""
    return Run(
        "a run",
        setup=Setup(layers=tuple(Layer(name, "Linear", 1) for name in LAYERS)),
        scalars={
            name: values if isinstance(values, Series) else Series(np.arange(1, len(values) + 1), values, values * 0)
            for name, values in scalars.items()
        },
        layer_signals={
            name: LayerSeries(np.array(list(rows)), np.array(list(rows.values()), "f4"))
            for name, rows in (vectors or {}).items()
        },
    )


def at(step, value):
    return Series(np.array([step]), np.array([float(value)]), np.zeros(1))


def found(run):
    (finding,) = symptoms.find(run, only=["nan_loss"])
    return finding


def origin(run):
    finding = found(run)
    return finding.evidence.get("origin"), finding.evidence.get("origin_step"), finding.layers


def gradients(until, bad_from=STEPS + 1, bad=(1, 1, 1), every=1):
    """Rows of finite norms; from `bad_from` on, NaN where `bad` is 1."""
    return {s: np.where(np.array(bad) * (s >= bad_from), np.nan, 1.0) for s in range(1, until + 1, every)}


# --- which loss -----------------------------------------------------------------------------------


def test_of_several_named_losses_the_first_to_break_is_told():
    finding = found(
        run_of({
            "loss/train": broken_from(101),
            "loss_gan/train": broken_from(101),
            "pixel_loss/train": broken_from(100),
            "perceptual_loss/train": np.ones(STEPS),
        })
    )  # fmt: skip
    assert finding.evidence["first_losses"] == "pixel_loss"
    assert "first to break was pixel_loss, at step 100" in finding.summary
    assert finding.window[0] == 101 and finding.severity is Severity.CRITICAL


def test_the_total_is_left_out_where_a_part_breaks_in_the_same_step():
    finding = found(
        run_of({"loss/train": broken_from(100), "a_loss/train": broken_from(100), "loss_b/train": np.ones(STEPS)})
    )
    assert finding.evidence["first_losses"] == "a_loss"


def test_losses_that_all_break_together_name_no_first_one():
    finding = found(
        run_of({"loss/train": broken_from(100), "a_loss/train": broken_from(100), "loss_b/train": broken_from(100)})
    )
    assert "All losses logged by name broke together" in finding.summary


def test_a_named_loss_alone_is_a_warning():
    finding = found(run_of({"loss/train": np.ones(STEPS), "a_loss/train": broken_from(100)}))
    assert finding.severity is Severity.WARNING and "a_loss" in finding.summary
    assert found(run_of({"a_loss/train": broken_from(100)})).severity is Severity.CRITICAL


@pytest.mark.parametrize(
    "tag", ["loss/train", "loss_gan/train", "GLoss/train", "train/loss_kl", "ce_loss/train", "D_loss"]
)
def test_names_that_are_training_losses(tag):
    assert is_training_loss(tag)


@pytest.mark.parametrize(
    "tag",
    ["loss_scale", "loss/validation", "loss_gan/validation", "loss/rank1", "val/loss_kl", "test_loss_gan", "kl/train",
     "epoch_gan_loss", "train_loss_epoch", "amp/loss_scale", "grad_norm"],
)  # fmt: skip
def test_names_that_are_none(tag):
    assert not is_training_loss(tag)


# --- which rank -----------------------------------------------------------------------------------


def test_the_rank_whose_loss_broke_first_is_named_and_no_layer_blamed_for_its_infection():
    run = run_of(
        {"loss/train": broken_from(101), "loss/rank3": broken_from(100)[:100]},
        {"layers/grad_norm": gradients(120, bad_from=100)},
    )
    finding = found(run)
    assert finding.evidence["first_ranks"] == "3" and "rank 3 alone" in finding.summary
    assert origin(run) == ("rank", 100, ())
    assert ranked([finding], run)[0].id in {"bad_data", "lr_too_high"}
    assert {c.id: c.probability for c in ranked([finding], run)}["bad_data"] > 0.3


def test_ranks_that_break_together_are_not_told_apart():
    run = run_of({"loss/train": broken_from(100), "loss/rank1": broken_from(100)[:100]})
    assert "first_ranks" not in found(run).evidence


def test_rank_0_is_named_where_the_others_follow_it():
    run = run_of({"loss/train": broken_from(100), "loss/rank1": broken_from(101)[:101]})
    assert found(run).evidence["first_ranks"] == "0"


@pytest.mark.parametrize(("steps_of_rank_0", "severity"), [(100, Severity.CRITICAL), (150, Severity.WARNING)])
def test_a_rank_beside_a_sound_rank_0_ruins_the_run_unless_that_goes_on(steps_of_rank_0, severity):
    run = run_of({"loss/train": np.ones(steps_of_rank_0), "loss/rank1": broken_from(100)[:100]})
    assert found(run).severity is severity


def test_a_break_of_the_weights_before_it_is_no_ranks_own():
    run = run_of(
        {"loss/train": broken_from(102), "loss/rank1": broken_from(101)[:101]},
        {"layers/grad_norm": gradients(110, bad_from=100, bad=(1, 1, 0))},
    )
    assert origin(run) == ("backward", 100, ("block",))


# --- what of the step -----------------------------------------------------------------------------

LOSS = {"loss/train": broken_from(100)}


@pytest.mark.parametrize(
    ("scalars", "vectors", "expected"),
    [
        pytest.param({}, {}, (None, None, ()), id="a loss alone tells nothing"),
        pytest.param({}, {"layers/grad_norm": gradients(99)}, ("forward", 100, ()), id="gradients before are sound"),
        pytest.param(
            {}, {"layers/grad_norm": gradients(100), "layers/nonfinite": {1: (0, 0, 0), 100: (0, 4, 4)}},
            ("forward", 100, ("block",)), id="a layer's forward pass",
        ),
        pytest.param(
            {}, {"layers/nonfinite": {1: (0, 0, 0), 100: (0, 0, 0)}}, ("loss", 100, ()), id="after the last layer"
        ),
        pytest.param(
            {"nonfinite_inputs": at(100, 2)}, {"layers/nonfinite": {100: (3, 4, 4)}}, ("inputs", 100, ()), id="inputs"
        ),
        pytest.param(
            {"nonfinite_inputs": at(100, 0)}, {"layers/nonfinite": {100: (3, 4, 4)}},
            ("forward", 100, ("embedding",)), id="sound inputs",
        ),
        pytest.param(
            {}, {"layers/grad_norm": gradients(120, bad_from=99, bad=(1, 1, 0))},
            ("backward", 99, ("block",)), id="the backward pass before",
        ),
        pytest.param(
            {"grad_norm_unclipped": broken_from(99)}, {"layers/grad_norm": gradients(120, bad_from=99)},
            ("backward", 99, ()), id="a backward pass whose gradients were clipped",
        ),
        pytest.param(
            {}, {"layers/grad_norm": gradients(97, every=4), "layers/nonfinite": {100: (2, 2, 2)},
                 "layers/nonfinite_weights": {100: (5, 5, 0)}},
            ("backward", 99, ("block",)), id="a backward pass that nobody looked at",
        ),
        pytest.param(
            {}, {"layers/grad_norm": gradients(99), "layers/nonfinite": {100: (0, 2, 2)},
                 "layers/nonfinite_weights": {100: (0, 5, 0)}},
            ("update", 99, ("block",)), id="finite gradients, broken weights",
        ),
        pytest.param(
            {}, {"layers/nonfinite": {100: (0, 2, 2)}, "layers/nonfinite_weights": {100: (0, 5, 0)}},
            ("weights", 100, ("block",)), id="weights broken before any gradient",
        ),
        pytest.param(
            {}, {"layers/nonfinite": {1: (9, 0, 0), 2: (9, 0, 0), 3: (9, 0, 0), 100: (9, 4, 4)}},
            ("forward", 100, ("block",)), id="a mask is no break",
        ),
        pytest.param(
            {}, {"layers/grad_norm": gradients(50, bad_from=50) | gradients(49) | {60: (1.0, 1.0, 1.0)}},
            ("forward", 100, ()), id="gradients that came back are no origin",
        ),
    ],
)  # fmt: skip
def test_the_origin_is_what_broke_first(scalars, vectors, expected):
    vectors = {name: dict(sorted(rows.items())) for name, rows in vectors.items()}
    assert origin(run_of({**LOSS, **scalars}, vectors)) == expected


def test_columns_that_are_not_the_layers_tell_nothing():
    run = run_of(LOSS, {"layers/grad_norm": dict.fromkeys(range(1, 100), (1.0, 1.0, 1.0))})
    other = Run("r", Setup(), run.scalars, run.layer_signals)
    assert origin(other) == (None, None, ())


def test_inputs_that_hold_nan_point_to_the_data():
    run = run_of({**LOSS, "nonfinite_inputs": at(100, 2)}, {"layers/nonfinite": {100: (3, 4, 4)}})
    assert ranked([found(run)], run)[0].id == "bad_data"
