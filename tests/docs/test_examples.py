"""Every ```python block of README and manual runs, in the order of its page, with small things prepared by name."""

from __future__ import annotations

import copy
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import diagnose

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^(?:<!-- (prepare|not run): (.+?) -->\n)?```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITH_CODE = [page for page in PAGES if BLOCK.search(page.read_text())]
CLASSES = 3


def training() -> dict[str, Any]:
    """A small training, freshly made."""
    torch.manual_seed(0)
    inputs = torch.randn(256, 8)
    data = TensorDataset(inputs, inputs[:, :CLASSES].argmax(1))
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return {
        "model": model,
        "optimizer": optimizer,
        "criterion": nn.CrossEntropyLoss(),
        "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 16),
        "loader": DataLoader(data, batch_size=16),
        "validation_loader": DataLoader(data, batch_size=64),
        "batch": data[:64],
        "data": data[:64],
        "plain": model,
        "trained_with_sam": copy.deepcopy(model),
    }


def recorded() -> str:
    """Runs below `runs/`: an ill one, a sound one, and one of another tool's with a loss under a name of its own."""
    for name, run in (("resnet", "lr_too_high-classification-1"), ("sound", "plain-classification-1")):
        shutil.copytree(ROOT / "fixtures" / "runs" / run, f"runs/{name}", dirs_exist_ok=True)
    Path("runs/other").mkdir(parents=True, exist_ok=True)
    rows = "\n".join(f"{step},{2 / step}" for step in range(1, 60))
    Path("runs/other/metrics.csv").write_text(f"step,my_loss\n{rows}\n")
    return "runs"


def trained(config) -> str:
    """A training of forty steps at the config's rate."""
    things, folder = training(), f"treated/{len(list(Path().glob('treated/*')))}"
    optimizer = torch.optim.SGD(things["model"].parameters(), lr=config["lr"])
    with diagnose.attach(things["model"], optimizer, criterion=things["criterion"], config=config, run_dir=folder):
        for inputs, targets in [*things["loader"]] * 3:
            optimizer.zero_grad()
            things["criterion"](things["model"](inputs), targets).backward()
            optimizer.step()
    return folder


def prepared(names: str) -> dict[str, Any]:
    """What a page says that it needs."""
    wanted = names.split(", ")
    things = training() | {
        "train": trained,
        "config": {"lr": 0.3, "batch_size": 16, "warmup_steps": 0},
        "objective": lambda config: config["lr"],
        "runs": recorded() if "runs" in wanted else None,
    }
    return {name: things[name] for name in wanted}


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"diagnose": diagnose}
    for found in BLOCK.finditer(page.read_text()):
        mark, told, code = found.groups()
        if mark == "not run":
            continue
        if mark == "prepare":
            names |= prepared(told)
        line = page.read_text()[: found.start(3)].count("\n")
        exec(compile("\n" * line + code, str(page), "exec"), names)  # a failure tells its line on the page


def test_no_python_block_escapes_the_search():
    for page in PAGES:
        assert len(BLOCK.findall(page.read_text())) == page.read_text().count("```python"), page.name
