"""``softlab evaluate --dask``, on a cluster inside this process."""

from __future__ import annotations

from distributed import LocalCluster

from tests.soft_support import save, shares
from tests.test_evaluate import done


def test_dask_finds_the_same(softlab, tmp_path) -> None:
    for place, name in enumerate(("c1", "c2")):
        save(tmp_path / "pred" / f"{name}.nii.gz", shares(3, place))
        save(tmp_path / "ref" / f"{name}.nii.gz", shares(3, place + 5).argmax(axis=0).astype("u1"))
    command = ["evaluate", "--pred", tmp_path / "pred", "--ref", tmp_path / "ref", "--background",
               "first", "--labels", "0-2", "--no-temperature", "--thumbnails", 1]  # fmt: skip
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        done(softlab(*command, "--dask", cluster.scheduler_address, "--out", tmp_path / "dask"))
    done(softlab(*command, "--workers", 1, "--out", tmp_path / "here"))
    for name in ("cases.csv", "summary.json"):
        assert (tmp_path / "dask" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert (tmp_path / "dask" / "report.html").exists()
