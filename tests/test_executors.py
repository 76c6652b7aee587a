"""Executors: every task ends, in spite of those that take their process with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from softlab_cli.core.threads import ordered_map
from softlab_cli.running.executors import (
    ProcessExecutor,
    SerialExecutor,
    WorkerDied,
    make_executor,
)


def square(x: int) -> int:
    return x * x


def die_at_three(x: int) -> int:
    if x == 3:
        os._exit(9)
    return x * x


@pytest.mark.parametrize("executor", [SerialExecutor(), ProcessExecutor(2)])
def test_every_task_ends(executor) -> None:
    assert sorted(executor.run(square, range(5))) == [(x, x * x) for x in range(5)]


def test_a_worker_that_dies_spoils_only_its_own_task() -> None:
    results = dict(ProcessExecutor(2).run(die_at_three, range(7)))
    died = results.pop(3)
    assert isinstance(died, WorkerDied)
    assert "killed" in died.reason
    assert results == {x: x * x for x in range(7) if x != 3}


def test_choice_of_executor() -> None:
    assert isinstance(make_executor(1), SerialExecutor)
    assert make_executor(3) == ProcessExecutor(3)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_ordered_map_keeps_the_order(threads: int) -> None:
    def slow_first(x: int) -> int:
        time.sleep(0.01 if x == 0 else 0)
        return x

    assert list(ordered_map(slow_first, range(20), threads)) == list(range(20))


def test_ordered_map_bounds_the_work_in_flight() -> None:
    started = 0
    lock = threading.Lock()

    def count(x: int) -> int:
        nonlocal started
        with lock:
            started += 1
        return x

    results = ordered_map(count, range(1000), threads=3)
    next(results)
    time.sleep(0.05)
    assert started <= 7


def linger(task: tuple[int, Path]) -> None:
    """Wait to be interrupted, and clean up; number 0 has nothing to do."""
    number, folder = task
    if number == 0:
        return
    (folder / f"begun-{number}").touch()
    try:
        time.sleep(60)
    finally:
        time.sleep(0.3)
        (folder / f"ended-{number}").touch()


def run_until_interrupted(folder: str) -> None:
    """Two tasks that linger, and a worker that is idle; exits 7 when it is interrupted."""
    with suppress(KeyboardInterrupt):
        list(ProcessExecutor(3).run(linger, [(i, Path(folder)) for i in range(3)]))
        sys.exit(0)
    sys.exit(7)


def test_an_interrupt_lets_workers_clean_up_and_prints_nothing(tmp_path: Path) -> None:
    code = f"from tests.test_executors import run_until_interrupted as run; run({str(tmp_path)!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, start_new_session=True
    )
    for _ in range(3000):
        if len(list(tmp_path.glob("begun-*"))) == 2:
            break
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it, to workers as well
    errors = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 7
    assert len(list(tmp_path.glob("ended-*"))) == 2
    assert "Traceback" not in errors
