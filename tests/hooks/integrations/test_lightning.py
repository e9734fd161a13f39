"""Lightning: three lines watch a training, and leave it as it would be without them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import diagnose

pytestmark = pytest.mark.slow
SILENT = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def pl(request, framework):
    return framework(request.param)


def clusters(samples=96):
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 3, (samples,), generator=generator)
    x = torch.randn(samples, 8, generator=generator) + 2 * nn.functional.one_hot(y, 8)
    return TensorDataset(x, y)


def loader(samples=96, **options):
    return DataLoader(clusters(samples), batch_size=16, **options)


def classifier(pl, lr=0.1):
    class Classifier(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"lr": lr, "task": "classification"})
            self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
            self.losses = []

        def training_step(self, batch, batch_idx):
            x, y = batch
            logits = self.net(x)
            loss = nn.functional.cross_entropy(logits, y)
            self.losses.append(loss.item())
            self.log("train_loss", loss, prog_bar=True)
            self.log("train_acc", (logits.argmax(1) == y).float().mean(), on_step=False, on_epoch=True)
            self.log("entropy/train", loss * 2, on_step=True)
            return loss

        def validation_step(self, batch, batch_idx):
            self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

        def on_train_epoch_end(self):
            self.log("margin", 0.5)

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=lr, momentum=0.9)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2)]

    return Classifier()


def fit(pl, model, *callbacks, ckpt_path=None, **options):
    from diagnose.hooks.integrations.lightning import DiagnoseCallback  # noqa: F401  the framework is there

    trainer = pl.Trainer(
        **{**SILENT, "max_epochs": 4, "enable_checkpointing": False, **options}, callbacks=[*callbacks]
    )
    trainer.fit(model, loader(shuffle=True), loader(), ckpt_path=ckpt_path)
    return trainer


@pytest.fixture
def callback(pl):
    from diagnose.hooks.integrations.lightning import DiagnoseCallback

    return DiagnoseCallback


def test_what_trainer_and_module_know_is_in_the_log(pl, callback, tmp_path):
    pl.seed_everything(0, verbose=False)
    model = classifier(pl)
    fit(pl, model, callback(run_dir=tmp_path), gradient_clip_val=0.5)
    run = diagnose.load(tmp_path)
    assert run.scalar("loss/train").values.tolist() == pytest.approx(model.losses)
    assert run.scalar("loss/validation").steps.tolist() == [6, 12, 18, 24]  # and none of the sanity check
    assert run.scalar("accuracy/train").steps.tolist() == [6, 12, 18, 24]
    assert run.scalar("entropy/train").values.tolist() == pytest.approx([2 * loss for loss in model.losses])
    assert run.scalar("margin/train").steps.tolist() == [6, 12, 18, 24]
    assert run.scalar("lr/group0").values[[0, 12]].tolist() == pytest.approx([0.1, 0.01])
    assert len(run.scalar("grad_norm_unclipped")) == 24
    assert run.setup.scheduler["type"] == "StepLR"
    told = {name: run.setup.config[name] for name in ("batch_size", "dataset_size", "epochs", "max_norm", "task")}
    assert told == {"batch_size": 16, "dataset_size": 96, "epochs": 4, "max_norm": 0.5, "task": "classification"}
    assert [layer.type for layer in run.setup.layers] == ["Linear", "Linear"]
    assert run.per_layer("layers/activation_variance") is not None
    assert run.closed


def test_training_is_the_same_bit_for_bit(pl, callback, tmp_path):
    def trained(*callbacks):
        pl.seed_everything(0, verbose=False)
        model = classifier(pl)
        fit(pl, model, *callbacks, accumulate_grad_batches=2)
        return model.losses, [*model.state_dict().values(), torch.get_rng_state()]

    losses, state = trained()
    watched, watched_state = trained(callback(run_dir=tmp_path, cadence=diagnose.Cadence(1, 1, 1, 1, 1)))
    assert watched == losses
    assert all(torch.equal(one, other) for one, other in zip(state, watched_state, strict=True))
    run = diagnose.load(tmp_path)
    pairs = [sum(losses[at : at + 2]) / 2 for at in range(0, len(losses), 2)]
    assert run.scalar("loss/train").values.tolist() == pytest.approx(pairs)
    assert run.setup.config["accumulation_steps"] == 2


def test_a_halt_stops_the_trainer_and_says_why(pl, callback, tmp_path, caplog):
    watching = callback(run_dir=tmp_path, halt_on=["nan_loss"])
    trainer = fit(pl, classifier(pl, lr=1e20), watching, max_epochs=1_000)
    assert trainer.current_epoch < 999
    assert watching.halted.finding.id == "nan_loss"
    assert "Halted by nan_loss" in caplog.text
    assert "To change: lr" in caplog.text


def test_a_trainer_that_will_not_stop_is_stopped_by_the_exception(pl, callback, tmp_path):
    with pytest.raises(diagnose.TrainingHalted, match="nan_loss"):
        fit(
            pl,
            classifier(pl, lr=1e20),
            callback(run_dir=tmp_path, halt_on=["nan_loss"]),
            min_epochs=500,
            max_epochs=500,
        )


def test_the_log_is_whole_after_an_exception(pl, callback, tmp_path):
    class Fails(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 9:
                raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        fit(pl, classifier(pl), callback(run_dir=tmp_path), Fails())
    run = diagnose.load(tmp_path)
    assert run.closed
    assert run.scalar("loss/train").steps.tolist() == list(range(1, 10))


def test_a_resumed_training_goes_on_in_the_same_log(pl, callback, tmp_path):
    trainer = fit(
        pl,
        classifier(pl),
        callback(run_dir=tmp_path / "run"),
        max_epochs=2,
        enable_checkpointing=True,
        default_root_dir=tmp_path,
    )
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    again = callback()
    fit(pl, classifier(pl), again, max_epochs=4, ckpt_path=tmp_path / "two.ckpt")
    assert again.run_dir == tmp_path / "run" or str(again.run_dir) == str(tmp_path / "run")
    assert diagnose.load(tmp_path / "run").scalar("loss/train").steps.tolist() == list(range(1, 25))


def test_two_optimizers_by_hand_are_one_step(pl, callback, tmp_path):
    class Adversaries(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.generator, self.discriminator = nn.Linear(4, 8), nn.Linear(8, 1)

        def training_step(self, batch, batch_idx):
            x, _ = batch
            for name, optimizer, sign in zip("gd", self.optimizers(), (1, -1), strict=True):
                fake = self.generator(torch.randn(len(x), 4))
                loss = sign * self.discriminator(fake).mean() + 0.1 * self.discriminator(x).square().mean()
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
                self.log(f"{name}_loss", loss)

        def configure_optimizers(self):
            return [torch.optim.Adam(part.parameters(), 1e-3) for part in (self.generator, self.discriminator)]

    fit(pl, Adversaries(), callback(run_dir=tmp_path, cadence=diagnose.Cadence(1, 1, 1, 1, 1)))
    run = diagnose.load(tmp_path)
    assert run.scalar("lr/group1").steps.tolist() == list(range(1, 25))
    assert {"g_loss/train", "d_loss/train"} <= {*run.scalars}
    assert run.scalar("loss/train") is None
    assert len(run.per_layer("layers/activation_variance").steps) >= 20  # parts that are called one by one


def test_a_loss_that_is_scaled_for_half_precision_is_logged_as_it_was(pl, callback, tmp_path):
    class ByHand(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.net = nn.Linear(8, 3)
            self.losses = []

        def training_step(self, batch, batch_idx):
            optimizer = self.optimizers()
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.net(batch[0]).float(), batch[1])
            self.losses.append(loss.item())
            self.manual_backward(loss)
            optimizer.step()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.01)

    model = ByHand()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    half = pl.plugins.MixedPrecision("16-mixed", "cpu", scaler=scaler)
    fit(pl, model, callback(run_dir=tmp_path), max_epochs=1, plugins=[half])
    assert diagnose.load(tmp_path).scalar("loss/train").values.tolist() == pytest.approx(model.losses, rel=1e-3)


def test_the_modules_own_batch_size_stands_where_the_trainer_knows_none(pl, callback, tmp_path):
    model = classifier(pl)
    model.save_hyperparameters({"batch_size": 32})
    sampler = torch.utils.data.BatchSampler(torch.utils.data.SequentialSampler(clusters()), 32, drop_last=False)
    trainer = pl.Trainer(**SILENT, max_epochs=1, enable_checkpointing=False, callbacks=[callback(run_dir=tmp_path)])
    trainer.fit(model, DataLoader(clusters(), batch_sampler=sampler))
    assert diagnose.load(tmp_path).setup.config["batch_size"] == 32


def test_a_checkpoint_that_is_only_tested_is_no_training_that_goes_on(pl, callback, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = fit(pl, classifier(pl), callback(run_dir=tmp_path / "run"), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    again = callback()
    trainer = pl.Trainer(**SILENT, max_epochs=1, enable_checkpointing=False, callbacks=[again])
    trainer.validate(classifier(pl), loader(), ckpt_path=tmp_path / "one.ckpt")
    trainer.fit(classifier(pl), loader())
    assert str(again.run_dir) != str(tmp_path / "run")


def test_a_broken_batch_is_told_by_the_layer(pl, callback, tmp_path):
    class Breaks(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 10:
                batch[0][:] = math.nan

    watching = callback(run_dir=tmp_path, halt_on=["nan_loss"])
    fit(pl, classifier(pl), Breaks(), watching, max_epochs=100)
    assert watching.halted.finding.window[0] == 11
    assert "model's inputs" in str(watching.halted)


ON_RANKS = """
import sys
import lightning.pytorch as pl, torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from diagnose import Cadence
from diagnose.hooks.integrations.lightning import DiagnoseCallback

class Two(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder, self.head = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.encoder(x).relu())

    def training_step(self, batch, index):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        return loss * float("nan") if self.global_step >= 40 else loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)

torch.manual_seed(0)
data = TensorDataset(torch.randn(96, 8), torch.randint(0, 3, (96,)))
cadence = Cadence(activations=1)
watching = DiagnoseCallback(run_dir=sys.argv[1], halt_on=["nan_loss"], cadence=cadence)
trainer = pl.Trainer(max_epochs=2_000, strategy="ddp", devices=2, accelerator="cpu", logger=False,
                     enable_checkpointing=False, enable_progress_bar=False, callbacks=[watching])
trainer.fit(Two(), DataLoader(data, batch_size=16))
print(trainer.global_rank, trainer.global_step, watching.halted)
"""


def test_ranks_halt_together(framework, ends_of_two_ranks, tmp_path):
    framework("lightning.pytorch")
    steps = ends_of_two_ranks(ON_RANKS)
    assert steps["0"] == steps["1"]
    run = diagnose.load(tmp_path / "run")
    assert run.setup.environment["data_parallel_ranks"] == 2
    assert [layer.name for layer in run.setup.layers] == ["encoder", "head"]
    assert run.per_layer("layers/activation_variance").steps[:40].tolist() == list(range(1, 41))
