"""Kills: runs are ended at random moments, resumed, and compared with undisturbed ones.

A trial takes a method, a number of workers, a signal, whom it goes to, and a moment
between the start and the end of the run. Afterwards nothing of the run may live on,
no traceback may be shown, the store must be sound, and the same command must
complete it to the same bits as if nothing had happened.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.campaign.runs import (
    METHODS,
    begin,
    command,
    content,
    differences,
    end_of,
    left_of,
    make_inputs,
    partials,
    softlab,
)
from tests.campaign.trials import Trial, campaign
from tests.processes import in_session

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TARGETS = ("parent", "worker", "all")

BEFORE_SOFTLAB = "<frozen site>"
"""In a traceback of Python's own start, where nobody can handle signals yet."""


@dataclass(frozen=True)
class Kill:
    """A run, and how it is ended.

    Parameters
    ----------
    moment
        Seconds after its first file, where that is `in_work`, or after its start.
    """

    method: str
    workers: int
    number: signal.Signals
    target: str
    in_work: bool
    moment: float

    @classmethod
    def from_seed(cls, seed: int) -> Kill:
        """A kill that depends on the seed alone."""
        chance = random.Random(seed)
        method, workers = chance.choice(list(METHODS)), chance.choice([1, 2])
        in_work = chance.random() < 0.6
        moment = chance.uniform(0, 0.6) if in_work else chance.uniform(0.15, 4)
        return cls(method, workers, chance.choice(SIGNALS), chance.choice(TARGETS), in_work, moment)

    @property
    def kind(self) -> str:
        """As the table counts it."""
        return f"{self.number.name} to {self.target:<6} {self.workers} workers"


def try_kills(folder: Path, count: int, seed: int) -> Iterator[Trial]:
    """Trials with the seeds from one on."""
    make_inputs(folder)
    undisturbed: dict[str, dict[str, bytes]] = {}
    for number in range(seed, seed + count):
        kill = Kill.from_seed(number)
        if kill.method not in undisturbed:
            out = f"undisturbed-{kill.method}"
            status, printed = softlab(folder, command(kill.method, out, "--workers", "1"))
            assert status == 0, printed
            undisturbed[kill.method] = content(folder / out)
        fault = try_kill(folder, kill, undisturbed[kill.method])
        yield Trial(kill.kind, number, fault and f"{kill.method}: {fault}")


def try_kill(folder: Path, kill: Kill, expected: dict[str, bytes]) -> str:
    """What went wrong; empty when nothing did."""
    out = folder / "disturbed"
    shutil.rmtree(out, ignore_errors=True)
    arguments = command(kill.method, out.name, "--workers", str(kill.workers))
    process = begin(folder, arguments)
    try:
        wait(process, out, kill)
        send(process, kill)
        status, printed = end_of(process)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return "hangs"
    return (
        faults_of_end(process, kill, status, printed)
        or faults_of_store(folder, out, kill, status)
        or faults_of_resume(folder, out, arguments, expected)
    )


def wait(process: subprocess.Popen[str], out: Path, kill: Kill) -> None:
    """Until the moment of the kill."""
    until = time.monotonic() + 60
    while kill.in_work and process.poll() is None and time.monotonic() < until:
        if out.is_dir() and any("partial" in path.name for path in out.iterdir()):
            break
        time.sleep(0.003)
    with suppress(subprocess.TimeoutExpired):
        process.wait(kill.moment)


def send(process: subprocess.Popen[str], kill: Kill) -> None:
    """Send the signal; a run that is over is spared."""
    with suppress(ProcessLookupError):
        if kill.target == "all":
            os.killpg(process.pid, kill.number)
            return
        workers = sorted(p for p in in_session(process.pid) if p != process.pid)
        if kill.target == "worker" and workers:
            os.kill(workers[-1], kill.number)
        elif kill.target == "parent" and process.poll() is None:
            os.kill(process.pid, kill.number)


def faults_of_end(process: subprocess.Popen[str], kill: Kill, status: int, printed: str) -> str:
    """What is wrong with how the command ended."""
    left = left_of(process)
    if left:
        os.killpg(process.pid, signal.SIGKILL)
        return f"{len(left)} processes live on"
    if "Traceback" in printed and BEFORE_SOFTLAB not in printed:
        return f"a traceback: {printed[-2000:]}"
    allowed = {0, 1} if kill.target == "worker" else {0, -kill.number, 128 + kill.number}
    if status not in allowed and BEFORE_SOFTLAB not in printed:
        return f"exit status {status}: {printed[-500:]}"
    return ""


def faults_of_store(folder: Path, out: Path, kill: Kill, status: int) -> str:
    """What is wrong with what the run left."""
    if not (out / "zarr.json").exists():
        return ""
    cleaned = kill.number != signal.SIGKILL or status >= 0
    if cleaned and partials(out):
        return f"left {partials(out)}"
    checked, printed = softlab(folder, ["verify", out.name, "--no-sources"])
    return "" if checked == 0 else f"verify: {printed[-500:]}"


def faults_of_resume(
    folder: Path, out: Path, arguments: Sequence[str], expected: dict[str, bytes]
) -> str:
    """What is wrong when the same command runs again."""
    status, printed = softlab(folder, arguments)
    if status != 0:
        return f"resume: exit status {status}: {printed[-500:]}"
    if partials(out):
        return f"resume left {partials(out)}"
    differing = differences(content(out), expected)
    return f"differs from an undisturbed run: {differing}" if differing else ""


def main(arguments: Sequence[str]) -> int:
    """Run the campaign."""
    return campaign(arguments, try_kills, name="kills", count=200)
