"""The batch size, against classes, common starts and the data."""

from __future__ import annotations

import pytest
from torch import nn


@pytest.mark.parametrize(
    ("rule", "config", "broken"),
    [
        ("few_samples_per_class", {"batch_size": 16, "num_classes": 35}, True),
        ("few_samples_per_class", {"batch_size": 16, "num_classes": 5}, False),
        ("few_samples_per_class", {"batch_size": 16, "num_classes": 35, "accumulation_steps": 8}, False),
        ("few_samples_per_class", {"batch_size": 16, "num_classes": 35, "task": "segmentation"}, False),
        ("few_samples_per_class", {"batch_size": 16, "num_classes": 35, "task": "image classification"}, True),
        ("few_samples_per_class", {"batch_size": 256, "num_classes": 1000}, False),
        ("few_samples_per_class", {"batch_size": 16}, False),
        ("batch_outside_common_starts", {"batch_size": 2}, True),
        ("batch_outside_common_starts", {"batch_size": 2, "gradient_accumulation_steps": 16}, False),
        ("batch_outside_common_starts", {"batch_size": 65536}, True),
        ("batch_outside_common_starts", {"batch_size": 1024}, False),
        ("batch_outside_common_starts", {}, False),
        ("batch_outside_common_starts", {"batch_size": "32"}, False),
        ("full_batch", {"batch_size": 1000, "dataset_size": 1000}, True),
        ("full_batch", {"batch_size": 100, "dataset_size": 1000}, False),
        ("full_batch", {"batch_size": 1000}, False),
    ],
)
def test_a_batch_rule_speaks_on_what_it_is_for(attached, breaks, rule, config, broken):
    assert (breaks(rule, attached(nn.Linear(4, 4), config=config)) is not None) == broken
