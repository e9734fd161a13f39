"""Normalisation: wanted by depth, and of a kind that the batch can feed."""

from __future__ import annotations

import pytest
from torch import nn


def test_depth_wants_normalisation(attached, breaks, mlp):
    rule = "deep_without_normalization"
    assert breaks(rule, attached(mlp(8)))
    assert breaks(rule, attached(mlp(8, between=nn.LayerNorm))) is None
    assert breaks(rule, attached(mlp(3))) is None


def test_batchnorm_wants_sixteen_samples(attached, breaks, mlp):
    rule, small = "batchnorm_with_small_batch", {"batch_size": 8}
    assert breaks(rule, attached(mlp(3, between=nn.BatchNorm1d), config=small))
    accumulated = {"batch_size": 8, "accumulation_steps": 8}
    assert breaks(rule, attached(mlp(3, between=nn.BatchNorm1d), config=accumulated)), "each part is normalised alone"
    assert breaks(rule, attached(mlp(3, between=nn.BatchNorm1d), config={"batch_size": 16})) is None
    assert breaks(rule, attached(mlp(3, between=nn.BatchNorm1d))) is None
    assert breaks(rule, attached(mlp(3, between=nn.LayerNorm), config=small)) is None


def test_frozen_and_synchronised_batchnorm_do_not_depend_on_the_batch(attached, breaks, mlp):
    frozen = mlp(3, between=nn.BatchNorm1d)
    for module in frozen:
        if isinstance(module, nn.BatchNorm1d):
            module.requires_grad_(requires_grad=False)
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(mlp(3, between=nn.BatchNorm1d))
    for model in (frozen, synchronised):
        assert breaks("batchnorm_with_small_batch", attached(model, config={"batch_size": 4})) is None


@pytest.mark.parametrize(
    ("task", "broken"), [("text classification", True), ("image classification", False), (None, False)]
)
def test_batchnorm_is_not_for_texts(attached, breaks, mlp, task, broken):
    run = attached(mlp(3, between=nn.BatchNorm1d), config={"task": task})
    assert (breaks("batchnorm_for_language", run) is not None) == broken
    assert breaks("batchnorm_for_language", attached(mlp(3, between=nn.LayerNorm), config={"task": task})) is None
