"""Places: disks that are full, folders that cannot be written, users without a home.

Each must end in one line that says what is wrong, or work; and where there is space
again, the same command must complete the store. Some need root, to be someone else
or to make a small disk, and are left out without.
"""

from __future__ import annotations

import functools
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.campaign.runs import (
    METHODS,
    command,
    content,
    differences,
    make_inputs,
    partials,
    softlab,
)
from tests.campaign.trials import Trial, campaign

ROOT = Path(__file__).parents[2]
NOBODY = 65534
BECOME_NOBODY = f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"


def small_files(folder: Path, method: str, chance: random.Random) -> str:
    """No file may grow beyond a limit, as on a full disk; then the limit is lifted."""
    limit = chance.randrange(500, 12000)
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        "from softlab_cli.__main__ import main; main()"
    )
    arguments = command(method, "out", "--workers", str(chance.choice([1, 2])))
    status, printed = python(folder, ["-c", code, *arguments])
    return bad_words(status, printed) or resumed(folder, arguments, folder / "out", method)


def small_disk(folder: Path, method: str, chance: random.Random) -> str:
    """A disk that is too small; then a larger one."""
    with disk(folder / "disk", chance.randrange(16, 120)) as enlarge:
        arguments = command(method, "disk/out", "--workers", str(chance.choice([1, 2])))
        status, printed = softlab(folder, arguments)
        fault = bad_words(status, printed)
        enlarge()
        return fault or resumed(folder, arguments, folder / "disk" / "out", method)


@contextmanager
def disk(place: Path, kilobytes: int) -> Iterator[Callable[[], object]]:
    """A small disk in memory; yields what makes it larger."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o"]
    subprocess.run([*mount, f"size={kilobytes}k", "tmpfs", place], check=True)
    try:
        yield lambda: subprocess.run([*mount, "remount,size=64m", "tmpfs", place], check=True)
    finally:
        subprocess.run(["umount", place], check=True)


def read_only_target(folder: Path, method: str, chance: random.Random) -> str:
    """A folder that nobody may write into."""
    (folder / "locked").mkdir(mode=0o555, exist_ok=True)
    status, printed = as_nobody(folder, command(method, "locked/out"))
    if status != 1 or "locked" not in printed:
        return f"exit status {status}: {printed}"
    return bad_words(status, printed)


def nobody_at_home(folder: Path, method: str, chance: random.Random) -> str:
    """A user without a home, who may write nothing but the output."""
    cache = chance.choice(["", "/proc/none"])
    for name in ("open", "temporary"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(0o777)
    more = {"TMPDIR": str(folder / "temporary"), **({"NUMBA_CACHE_DIR": cache} if cache else {})}
    shutil.rmtree(folder / "open" / "out", ignore_errors=True)
    arguments = command(method, "open/out", "--workers", str(chance.choice([1, 2])))
    status, printed = as_nobody(folder, arguments, **more)
    if status:
        return f"exit status {status}: {printed[-1500:]}"
    return differences(content(folder / "open" / "out"), expected(folder, method))


KINDS: dict[str, Callable[[Path, str, random.Random], str]] = {"small files": small_files}
AS_ROOT = {"small disk": small_disk}
AS_NOBODY = {"read-only target": read_only_target, "nobody at home": nobody_at_home}


def python(
    folder: Path, arguments: Sequence[str], interpreter: str = sys.executable, **more: str
) -> tuple[int, str]:
    """Run Python with these arguments."""
    packages = [str(ROOT), *(p for p in sys.path if "site-packages" in p)]
    path = os.pathsep.join(packages)
    done = subprocess.run(
        [interpreter, *arguments], cwd=folder, capture_output=True, text=True, timeout=600,
        env={**os.environ, "PYTHONPATH": path, **more},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def as_nobody(folder: Path, arguments: Sequence[str], **more: str) -> tuple[int, str]:
    """Run a command as a user without rights."""
    code = f"{BECOME_NOBODY}; from softlab_cli.__main__ import main; main()"
    home = {"HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    interpreter = interpreter_for_all(folder) or ""
    return python(folder, ["-c", code, *arguments], interpreter, **home, **more)


@functools.cache
def interpreter_for_all(folder: Path) -> str | None:
    """A Python that others than root may run: ours may lie in root's home."""
    code = f"{BECOME_NOBODY}; import decimal, numba, numpy"
    for found in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        if Path(found).exists() and python(folder, ["-c", code], found)[0] == 0:
            return found
    return None


def bad_words(status: int, printed: str) -> str:
    """What is wrong with what was said: a traceback, or a failure that is not explained."""
    if "Traceback" in printed or "unforeseen" in printed:
        return printed[-1500:]
    explained = "cannot be written" in printed or "cannot be made" in printed
    return "" if status == 0 or explained else f"exit status {status}: {printed[-1500:]}"


def resumed(folder: Path, arguments: Sequence[str], out: Path, method: str) -> str:
    """What is wrong when the same command runs with all the space it needs."""
    status, printed = softlab(folder, arguments)
    if status:
        return f"resume: exit status {status}: {printed[-1500:]}"
    differing = differences(content(out), expected(folder, method))
    return differing or ", ".join(partials(out))


def expected(folder: Path, method: str) -> dict[str, bytes]:
    """What an undisturbed run makes."""
    out = folder / f"alone-{method}"
    if not out.exists():
        softlab(folder, command(method, out.name))
    return content(out)


def try_places(folder: Path, count: int, seed: int) -> Iterator[Trial]:
    """Trials with the seeds from one on."""
    folder.chmod(0o755)
    make_inputs(folder)
    kinds = dict(KINDS)
    if os.geteuid() == 0:
        kinds |= AS_ROOT | (AS_NOBODY if interpreter_for_all(folder) else {})
    for number in range(seed, seed + count):
        chance = random.Random(number)
        kind, method = chance.choice(list(kinds)), chance.choice(list(METHODS))
        shutil.rmtree(folder / "out", ignore_errors=True)
        fault = kinds[kind](folder, method, chance)
        yield Trial(kind, number, fault and f"{method}: {fault}")


def main(arguments: Sequence[str]) -> int:
    """Run the campaign."""
    return campaign(arguments, try_places, name="places", count=40)
