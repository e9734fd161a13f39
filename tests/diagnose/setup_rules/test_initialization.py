"""The weights at attach time, against the non-linearity behind them."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import init

RULE = "init_beside_activation"


@pytest.fixture
def stepped(attached):
    """stepped(model, steps=1, …) -> Run after a training step: activations are known from the first one on."""

    def train(model, steps=1, inputs=None, lr=0.1, **told):
        sgd = torch.optim.SGD(model.parameters(), lr=lr)
        return attached(model, sgd, steps=steps, inputs=torch.randn(16, 32) if inputs is None else inputs, **told)

    return train


def initialized(model, scheme, **settings):
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            scheme(module.weight, **settings)
    return model


@pytest.mark.parametrize(
    ("network", "side"),
    [
        ((nn.ReLU, init.kaiming_normal_), None),
        ((nn.ReLU, init.kaiming_uniform_), None),
        ((nn.LeakyReLU, init.kaiming_normal_), None),
        ((nn.ReLU, init.xavier_uniform_), "small"),
        ((nn.ReLU, lambda weight: init.normal_(weight, std=0.01)), "small"),
        ((nn.ReLU, lambda weight: init.normal_(weight, std=1.0)), "large"),
        ((nn.ReLU, lambda weight: init.orthogonal_(weight, gain=2**0.5)), None),
        ((nn.ReLU, lambda _: None), "small"),
        ((nn.Tanh, init.xavier_normal_), None),
        ((nn.Tanh, init.kaiming_normal_), "large"),
        ((nn.Sigmoid, init.xavier_uniform_), None),
        ((nn.GELU, init.xavier_normal_), None),
    ],
)
def test_each_activation_wants_its_own_scheme(stepped, breaks, mlp, network, side):
    activation, scheme = network
    finding = breaks(RULE, stepped(initialized(mlp(8, activation), scheme)))
    assert (finding and finding.evidence["side"]) == side


def test_what_is_told_is_what_happens_to_a_signal(stepped, breaks, mlp):
    model = initialized(mlp(9, width=256), init.xavier_normal_)
    finding = breaks(RULE, stepped(model, inputs=torch.randn(16, 256)))
    assert len(finding.layers) == 8
    assert finding.evidence["std_ratio"] == pytest.approx(2**-0.5, rel=0.03)
    assert "multiply the variance by 0.003" in finding.summary or "multiply the variance by 0.004" in finding.summary


def test_convolutions_may_follow_either_form_of_he(stepped, breaks):
    def network(scheme, **settings):
        widths = [3, 16, 32, 32, 64, 64, 128, 128]
        pairs = pairwise(widths)
        layers = [part for a, b in pairs for part in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())]
        return initialized(nn.Sequential(*layers), scheme, **settings)

    images = torch.randn(4, 3, 8, 8)
    for mode in ("fan_in", "fan_out"):
        assert breaks(RULE, stepped(network(init.kaiming_normal_, mode=mode), inputs=images)) is None
    assert breaks(RULE, stepped(network(init.normal_, std=0.3), inputs=images))


def test_shallow_and_normalised_networks_bear_any_scheme(stepped, breaks, mlp):
    assert breaks(RULE, stepped(mlp(4))) is None
    assert breaks(RULE, stepped(mlp(8, between=nn.BatchNorm1d))) is None


def test_before_the_first_forward_pass_the_activation_is_not_known(attached, breaks, mlp):
    assert breaks(RULE, attached(mlp(8))) is None


def test_later_descriptions_tell_of_the_weights_at_attach_time(attached, breaks, mlp):
    model = initialized(mlp(8), init.kaiming_normal_)
    start = float(model[0].weight.detach().std())
    first, second = (torch.optim.SGD(part.parameters(), lr=1.0) for part in (model[:8], model[8:]))
    run = attached(model, first, steps=5, inputs=torch.randn(16, 32))
    second.step()
    assert float(model[0].weight.detach().std()) != pytest.approx(start, rel=1e-6)
    assert run.setup.layers[0].init["weight_std"] == pytest.approx(start, rel=1e-6)


def test_trained_weights_follow_no_scheme(stepped, breaks, mlp):
    model = mlp(8)
    spread = [0.3, 1.0, 0.6, 1.7, 0.9, 2.2, 0.4, 1.0]
    with torch.no_grad():
        for linear, factor in zip(model[::2], spread, strict=True):
            linear.weight.mul_(factor)
    assert breaks(RULE, stepped(model)) is None
    assert breaks(RULE, stepped(mlp(8), config={"pretrained": True})) is None


def test_a_head_that_begins_at_zero_does_so_on_purpose(stepped, breaks, mlp):
    model = initialized(mlp(8), init.kaiming_normal_)
    init.zeros_(model[-1].weight)
    assert breaks(RULE, stepped(model)) is None


class Residual(nn.Module):
    """A branch that begins at zero, so that the block begins as the identity."""

    def __init__(self, last=nn.ReLU, outer=init.zeros_) -> None:
        super().__init__()
        self.inner, self.relu, self.outer, self.last = nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), last()
        outer(self.outer.weight)

    def forward(self, x):
        return self.last(x + self.outer(self.relu(self.inner(x))))


def test_residual_branches_that_begin_at_zero_do_so_on_purpose(stepped, breaks):
    assert breaks(RULE, stepped(nn.Sequential(*(Residual() for _ in range(6))))) is None


def test_branches_without_an_activation_at_their_end_are_no_plain_chain(stepped, breaks):
    blocks = (Residual(nn.Identity, init.xavier_normal_) for _ in range(6))
    assert breaks(RULE, stepped(nn.Sequential(*blocks))) is None


def test_recurrent_layers_embeddings_and_low_precision_weights_are_left_alone(attached, breaks):
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.lstm = nn.Embedding(50, 16), nn.LSTM(16, 16, num_layers=6)
            self.head = nn.Sequential(*(part for _ in range(3) for part in (nn.Linear(16, 16), nn.Tanh())))

        def forward(self, tokens):
            return self.head(self.lstm(self.embedding(tokens))[0])

    model = Tagger()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    assert breaks(RULE, attached(model, sgd, steps=1, inputs=torch.randint(0, 50, (5, 4)))) is None

    quantized = nn.Sequential(*(nn.Linear(8, 8) for _ in range(8)))
    for linear in quantized:
        linear.weight = nn.Parameter(torch.ones(8, 8, dtype=torch.int8), requires_grad=False)
    assert breaks(RULE, attached(quantized)) is None


def test_saturating_units_are_counted_where_they_follow_layers(stepped, attached, breaks, mlp):
    rule = "saturating_activation_in_deep_net"
    assert breaks(rule, attached(mlp(8, nn.Sigmoid)))
    assert breaks(rule, attached(mlp(8, nn.ReLU))) is None
    assert breaks(rule, attached(mlp(3, nn.Sigmoid))) is None
    with_one = mlp(8)
    with_one.append(nn.Sigmoid())
    assert breaks(rule, attached(with_one)) is None, "a gate or an output may saturate"
    shared = nn.Tanh()
    assert breaks(rule, stepped(mlp(8, lambda: shared))), "one module, seven places"
