"""The Dask executor, on a cluster inside this process."""

from __future__ import annotations

import pytest
from distributed import LocalCluster

import softlab_cli
from softlab_cli.core.errors import EngineError
from softlab_cli.running.executors import DaskExecutor, WorkerDied


def halve(x: int) -> float:
    if x == 3:
        raise ValueError("three")
    return x / 2


@pytest.fixture
def address():
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def test_every_task_ends(address) -> None:
    results = dict(DaskExecutor(address).run(halve, range(5)))
    assert isinstance(results.pop(3), WorkerDied)
    assert results == {0: 0.0, 1: 0.5, 2: 1.0, 4: 2.0}


def test_a_run(softlab, labels, tmp_path, address) -> None:
    out = tmp_path / "soft.zarr"
    done = softlab("svls", "--in", labels, "--out", out, "--dask", address)
    assert done.exit_code == 0, done.output
    assert len(softlab_cli.open_store(out)) == 3


def test_no_scheduler_answers(monkeypatch) -> None:
    monkeypatch.setattr("softlab_cli.running.executors.DASK_TIMEOUT", "1s")
    with pytest.raises(EngineError, match="no Dask scheduler answers"):
        list(DaskExecutor("tcp://127.0.0.1:9").run(halve, [1]))
