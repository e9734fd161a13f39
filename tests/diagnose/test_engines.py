"""Scans on real clusters of two workers find what a scan on this machine finds."""

from __future__ import annotations

import numpy as np
import pytest
from distributed import Client, LocalCluster

from diagnose.errors import InvalidArgumentError
from diagnose.logs.writing import EventFile
from diagnose.scanning import runs_below, scan


@pytest.fixture
def paths(tmp_path):
    for number in range(6):
        losses = np.geomspace(2, 1e6 if number % 2 else 0.1, 200)
        with EventFile(tmp_path / str(number)) as file:
            for step, loss in enumerate(losses, 1):
                file.write_step(step, 1.7e9 + step, [("loss/train", loss)], {})
    return runs_below(str(tmp_path))


def found(paths, engine):
    return sorted(scan(paths, None, engine=engine), key=lambda verdict: verdict.run)


@pytest.mark.slow  # a cluster of processes
def test_on_dask(paths):
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster):
        assert found(paths, "dask") == found(paths, "local")


@pytest.mark.slow  # the better part of a minute for Ray to start
def test_on_ray(paths):
    import ray

    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False)
    try:
        assert found(paths, "ray") == found(paths, "local")
    finally:
        ray.shutdown()


def test_without_a_cluster_it_is_said(paths, monkeypatch):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    with pytest.raises(InvalidArgumentError, match="no cluster to work on"):
        list(scan(paths, None, engine="dask"))


def test_a_dask_cluster_is_found_by_its_address(paths, monkeypatch):
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
        assert len(found(paths[:2], "dask")) == 2
        Client.current().close()
