"""Hessian trace and sharpness against the exact Hessian of small networks, and against curvlinops."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import curvlinops
import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian

import diagnose
from diagnose.hooks.objective import Objective
from diagnose.hooks.probes.curvature import by_differences, by_double_backward, lanczos

EVERY = diagnose.Cadence(curvature=1)


def exact_hessian(model: nn.Module, loss) -> torch.Tensor:
    """The Hessian of `loss(weights)` at the model's weights, of shape (parameters, parameters), in float64."""
    weights = {n: p.detach().double() for n, p in model.named_parameters() if p.requires_grad}
    sizes = [w.numel() for w in weights.values()]

    def of_flat(flat):
        parts = flat.split(sizes)
        return loss({n: part.view(w.shape) for (n, w), part in zip(weights.items(), parts, strict=True)})

    return hessian(of_flat)(torch.cat([w.flatten() for w in weights.values()]))


@pytest.fixture
def small():
    """A trained little classifier, its batch, and its loss as a function of the weights in float64."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 3))
    y = torch.arange(48) % 3
    x = torch.randn(48, 6) + 2 * nn.functional.one_hot(y, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    def loss(weights, rows=slice(None)):
        return nn.functional.cross_entropy(
            functional_call(model, weights, x[rows].to(weights["0.weight"].dtype)), y[rows]
        )

    return SimpleNamespace(model=model, optimizer=optimizer, x=x, y=y, loss=loss)


@pytest.mark.parametrize(("product", "tolerance"), [(by_double_backward, 1e-4), (by_differences, 5e-3)])
def test_products_with_the_hessian_are_those_of_the_exact_one(small, product, tolerance):
    exact = exact_hessian(small.model, small.loss).float()
    weights = {n: p.detach() for n, p in small.model.named_parameters()}
    times = product(small.loss, weights)
    for vector in torch.randn(5, len(exact)):
        expected = exact @ vector
        assert (times(vector) - expected).norm() <= tolerance * expected.norm()


def test_the_chain_finds_the_largest_eigenvalue_of_the_exact_hessian_and_of_curvlinops(small):
    weights = {n: p.detach() for n, p in small.model.named_parameters()}
    exact = exact_hessian(small.model, small.loss)
    start = torch.randint(2, (len(exact),)).float() * 2 - 1
    alphas, betas = lanczos(by_double_backward(small.loss, weights), start, 10)
    ritz = torch.linalg.eigvalsh(torch.diag(alphas) + torch.diag(betas, 1) + torch.diag(betas, -1))[-1]
    assert float(ritz) == pytest.approx(float(torch.linalg.eigvalsh(exact)[-1]), rel=0.01)
    operator = curvlinops.HessianLinearOperator(
        small.model, nn.CrossEntropyLoss(), list(small.model.parameters()), [(small.x, small.y)]
    )
    dense = operator @ torch.eye(len(exact))
    assert float(ritz) == pytest.approx(float(torch.linalg.eigvalsh((dense + dense.T) / 2)[-1]), rel=0.01)


def test_the_log_holds_trace_and_sharpness_of_an_eighth_of_the_batch_after_the_step(small, tmp_path):
    criterion = nn.CrossEntropyLoss()
    exact = []
    with diagnose.attach(small.model, small.optimizer, criterion=criterion, run_dir=tmp_path, cadence=EVERY):
        for _ in range(60):
            small.optimizer.zero_grad()
            criterion(small.model(small.x), small.y).backward()
            small.optimizer.step()
            exact.append(exact_hessian(small.model, lambda weights: small.loss(weights, slice(6))))
    run = diagnose.load(tmp_path)
    steps = run.scalars["sharpness"].steps
    assert steps.tolist() == list(range(10, 61))
    largest = np.array([float(torch.linalg.eigvalsh(exact[step - 1])[-1]) for step in steps])
    assert np.allclose(run.scalars["sharpness"].values, largest, rtol=0.02)
    assert np.allclose(run.scalars["lr_sharpness"].values, 0.5 * largest, rtol=0.02)
    traces = np.array([float(exact[step - 1].trace()) for step in steps])
    assert run.scalars["hessian_trace"].values.mean() == pytest.approx(traces.mean(), rel=0.15)


def one_look(model, optimizer, step, run_dir, criterion=None):
    with diagnose.attach(model, optimizer, criterion=criterion, run_dir=run_dir, cadence=EVERY):
        for _ in range(12):
            optimizer.zero_grad()
            step()
            optimizer.step()
    return diagnose.load(run_dir).scalars


class Attention(nn.Module):
    """A model whose attention kernel has no second derivative, and whose loss is over flattened tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(8, 24), nn.Linear(8, 5)

    def forward(self, x):
        q, k, v = self.qkv(x)[:, None].chunk(3, dim=-1)
        return self.head(nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)[:, 0])


def test_where_a_kernel_has_no_second_derivative_differences_of_gradients_serve(tmp_path):
    torch.manual_seed(0)
    model, criterion = Attention(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(16, 7, 8), torch.randint(5, (16, 7))

    def step():
        criterion(model(x).flatten(0, 1), y.flatten()).backward()

    scalars = one_look(model, optimizer, step, tmp_path, criterion)

    def plain(weights):
        logits = functional_call(model, weights, x[:2].double())
        return nn.functional.cross_entropy(logits.flatten(0, 1), y[:2].flatten())

    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        largest = float(torch.linalg.eigvalsh(exact_hessian(model, plain))[-1])
    assert scalars["sharpness"].values[-1] == pytest.approx(largest, rel=0.05)


def test_a_transposed_output_and_a_summing_criterion_are_followed(tmp_path):
    torch.manual_seed(0)
    model, criterion = nn.Linear(4, 3), nn.CrossEntropyLoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    x, y = torch.randn(16, 7, 4), torch.randint(3, (16, 7))
    scalars = one_look(model, optimizer, lambda: criterion(model(x).transpose(1, 2), y).backward(), tmp_path, criterion)

    def plain(weights):
        logits = functional_call(model, weights, x[:2].double())
        return 8 * nn.functional.cross_entropy(logits.transpose(1, 2), y[:2], reduction="sum")

    largest = float(torch.linalg.eigvalsh(exact_hessian(model, plain))[-1])
    assert scalars["sharpness"].values[-1] == pytest.approx(largest, rel=0.02)


def test_a_model_that_computes_its_own_loss_from_keywords_has_curvature(tmp_path):
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, inputs=None, labels=None):
            logits = self.head(inputs)
            return SimpleNamespace(loss=nn.functional.cross_entropy(logits, labels), logits=logits)

    model = Own()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(16, 4), torch.randint(3, (16,))

    def step():
        model(inputs=x, labels=y).loss.backward()

    scalars = one_look(model, optimizer, step, tmp_path)
    assert scalars["sharpness"].steps.tolist() == [10, 11, 12]
    assert scalars["noise_scale"].steps.tolist() == [2]  # the batch size was seen in the keywords
    assert (scalars["sharpness"].values > 0).all()


def test_the_edge_of_stability_is_told_by_the_rate_times_the_sharpness(tmp_path):
    scale = torch.tensor([4.0, 1.0, 0.25])
    model, criterion = nn.Linear(3, 3, bias=False), nn.MSELoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    x = torch.diag(scale).repeat(16, 1)

    def step():
        (criterion(model(x), x) / 16).backward()

    scalars = one_look(model, optimizer, step, tmp_path, criterion)
    # Σ‖Wx − x‖² over 48 rows has Hessian 2·16·diag(scale²) for each row of W; an eighth scaled back sees the same.
    assert scalars["sharpness"].values == pytest.approx(2 * 16 * 16.0, rel=1e-3)
    assert scalars["lr_sharpness"].values == pytest.approx(0.05 * 2 * 16 * 16.0, rel=1e-3)


def test_a_loss_that_cannot_be_computed_again_leaves_curvature_out_and_says_nothing(small, tmp_path, caplog):
    criterion = nn.CrossEntropyLoss()
    scalars = one_look(
        small.model,
        small.optimizer,
        lambda: criterion(2 * small.model(small.x), small.y).backward(),
        tmp_path,
        criterion,
    )
    assert "sharpness" not in scalars and "loss/train" in scalars
    assert not caplog.records


def test_a_model_with_hooks_of_its_own_is_not_run_again(small, tmp_path, caplog):
    calls = []
    small.model[1].register_forward_hook(lambda *_: calls.append(1))
    criterion = nn.CrossEntropyLoss()
    scalars = one_look(
        small.model, small.optimizer, lambda: criterion(small.model(small.x), small.y).backward(), tmp_path, criterion
    )
    assert len(calls) == 12
    assert "sharpness" not in scalars
    assert "forward hooks of its own" in caplog.text


def test_dropout_batch_norm_and_every_generator_are_left_as_they_were(tmp_path):
    def train(cadence):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        criterion = nn.CrossEntropyLoss()
        with diagnose.attach(
            model, optimizer, criterion=criterion, run_dir=tmp_path / str(cadence.curvature), cadence=cadence
        ):
            losses = []
            for _ in range(15):
                x, y = torch.randn(32, 4), torch.randint(3, (32,))
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                losses.append(loss.item() + np.random.rand())  # noqa: NPY002
        return losses, [*model.parameters(), *model.buffers()]

    np.random.seed(0)  # noqa: NPY002
    plain, state = train(diagnose.Cadence(curvature=0))
    np.random.seed(0)  # noqa: NPY002
    seen, state_seen = train(EVERY)
    assert seen == plain
    assert all(map(torch.equal, state, state_seen))
    assert "sharpness" in diagnose.load(tmp_path / "1").scalars
    assert "sharpness" not in diagnose.load(tmp_path / "0").scalars


class TwoOutputs(nn.Module):
    """Two heads on one input, as a variational autoencoder's: side by side, or as one output."""

    def __init__(self, *, joined: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.joined = nn.Linear(8, 4), nn.Linear(8, 4), joined

    def forward(self, x):
        outputs = self.first(x), self.second(x)
        return torch.cat(outputs, 1) if self.joined else outputs


class OfBoth(nn.Module):
    def forward(self, first, second, y=None):
        if y is None:
            first, second, y = first[:, :4], first[:, 4:], second
        return (first - y[:, None]).square().mean() + 100 * (second - first.exp()).square().mean()


def test_several_outputs_are_followed_together(tmp_path):
    def sharpness(model, call):
        torch.manual_seed(1)
        criterion, optimizer = OfBoth(), torch.optim.SGD(model.parameters(), lr=0.0)
        x, y = torch.randn(64, 8), torch.randint(4, (64,))
        run_dir = tmp_path / str(model.joined)
        scalars = one_look(model, optimizer, lambda: call(criterion, model(x), y).backward(), run_dir, criterion)
        return scalars["sharpness"].values

    apart = sharpness(TwoOutputs(joined=False), lambda criterion, outputs, y: criterion(*outputs, y=y))
    assert apart == pytest.approx(sharpness(TwoOutputs(joined=True), lambda c, output, y: c(output, y)), rel=1e-4)


def changed_in_place(output):
    output /= 0.1
    return output


def through_freed_memory(output):
    output = output - output.mean(1, keepdim=True).detach()
    return output / 0.1


@pytest.mark.parametrize("change", [changed_in_place, through_freed_memory, torch.Tensor.detach_])
def test_an_output_that_was_changed_on_the_way_is_not_taken_for_the_models(small, tmp_path, caplog, change):
    criterion, dummy = nn.CrossEntropyLoss(), torch.zeros((), requires_grad=True)

    def step():
        (criterion(change(small.model(small.x)), small.y) + dummy).backward()

    scalars = one_look(small.model, small.optimizer, step, tmp_path, criterion)
    assert "sharpness" not in scalars and "loss/train" in scalars
    assert not caplog.records


def test_a_second_tensor_with_a_graph_of_its_own_leaves_curvature_out(small, tmp_path, caplog):
    criterion = nn.MSELoss()

    def step():
        output = small.model(small.x)
        criterion(output, 0.5 * output).backward()

    assert "sharpness" not in one_look(small.model, small.optimizer, step, tmp_path, criterion)
    assert not caplog.records


def test_a_criterion_with_hooks_of_its_own_is_not_run_again(small, tmp_path, caplog):
    calls, criterion = [], nn.CrossEntropyLoss()
    criterion.register_forward_hook(lambda *_: calls.append(1))
    scalars = one_look(
        small.model, small.optimizer, lambda: criterion(small.model(small.x), small.y).backward(), tmp_path, criterion
    )
    assert len(calls) == 12
    assert "sharpness" not in scalars
    assert "CrossEntropyLoss has forward hooks of its own" in caplog.text


def test_no_output_is_held_once_the_criterion_has_seen_it(small):
    objective = Objective(small.model)
    objective.begin()
    output, criterion = small.model(small.x), nn.CrossEntropyLoss()
    objective.saw_forward((small.x,), {}, output)
    objective.saw_criterion(criterion, (output, small.y), {})
    held = [
        thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor) and thing.shape == output.shape
    ]
    assert [thing for thing in held if thing.data_ptr() == output.data_ptr()] == [output]
    assert objective.criteria == (criterion,)
