"""Executors: every task ends, in spite of those that take their process with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from softlab_cli.core.ending import Ended, end_on_signals, ended_behind
from softlab_cli.core.errors import InputError
from softlab_cli.core.threads import ordered_map
from softlab_cli.running import executors, workers
from softlab_cli.running.executors import (
    ProcessExecutor,
    SerialExecutor,
    WorkerDied,
    call_apart,
    make_executor,
)
from softlab_cli.running.workers import Answer, Worker
from tests.processes import is_running


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
    assert "status 9" in died.reason
    assert results == {x: x * x for x in range(7) if x != 3}


def test_choice_of_executor() -> None:
    assert isinstance(make_executor(1), SerialExecutor)
    assert make_executor(1, isolated=True) == ProcessExecutor(1)
    assert make_executor(1, seconds=5) == ProcessExecutor(1, 5)
    assert make_executor(3) == ProcessExecutor(3)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_ordered_map_keeps_the_order(threads: int) -> None:
    def slow_first(x: int) -> int:
        time.sleep(0.01 if x == 0 else 0)
        return x

    assert list(ordered_map(slow_first, range(20), threads)) == list(range(20))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_ordered_map_works_in_as_many_threads(threads: int) -> None:
    together = threading.Barrier(threads)

    def meet(x: int) -> int:
        together.wait(timeout=20)  # ends only when as many are at work at once
        return threading.get_ident()

    used = set(ordered_map(meet, range(3 * threads), threads))
    assert len(used) == threads
    assert threading.get_ident() in used


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 40])
def test_ordered_map_ends_with_the_items(threads: int, count: int) -> None:
    assert list(ordered_map(square, iter(range(count)), threads)) == [x * x for x in range(count)]


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("where", ["function", "items"])
def test_ordered_map_raises_in_order(threads: int, where: str) -> None:
    def items() -> Iterator[int]:
        for x in range(20):
            if where == "items" and x == 7:
                raise ValueError(x)
            yield x

    def fail_at_seven(x: int) -> int:
        time.sleep(0.002 if x < 7 else 0)
        if x in (7, 8):
            raise ValueError(x)
        return x

    before = threading.active_count()
    results = ordered_map(fail_at_seven, items(), threads)
    assert list(islice(results, 7)) == list(range(7))
    with pytest.raises(ValueError, match="7"):
        next(results)
    assert threading.active_count() == before


def test_ordered_map_raises_what_ends_a_thread_alone() -> None:
    together = threading.Barrier(2)

    def end_the_other(x: int) -> int:
        if x < 2:
            together.wait(timeout=20)
        if threading.current_thread() is not threading.main_thread():
            raise SystemExit(x)
        return x

    with pytest.raises(SystemExit):
        list(ordered_map(end_the_other, range(2), 2))


@pytest.mark.parametrize("threads", [2, 5])
def test_ordered_map_ends_its_threads_when_it_is_left(threads: int) -> None:
    before, done = threading.active_count(), []
    results = ordered_map(done.append, range(1000), threads)
    next(results)
    results.close()
    assert threading.active_count() == before
    assert len(done) < 100


def test_ordered_map_keeps_no_process_that_ends_in_its_midst() -> None:
    code = (
        "from softlab_cli.core.threads import ordered_map\n"
        "results = ordered_map(abs, range(1000), 3)\n"
        "print(next(results) + 1 / 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    )
    assert done.stderr.endswith(b"ZeroDivisionError: division by zero\n")


INTERRUPTED_OFTEN = """
import random, signal
from softlab_cli.core.ending import Ended
from softlab_cli.core.threads import ordered_map

def end(number, frame):
    raise Ended(number)

signal.signal(signal.SIGALRM, end)
moments = random.Random(0)
for _ in range(600):
    try:
        signal.setitimer(signal.ITIMER_REAL, moments.uniform(5e-5, 3e-3))
        for _ in ordered_map(abs, range(2000), 2):
            pass
        signal.setitimer(signal.ITIMER_REAL, 0)
    except (Ended, RuntimeError):  # the latter where a lock has been lost in the midst of waiting
        pass
"""


def test_ordered_map_ends_whenever_a_signal_comes() -> None:
    subprocess.run([sys.executable, "-c", INTERRUPTED_OFTEN], timeout=60, check=True)


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


def end_by_signal(number: int) -> int:
    """End this process by a signal; 0 ends nothing."""
    if number:
        os.kill(os.getpid(), number)
        time.sleep(60)
    return number


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGSEGV, "crashed (segmentation fault)"),
        (signal.SIGKILL, "killed from outside, most likely for want of memory. Lower --workers"),
        (signal.SIGTERM, "asked to end (SIGTERM)"),
    ],
)
def test_how_a_worker_ended_is_said(number: int, words: str) -> None:
    results = dict(ProcessExecutor(1).run(end_by_signal, [0, number]))
    assert results[0] == 0
    assert words in results[number].reason


def test_the_system_is_named_when_it_kills_for_memory(monkeypatch) -> None:
    counts = iter([3, 4])
    monkeypatch.setattr(workers, "kills_for_memory", lambda: next(counts))
    ((_, died),) = ProcessExecutor(1).run(end_by_signal, [signal.SIGKILL])
    assert "killed by the system for want of memory" in died.reason


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def hang(seconds: float) -> float:
    """Wait deaf to all signals but SIGKILL, as a decoder in an endless loop is."""
    if seconds:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    return sleep(seconds)


@pytest.mark.parametrize("function", [sleep, hang])
def test_a_task_that_takes_too_long_is_given_up(function, monkeypatch) -> None:
    monkeypatch.setattr(executors, "CLEANING_SECONDS", 0.5)
    results = dict(ProcessExecutor(2, seconds=3).run(function, [0, 60]))
    assert results[0] == 0
    assert "was not done after 3 seconds" in results[60].reason


def fail(task: int) -> int:
    raise ValueError(f"task {task}")


def unpicklable(task: int) -> object:
    return lambda: task


def test_errors_of_tasks_are_raised_where_they_are_run() -> None:
    with pytest.raises(ValueError, match="task 5"):
        list(ProcessExecutor(1).run(fail, [5]))
    with pytest.raises(RuntimeError, match="pickle"):
        list(ProcessExecutor(1).run(unpicklable, [5]))


SCRIPT = """
from softlab_cli.running.executors import ProcessExecutor

class Doubled:
    def __init__(self, x):
        self.twice = 2 * x

def double(x):
    return Doubled(x)

def run(function, tasks):
    return [result for _, result in ProcessExecutor(1).run(function, tasks)]
"""


def run_script(tmp_path: Path, *lines: str) -> str:
    (tmp_path / "script.py").write_text("\n".join([SCRIPT, *lines]))
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    return done.stdout + done.stderr


def test_a_script_needs_no_guard_unless_tasks_come_from_it(tmp_path: Path) -> None:
    assert run_script(tmp_path, "print(run(abs, [-5]))") == "[5]\n"
    guarded = 'if __name__ == "__main__": print(run(double, [21])[0].twice)'
    assert run_script(tmp_path, guarded) == "42\n"
    assert "Call softlab below `if __name__" in run_script(tmp_path, "run(double, [21])")


def test_a_file_in_the_current_folder_hides_no_module(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit(99)")
    monkeypatch.chdir(tmp_path)
    assert list(ProcessExecutor(1).run(square, [3])) == [(3, 9)]


def test_workers_are_kept_for_the_next_stage() -> None:
    ((_, first),) = ProcessExecutor(1, keep=True).run(process_of, [0])
    ((_, second),) = ProcessExecutor(1).run(process_of, [0])
    assert first == second
    assert not is_running(first)


def process_of(_: int) -> int:
    return os.getpid()


def test_a_call_apart(monkeypatch) -> None:
    assert call_apart(max, 3, 5) == 5
    with pytest.raises(InputError, match="crashed"):
        call_apart(end_by_signal, signal.SIGSEGV)
    assert call_apart(max, 3, 5) == 5


def test_a_worker_that_ended_before_it_began_costs_nothing(monkeypatch) -> None:
    give = workers.Worker.give
    spoiled = []

    def give_to_the_dead(worker: workers.Worker, function, task) -> None:
        if not spoiled:
            spoiled.append(worker)
            os.kill(worker._process.pid, signal.SIGTERM)  # blocked until it can handle it
            worker._process.wait()
        give(worker, function, task)

    monkeypatch.setattr(workers.Worker, "give", give_to_the_dead)
    assert dict(ProcessExecutor(1).run(square, [2, 3])) == {2: 4, 3: 9}


def linger(task: tuple[int, Path]) -> None:
    """Wait to be interrupted, and clean up; number 0 has nothing to do."""
    number, folder = task
    if number == 0:
        return
    try:  # before anybody can see that it has begun, and interrupt it
        (folder / f"begun-{number}").write_text(str(os.getpid()))
        time.sleep(60)
    finally:
        time.sleep(0.3)
        (folder / f"ended-{number}").touch()


def run_until_interrupted(folder: str) -> None:
    """Two tasks that linger, and a worker that is idle."""
    with end_on_signals():
        list(ProcessExecutor(3).run(linger, [(i, Path(folder)) for i in range(3)]))


def interrupt(folder: Path, number: int, *, group: bool) -> tuple[int, str]:
    """Exit status and errors of a run that a signal ends, sent to it alone or to all of it."""
    code = f"from tests.test_executors import run_until_interrupted as run; run({str(folder)!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, start_new_session=True
    )
    for _ in range(3000):
        if len([f for f in folder.glob("begun-*") if f.read_text()]) == 2:
            break
        time.sleep(0.01)
    (os.killpg if group else os.kill)(process.pid, number)
    errors = process.communicate(timeout=60)[1].decode()
    return process.returncode, errors


def still_running(folder: Path) -> list[int]:
    """Workers that live on after a moment."""
    running = [int(f.read_text()) for f in folder.glob("begun-*")]
    for _ in range(300):
        running = [process for process in running if is_running(process)]
        if not running:
            break
        time.sleep(0.01)
    return running


@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_lets_workers_clean_up(tmp_path: Path, number: int, group: bool) -> None:
    status, errors = interrupt(tmp_path, number, group=group)
    assert status == 128 + number
    assert len(list(tmp_path.glob("ended-*"))) == 2
    assert errors == f"interrupted by {number.name}: what is finished is kept\n"
    assert not still_running(tmp_path)


@pytest.mark.parametrize("by_kernel", [False, True])
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path, by_kernel, monkeypatch) -> None:
    if not by_kernel:  # as where Linux is not asked, or it is not Linux
        monkeypatch.setenv("PYTHONPATH", without_kernel(tmp_path))
    status, _ = interrupt(tmp_path, signal.SIGKILL, group=False)
    assert status == -signal.SIGKILL
    assert not still_running(tmp_path)


def without_kernel(folder: Path) -> str:
    """A path on which every Python finds another platform."""
    (folder / "site").mkdir()
    code = "import sys\nsys.platform = 'elsewhere'\n"
    (folder / "site" / "sitecustomize.py").write_text(code)
    return os.pathsep.join([str(folder / "site"), os.environ.get("PYTHONPATH", "")])


def test_a_kept_worker_works_where_the_run_is(tmp_path, monkeypatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert dict(ProcessExecutor(1, keep=True).run(here, [0])) == {0: str(tmp_path / name)}


def test_a_worker_does_without_a_folder_that_is_gone(tmp_path, monkeypatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert dict(ProcessExecutor(1, seconds=60).run(square, [3])) == {3: 9}


def here(_: int) -> str:
    return str(Path.cwd())


def test_a_worker_ignores_the_signals_that_its_parent_does(monkeypatch) -> None:
    """As under nohup, or of a command that a script has put into the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        worker = Worker()
        worker.give(signal.getsignal, signal.SIGINT)
        assert worker.answer() == Answer(signal.SIG_IGN)
        worker.dismiss()
    finally:
        signal.signal(signal.SIGINT, before)


class Interrupted:
    """A signal comes while a class is made."""

    def __set_name__(self, owner: type, name: str) -> None:
        raise Ended(signal.SIGINT)


def test_a_signal_while_a_class_is_made_is_no_error() -> None:
    with pytest.raises(RuntimeError) as caught:
        type("Made", (), {"field": Interrupted()})
    ended = ended_behind(caught.value)
    assert ended is not None
    assert ended.code == 130
    assert ended_behind(ended) is ended
    assert ended_behind(KeyError("x")) is None
