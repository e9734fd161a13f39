"""A diagnosis in TensorBoard's Text tab, in W&B and in MLflow. Run: python docs/examples/handed_on.py RUN

W&B writes to this machine alone here (offline), MLflow into a database in the folder that it is run in.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("WANDB_MODE", "offline")

import mlflow
import wandb

import diagnose
from diagnose.hooks.integrations import mlflow as to_mlflow
from diagnose.hooks.integrations import tensorboard as to_tensorboard
from diagnose.hooks.integrations import wandb as to_wandb

diagnosis = diagnose.examine(sys.argv[1])

to_tensorboard.write_diagnosis(sys.argv[1], diagnosis)

with wandb.init(project="clusters"):
    to_wandb.log_diagnosis(diagnosis)

mlflow.set_tracking_uri("sqlite:///mlflow.db")
with mlflow.start_run():
    to_mlflow.log_diagnosis(diagnosis)
