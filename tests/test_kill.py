"""A kill at any moment leaves a sound store that the same command completes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest

import softlab_cli
from tests.conftest import blobs, write_image


@pytest.mark.parametrize("workers", [1, 2])
def test_kill_and_resume(softlab, tmp_path, workers) -> None:
    folder, out = tmp_path / "labels", tmp_path / "soft.zarr"
    arrays = {f"case{i}": blobs((70, 80, 90), 6, seed=i) for i in range(6)}
    for name, array in arrays.items():
        write_image(folder / f"{name}.nii.gz", array)
    command = [sys.executable, "-m", "softlab_cli", "svls", "--in", folder, "--out", out]
    command += ["--labels", "0-5", "--workers", str(workers)]
    chance = random.Random(workers)
    for _ in range(4):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_for_output(out, process)
        time.sleep(chance.uniform(0, 0.15))
        with suppress(ProcessLookupError):  # it may have finished by now
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        checked = softlab("verify", out)
        assert checked.exit_code == 0, checked.output
        for partial in out.glob("*.partial-*"):
            assert partial.name in checked.output
    done = softlab("svls", "--in", folder, "--out", out, "--labels", "0-5")
    assert done.exit_code == 0, done.output
    store = softlab_cli.open_store(out)
    assert list(store) == sorted(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(store[name].read(), softlab_cli.svls(array))
    assert not list(out.glob("*.partial-*"))


def files_below(folder) -> set[str]:
    """Paths of all files; folders may vanish meanwhile."""
    return {os.path.join(place, name) for place, _, names in os.walk(folder) for name in names}


def wait_for_output(out, process) -> None:
    """Until something lies in the store; a run that is already over is as good."""
    before = files_below(out)
    for _ in range(2000):
        if process.poll() is not None or files_below(out) - before:
            return
        time.sleep(0.01)
    raise AssertionError("the run wrote nothing")
