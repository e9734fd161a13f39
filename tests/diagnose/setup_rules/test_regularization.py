"""Weight decay, dropout, augmentation, label smoothing: none of them, or several at full strength."""

from __future__ import annotations

import pytest
import torch
from torch import nn


@pytest.fixture
def regularized(attached):
    """regularized(optimizer's class, modules, criterion=…, config=…, **optimizer's) -> Run, not stepped."""

    def start(*modules, kind=torch.optim.SGD, criterion=None, config=None, **settings):
        model = nn.Sequential(nn.Linear(8, 8), *modules, nn.Linear(8, 2))
        optimizer = kind(model.parameters(), **{"lr": 1e-3, **settings})
        return attached(model, optimizer, criterion=criterion, config=config)

    return start


def test_adam_wants_its_decay_apart(regularized, breaks):
    rule = "adam_with_l2"
    assert breaks(rule, regularized(kind=torch.optim.Adam, weight_decay=0.01))
    assert breaks(rule, regularized(kind=torch.optim.AdamW, weight_decay=0.01)) is None
    assert breaks(rule, regularized(kind=torch.optim.Adam)) is None
    assert breaks(rule, regularized(kind=torch.optim.SGD, weight_decay=0.01)) is None


def test_decoupled_adam_is_no_l2(told, breaks):
    settings = {"weight_decay": 0.01, "decoupled_weight_decay": True}
    assert breaks("adam_with_l2", told(optimizer={"type": "Adam", "groups": [settings]})) is None


@pytest.mark.parametrize(
    ("kind", "decay", "side"),
    [
        (torch.optim.SGD, 0.1, "above"), (torch.optim.SGD, 5e-4, None), (torch.optim.SGD, 1e-8, "below"),
        (torch.optim.AdamW, 0.1, None), (torch.optim.AdamW, 1.0, "above"), (torch.optim.SGD, 0.0, None),
        (torch.optim.Rprop, None, None),
    ],
)  # fmt: skip
def test_weight_decay_is_held_against_its_usual_starts(regularized, breaks, kind, decay, side):
    settings = {} if decay is None else {"weight_decay": decay}
    finding = breaks("weight_decay_outside_usual_starts", regularized(kind=kind, **settings))
    assert (finding and finding.evidence["side"]) == side


def test_anything_that_regularises_is_regularisation(regularized, breaks):
    rule = "no_regularization"
    assert breaks(rule, regularized())
    assert breaks(rule, regularized(nn.Dropout(0.0))), "a dropout of nothing drops nothing"
    assert breaks(rule, regularized(config={"augmentation": "none"}))
    assert breaks(rule, regularized(nn.Dropout(0.1))) is None
    assert breaks(rule, regularized(weight_decay=1e-4)) is None
    assert breaks(rule, regularized(config={"augmentation": "flip"})) is None
    assert breaks(rule, regularized(criterion=nn.CrossEntropyLoss(label_smoothing=0.1))) is None


def test_decay_in_any_group_is_regularisation(attached, breaks):
    model = nn.Linear(8, 2)
    groups = [{"params": [model.bias], "weight_decay": 0.0}, {"params": [model.weight], "weight_decay": 1e-4}]
    assert breaks("no_regularization", attached(model, torch.optim.SGD(groups, lr=0.1))) is None


def test_what_is_frozen_memorises_nothing(attached, breaks):
    rule, few = "more_parameters_than_samples", {"dataset_size": 100}
    model = nn.Sequential(nn.Linear(100, 100), nn.Linear(100, 2))
    assert breaks(rule, attached(model, config=few))
    assert breaks(rule, attached(model, config={"dataset_size": 10_000})) is None
    assert breaks(rule, attached(model)) is None
    model[0].requires_grad_(requires_grad=False)
    assert breaks(rule, attached(model, config=few)) is None


def test_dropout_is_cut_beside_batchnorm(regularized, breaks):
    rule = "dropout_beside_batchnorm"
    assert breaks(rule, regularized(nn.BatchNorm1d(8), nn.Dropout(0.5)))
    assert breaks(rule, regularized(nn.BatchNorm1d(8), nn.Dropout(0.3))) is None
    assert breaks(rule, regularized(nn.LayerNorm(8), nn.Dropout(0.5))) is None
    assert breaks(rule, regularized(nn.BatchNorm1d(8))) is None


@pytest.mark.parametrize("augmentation", ["RandAugment", ["flip", "mixup"], {"cutmix": 1.0}, "trivial_augment"])
def test_regularisation_is_cut_beside_strong_augmentation(regularized, breaks, augmentation):
    rule, config = "regularization_beside_strong_augmentation", {"augmentation": augmentation}
    assert breaks(rule, regularized(nn.Dropout(0.5), config=config)).evidence == {"dropout": 0.5}
    assert breaks(rule, regularized(config=config, weight_decay=1e-3)).evidence == {"weight_decay": 1e-3}
    assert breaks(rule, regularized(nn.Dropout(0.3), config=config, weight_decay=5e-4)) is None


@pytest.mark.parametrize(
    "config", [{"augmentation": "flip, crop"}, {"augmentation": {"mixup": False}}, {"no_mixup": 1}, {}]
)
def test_mild_augmentation_leaves_regularisation_alone(regularized, breaks, config):
    assert breaks("regularization_beside_strong_augmentation", regularized(nn.Dropout(0.5), config=config)) is None


def test_strong_augmentation_takes_longer(regularized, breaks):
    rule = "few_epochs_for_augmentation"
    told = {"mixup_alpha": 0.2, "reference_epochs": 100}
    assert breaks(rule, regularized(config={**told, "epochs": 100}))
    assert breaks(rule, regularized(config={**told, "epochs": 150})) is None
    assert breaks(rule, regularized(config={"mixup_alpha": 0.2, "epochs": 100})) is None


def test_smoothed_labels_regularise_too(regularized, breaks):
    def smoothed(by, *modules):
        return regularized(*modules, criterion=nn.CrossEntropyLoss(label_smoothing=by))

    assert breaks("dropout_beside_label_smoothing", smoothed(0.1, nn.Dropout(0.5)))
    assert breaks("dropout_beside_label_smoothing", smoothed(0.1, nn.Dropout(0.4))) is None
    assert breaks("dropout_beside_label_smoothing", smoothed(0.0, nn.Dropout(0.5))) is None
    assert breaks("heavy_label_smoothing", smoothed(0.4))
    assert breaks("heavy_label_smoothing", smoothed(0.1)) is None
    assert breaks("heavy_label_smoothing", regularized()) is None
