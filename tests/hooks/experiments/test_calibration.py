"""Temperature scaling: the T that was put in comes out, and confidence becomes what it says."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import diagnose


def drawn(temperature, classes=10, samples=10_000, seed=0):
    """Logits that are too large by `temperature`, with labels drawn from what they say without it."""
    generator = torch.Generator().manual_seed(seed)
    true = 2 * torch.randn(samples, classes, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(true.softmax(1), 1, generator=generator)[:, 0]
    return temperature * true, labels


@settings(max_examples=8, deadline=None)
@given(temperature=st.floats(0.2, 8.0), classes=st.integers(2, 20), seed=st.integers(0, 99))
def test_the_temperature_that_was_put_in_comes_out(temperature, classes, seed):
    logits, labels = drawn(temperature, classes, samples=5000, seed=seed)
    found = diagnose.temperature_scaling(logits, labels)
    assert found.temperature == pytest.approx(temperature, rel=0.1)
    assert found.after.nll <= found.before.nll + 1e-12
    assert found.after.ece < 0.03


@pytest.mark.parametrize(("temperature", "classes", "samples"), [(0.0173, 100, 300), (0.02, 3, 2000), (60.0, 10, 2000)])
def test_no_likelier_temperature_is_found_by_looking_everywhere(temperature, classes, samples):
    logits, labels = drawn(temperature, classes, samples, seed=56)
    every = np.geomspace(0.01, 100, 400)
    losses = [nn.functional.cross_entropy(logits / one, labels).item() for one in every]
    found = diagnose.temperature_scaling(logits, labels)
    assert found.after.nll <= min(losses) and found.temperature == pytest.approx(every[np.argmin(losses)], rel=0.03)


@pytest.mark.parametrize("step", [1e-15, 1.0])
def test_the_accuracy_never_changes(step):
    logits = torch.tensor([[0.0, step], [step, 0.0], [0.0, step]], dtype=torch.float64).repeat(500, 1)
    found = diagnose.temperature_scaling(logits, torch.tensor([1, 0, 0]).repeat(500))
    before, after = (np.nansum(side.counts * side.accuracy) for side in (found.before, found.after))
    assert before == after == 1000, "what a softmax rounds to one number is still the likelier class"


def test_the_error_is_that_of_its_definition():
    logits, labels = drawn(3.0, samples=3000)
    found = diagnose.temperature_scaling(logits, labels).before
    confidence, predicted = logits.softmax(1).max(1)
    error = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        assert found.counts[low] == inside.sum()
        if inside.any():
            right = (predicted[inside] == labels[inside]).double().mean()
            error += float(inside.double().mean() * (right - confidence[inside].mean()).abs())
    assert found.ece == pytest.approx(error) and found.counts.sum() == 3000
    assert found.ece > 0.1


def test_a_model_that_fits_too_well_is_found_too_sure_on_held_out_data(digits, everything):
    torch.manual_seed(0)
    x, y = digits.tensors
    y = torch.where(torch.rand(len(y)) < 0.2, torch.randint(0, 10, (len(y),)), y)  # what it can only learn by heart
    model = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[:600]), y[:600]).backward()
        optimizer.step()
    held_out = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=100, shuffle=True)
    before = everything(model, optimizer, held_out)
    found = diagnose.temperature_scaling(model, held_out)
    assert everything(model, optimizer, held_out) == before
    assert found.samples == len(y) - 600
    assert found.temperature > 1.5 and found.after.ece < 0.6 * found.before.ece
    assert "too sure of itself" in found.summary and "held-out" in found.summary
    trained_on = diagnose.temperature_scaling(model, (x[:600], y[:600]))
    assert any("trained on these samples" in note for note in trained_on.notes)


def test_logits_come_in_all_the_shapes_that_training_has():
    logits, labels = drawn(2.0, classes=5, samples=4000)
    flat = diagnose.temperature_scaling(logits, labels).temperature
    sequences = diagnose.temperature_scaling(logits.view(40, 100, 5), labels.view(40, 100)).temperature
    images = diagnose.temperature_scaling(logits.view(40, 100, 5).movedim(2, 1), labels.view(40, 100)).temperature
    assert sequences == pytest.approx(flat) and images == pytest.approx(flat)
    padded = torch.cat([labels, torch.full((500,), -100)])
    more = torch.cat([logits, 50 * torch.randn(500, 5)])
    assert diagnose.temperature_scaling(more, padded).temperature == pytest.approx(flat)


class PerToken(nn.Linear):
    """One logit a class for each token, in a plain dictionary."""

    def forward(self, tokens):
        return {"logits": super().forward(tokens)}


def test_batches_of_texts_of_different_lengths_are_put_together():
    torch.manual_seed(0)
    model = PerToken(4, 3)
    batches = [(torch.randn(8, length, 4), torch.randint(3, (8, length))) for length in (5, 3, 7)]  # 3: as many classes
    alone = [torch.cat(parts) for parts in zip(*[(x.flatten(0, 1), y.flatten()) for x, y in batches], strict=True)]
    found = diagnose.temperature_scaling(model, batches)
    assert found.samples == 120
    assert found.before.nll == diagnose.temperature_scaling(model(alone[0])["logits"], alone[1]).before.nll


def test_a_model_that_is_as_sure_as_it_is_right_is_told_so():
    assert "as sure of itself as one temperature" in diagnose.temperature_scaling(*drawn(1.0, samples=40_000)).summary


def test_two_classes_may_share_one_logit():
    logits, labels = drawn(2.0, classes=2)
    one = logits[:, 1] - logits[:, 0]
    pair = diagnose.temperature_scaling(logits, labels).temperature
    assert diagnose.temperature_scaling(one, labels).temperature == pytest.approx(pair)
    assert diagnose.temperature_scaling(one[:, None], labels).temperature == pytest.approx(pair)


def test_a_model_may_give_an_output_with_logits_for_a_mapping(digits):
    torch.manual_seed(0)

    class Wrapped(nn.Linear):
        def forward(self, pixels):
            return SimpleNamespace(logits=super().forward(pixels))

    model = Wrapped(64, 10)
    x, y = digits.tensors
    told = diagnose.temperature_scaling(model, [{"pixels": x, "labels": y}])
    assert told.temperature == diagnose.temperature_scaling(model(x).logits, y).temperature


def test_logits_that_have_no_best_temperature_say_so():
    labels = torch.arange(2000) % 3
    right = diagnose.temperature_scaling(nn.functional.one_hot(labels, 3).double(), labels)
    wrong = diagnose.temperature_scaling(nn.functional.one_hot((labels + 1) % 3, 3).double(), labels)
    assert right.temperature == pytest.approx(0.01) and wrong.temperature == pytest.approx(100)
    assert all("no best temperature" in found.notes[0] for found in (right, wrong))


@pytest.mark.parametrize(
    ("logits", "labels", "reason"),
    [
        (torch.randn(4, 3), torch.tensor([0, 1, 2, 3]), "there are 3 classes"),
        (torch.randn(4, 3), torch.tensor([0, 1]), "do not fit"),
        (torch.full((4, 3), float("nan")), torch.zeros(4), "finite"),
        (torch.randn(4, 3), None, "all of them tensors"),
        (torch.randn(4, 3), torch.rand(4), "fractions"),
        (torch.randn(4, 3), torch.full((4,), -100), "there must be some"),
        (nn.Sequential(nn.Linear(2, 3), nn.LSTM(3, 3)), [(torch.randn(4, 2), torch.zeros(4))], "and not tuple"),
        (nn.Linear(2, 3), [], "no batches"),
    ],
)
def test_what_does_not_fit_is_refused(logits, labels, reason):
    with pytest.raises(diagnose.InvalidArgumentError, match=reason):
        diagnose.temperature_scaling(logits, labels)


def test_the_diagram_shows_both_sides_and_the_data_are_plain():
    found = diagnose.temperature_scaling(*drawn(3.0))
    figure = found.plot()
    assert [trace.type for trace in figure.data].count("scatter") == 3
    kept = json.loads(json.dumps(found.to_dict()))
    assert kept["temperature"] == found.temperature and len(kept["before"]["accuracy"]) == 15
    assert np.isnan(found.before.accuracy).sum() == kept["before"]["accuracy"].count(None)
    assert "divide its logits by" in found._repr_html_()
