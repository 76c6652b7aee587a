"""Runs programs one at a time and takes the operating system's figures of them.

This process must stay small: on Linux a child's peak memory starts at what its
parent occupied when it was started. So nothing large is imported here.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

__all__ = ["Job", "Result", "alternate", "facts_of", "held_mib", "most_held_mib", "run_job"]

ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
        "ZARR_THREADING__MAX_WORKERS",
    )
}
TORCHVISION_ON_CPU = Path(__file__).parents[2] / "examples" / "nnunet" / "torchvision_on_cpu"

# Linux counts in KiB, macOS in bytes.
MIB_PER_MAXRSS = 1 / 2**20 if sys.platform == "darwin" else 1 / 2**10


@dataclass(frozen=True)
class Job:
    """A program to measure.

    Parameters
    ----------
    name
        How the tables call it.
    command
        What to start.
    out
        What it writes; removed before each run.
    log
        Where softlab writes its events (``--log-json``); the time of its last case is that
        of the job alone.
    warm
        The same job done twice in one process. Its last case, when everything is imported
        and compiled, gives the time of the job alone in place of this job's own.
    one_core
        Pin it, with all its threads, to one core.
    whole
        It does the whole job, file to store. If not, only the part that it
        timed itself is of interest.
    has_torchvision
        It imports torchvision, which beside a CPU build of PyTorch needs help.
    """

    name: str
    command: Sequence[str]
    out: Path | None = None
    log: Path | None = None
    warm: Job | None = None
    one_core: bool = True
    whole: bool = True
    has_torchvision: bool = False

    def environment(self) -> dict[str, str]:
        """What the program finds in its environment."""
        found = {**os.environ, **(ONE_THREAD if self.one_core else {})}
        found.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled, so are we
        if self.has_torchvision:
            paths = [TORCHVISION_ON_CPU, *filter(None, [found.get("PYTHONPATH")])]
            found["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        return found


@dataclass
class Result:
    """Figures of one job over its runs.

    Parameters
    ----------
    job
        What was run.
    process_s
        Seconds from start to end of the process, one for each run.
    job_s
        Seconds without the interpreter's start and the imports, as the program
        reports them; empty when it does not.
    cpu_s
        Seconds that the process had a processor.
    cpu_share
        Part of its time that the process had a processor; far below 1, others kept it busy.
    peak_mib
        Largest resident memory of the process (of the largest, if several).
    store_mib
        Size of what it wrote.
    share
        Part of the work that was done; below 1 the times and the size are extrapolated.
    facts
        What the program said of itself in its last run.
    """

    job: Job
    process_s: list[float] = field(default_factory=list)
    job_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    cpu_share: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)
    store_mib: float = 0.0
    share: float = 1.0
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, other: Result) -> None:
        """Add the runs of another result of the same job."""
        for what in ("process_s", "job_s", "cpu_s", "cpu_share", "peak_mib"):
            getattr(self, what).extend(getattr(other, what))
        self.store_mib = other.store_mib

    def median(self, what: str) -> float | None:
        """Median of a list of figures by its name; None when there is none."""
        figures = getattr(self, what)
        return statistics.median(figures) if figures else None

    def spread(self, what: str) -> float | None:
        """The largest of a list of figures over the smallest; None of fewer than two."""
        figures = getattr(self, what)
        return max(figures) / min(figures) if len(figures) > 1 else None


def alternate(jobs: Sequence[Job], repeats: int, *, warm_up: bool = True) -> list[Result]:
    """Run A B A B, after one round that does not count (unless there is one only).

    Programs that do something tiny before their own clock starts need no such round.
    """
    results = [Result(job) for job in jobs]
    if warm_up and repeats > 1:
        for job in jobs:
            run_job(Result(job))
    for _ in range(repeats):
        for result in results:
            run_job(result)
    return results


def run_job(result: Result) -> None:
    """Run a job once more and add the figures."""
    job = result.job
    run = _run_process(job)
    result.share = run.facts.get("share", 1.0)
    result.facts = run.facts
    result.peak_mib.append(run.peak_mib)
    result.cpu_s.append(run.cpu_s)
    result.cpu_share.append(run.cpu_s / run.seconds)
    if job.whole:
        result.process_s.append(run.seconds + run.facts.get("left_out_s", 0.0))
    facts = facts_of(job.warm) if job.warm else run.facts
    if "job_s" in facts:
        result.job_s.append(facts["job_s"])
    if job.out:
        result.store_mib = _size(job.out) / 2**20 / result.share


def facts_of(job: Job) -> dict[str, Any]:
    """Run a program for what it says about itself, not for its own figures."""
    return _run_process(job).facts


@dataclass(frozen=True)
class _Run:
    facts: dict[str, Any]
    seconds: float
    cpu_s: float
    peak_mib: float


def _run_process(job: Job) -> _Run:
    for path in filter(None, (job.out, job.log)):
        _remove(path)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        process = subprocess.Popen(
            job.command,
            stdout=out,
            stderr=err,
            env=job.environment(),
            preexec_fn=_pin if job.one_core else None,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output = _text(out)
        if process.returncode:
            raise SystemExit(
                f"{' '.join(job.command)}\nended with exit status {process.returncode}:\n"
                f"{output}{_text(err)}"
            )
    cpu_s = usage.ru_utime + usage.ru_stime
    return _Run(_facts(job, output), seconds, cpu_s, usage.ru_maxrss * MIB_PER_MAXRSS)


def _pin() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _facts(job: Job, output: str) -> dict[str, Any]:
    """What a program says about itself: softlab's events, or a peer's last line."""
    if job.log:
        events = [json.loads(line) for line in job.log.read_text().splitlines()]
        seconds = [e["seconds"] for e in events if e["event"] == "CaseFinished"]
        return {"job_s": seconds[-1]} if seconds else {}
    last = output.strip().rsplit("\n", 1)[-1]
    return dict(json.loads(last)) if last.startswith("{") else {}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def held_mib() -> float | None:
    """What this process holds; from here on, the most that it holds is counted anew."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def most_held_mib() -> float:
    """The most that this process has held since `held_mib` was called."""
    return _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name))
