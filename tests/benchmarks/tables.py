"""What is compared with what, and how often it is run."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from .calibration import calibration_tools
from .geodesic import geodesic_engines
from .geols import whole_geols
from .inputs import INPUTS, RATERS, ROOT
from .learned import folds
from .measure import Job, Result, alternate, facts_of, run_job
from .report import comparison, number, show_command, table
from .surfaces import large_surfaces, surface_metrics

__all__ = ["TABLES", "Table"]

OUT = ROOT / "out"
QUIET = 0.85
"""Share of its time that an undisturbed program has the processor."""
ALONE = ("--workers", "1", "--threads", "1")
PYTHON = sys.executable
SOFTLAB = str(Path(PYTHON).with_name("softlab"))

TITLES = {
    "torch": "torch conv3d on one-hot, then zarr-python with its defaults (the SVLS paper's way)",
    "convolve": "scipy.ndimage.convolve by class, then zarr-python with our layout",
    "gaussian": "scipy.ndimage.gaussian_filter by class, then zarr-python with our layout",
    "write-only": "only writing: zarr-python, the finished array, our layout",
    "floor": "floor: sha256, inflate, zstd of both arrays' chunks as in our store, plain files",
}


@dataclass(frozen=True)
class Plan:
    """How often a peer is run on an input.

    Parameters
    ----------
    peer
        Name of the peer.
    repeats
        Runs that count; 1 means one run in all.
    every
        Do one box in `every` and extrapolate.
    """

    peer: str
    repeats: int
    every: int = 1


@dataclass(frozen=True)
class Table:
    """One section of the report.

    Parameters
    ----------
    inputs
        Names of the inputs that it needs.
    make
        Runs everything; takes whether to be quick, and returns Markdown.
    in_quick
        Whether a quick run has it.
    """

    inputs: tuple[str, ...]
    make: Callable[[bool], str]
    in_quick: bool = True


# ---- softlab and the peers, file to store ----------------------------------------------------

PLANS = {
    "aal-5": [Plan(peer, 5) for peer in TITLES],
    "aal-117": [Plan("torch", 1), Plan("convolve", 1), Plan("gaussian", 2),
                Plan("write-only", 3), Plan("floor", 5)],
    "large-5": [Plan("torch", 1), Plan("convolve", 1), Plan("gaussian", 2),
                Plan("write-only", 3), Plan("floor", 3)],
    "large-117": [Plan("torch", 1, every=16), Plan("convolve", 1, every=16),
                  Plan("gaussian", 1, every=16), Plan("write-only", 1, every=8),
                  Plan("floor", 1, every=4)],
}  # fmt: skip
QUICK_PLANS = {
    "aal-5": [Plan(peer, 2) for peer in TITLES],
    "aal-117": [Plan("torch", 1), Plan("gaussian", 1), Plan("write-only", 1), Plan("floor", 1)],
}


def softlab_job(name: str, *options: str, label: str = "softlab", one_core: bool = True) -> Job:
    """``softlab svls`` on an input, with the label values given as every peer has them."""
    out, log = OUT / f"softlab-{name}.zarr", OUT / f"softlab-{name}.jsonl"
    labels = f"0-{INPUTS[name].classes - 1}"
    command = [
        SOFTLAB, "svls", "--in", str(INPUTS[name].folder), "--out", str(out), "--labels", labels,
        "--no-progress", "--log-json", str(log), *(options or ALONE),
    ]  # fmt: skip
    return Job(label, command, out=out, log=log, one_core=one_core)


def softlab_one_case(
    name: str, *options: str, label: str = "softlab", one_core: bool = True
) -> Job:
    """softlab on one case, with the time of the job taken from a second one."""
    warm = softlab_job(f"twice-{name}", *options, one_core=one_core)
    return replace(softlab_job(name, *options, label=label, one_core=one_core), warm=warm)


def _on_two_threads(name: str) -> Job:
    options = ("--workers", "1", "--threads", "2")
    return softlab_one_case(name, *options, label="softlab, 2 threads", one_core=False)


def peer_job(name: str, plan: Plan) -> Job:
    """One of the other ways on an input."""
    out = OUT / f"{plan.peer}-{name}"
    command = [PYTHON, "-m", "tests.benchmarks.peers", plan.peer, "--out", str(out)]
    whole = plan.peer not in ("write-only", "floor")
    if plan.peer != "write-only":
        command += ["--source", str(INPUTS[name].files[0])]
    if whole:
        command += ["--classes", str(INPUTS[name].classes)]
    else:
        case = OUT / f"softlab-{name}.zarr" / "aal"
        arrays = ["soft"] if plan.peer == "write-only" else ["soft", "labels/label/0"]
        command += ["--finished", *(str(case / array) for array in arrays)]
    if plan.every > 1:
        command += ["--every", str(plan.every)]
    return Job(TITLES[plan.peer], command, out=out, whole=whole)


def whole_tool(name: str, title: str) -> Callable[[bool], str]:
    """A table of softlab against all peers on one input."""

    def make(quick: bool) -> str:
        ours = softlab_one_case(name)
        unwaiting = softlab_one_case(name, *ALONE, "--no-sync", label="softlab --no-sync")
        everything, pairs, remarks = Result(ours), [], []
        for plan in (QUICK_PLANS if quick else PLANS)[name]:
            peer = peer_job(name, plan)
            jobs = (ours, unwaiting, peer) if plan.peer == "floor" else (ours, peer)
            results = alternate(jobs, plan.repeats)
            pairs += pairwise(results)
            everything.add(results[0])
            if name == "aal-5" and peer.whole:
                store, array = OUT / f"softlab-{name}.zarr", OUT / f"{plan.peer}-{name}"
                remarks.append(agreement(plan.peer, store, array))
            shutil.rmtree(OUT / f"{plan.peer}-{name}")
        if name.startswith("large"):
            pairs += pairwise(alternate((ours, _on_two_threads(name)), 3))
        remarks += extrapolated([peer for _, peer in pairs])
        remarks += disturbed([everything, *(peer for _, peer in pairs)])
        commands = [show_command(job.command) for job in (ours, *(p.job for _, p in pairs))]
        return "\n\n".join([f"## {title}", comparison(everything, pairs), *remarks, code(commands)])

    return make


def agreement(peer_name: str, ours: Path, theirs: Path) -> str:
    """A sentence on how far a peer's values are from those of our store."""
    arrays = [str(ours / "aal" / "soft"), str(theirs)]
    facts = facts_of(Job("", [PYTHON, "-m", "tests.benchmarks.agreement", *arrays]))
    return (
        f"Same values? `{peer_name}` against softlab: {100 * facts['differing']:.2g} % of the "
        f"values differ, by {facts['steps']:.0f} steps of float16 at most "
        f"(largest difference {facts['largest']:.2g})."
    )


def extrapolated(results: list[Result]) -> list[str]:
    """A remark on figures that were not taken in full."""
    partly = [f"1/{1 / r.share:.0f} of {r.job.name.split(',')[0]}" for r in results if r.share < 1]
    if not partly:
        return []
    return [
        "\\* Extrapolated: of the boxes of the volume only a part, spread evenly, was done ("
        + "; ".join(partly)
        + "), and the time and the size were multiplied up. The peak memory is that of a box."
    ]


def disturbed(results: list[Result]) -> list[str]:
    """A warning when other programs kept the processor busy."""
    least = min(result.median("cpu_share") or 1.0 for result in results)
    if least > QUIET:
        return []
    return [
        f"**Disturbed:** other programs were running; one of these had the processor for only "
        f"{100 * least:.0f} % of its time."
    ]


def code(commands: list[str]) -> str:
    """A block of commands."""
    return "\n".join(["```", *commands, "```"])


# ---- several raters -------------------------------------------------------------------------


def raters_job(name: str, command: str, raters: list[int]) -> Job:
    """A command of softlab on some of the raters of an input."""
    folders = INPUTS[name].rater_folders
    out, log = OUT / f"{command}-{name}.zarr", OUT / f"{command}-{name}.jsonl"
    words = [
        SOFTLAB, command, *(word for r in raters for word in ("--in", str(folders[r]))),
        "--out", str(out), "--labels", f"0-{INPUTS[name].classes - 1}",
        "--workers", "1", "--threads", "1", "--no-progress", "--log-json", str(log),
    ]  # fmt: skip
    return Job(command, words, out=out, log=log)


def torch_raters_job(name: str) -> Job:
    """The paper's way on all raters of an input."""
    out = OUT / f"torch-{name}"
    words = [PYTHON, "-m", "tests.benchmarks.peers", "torch", "--out", str(out), "--source"]
    words += [*map(str, INPUTS[name].files), "--classes", str(INPUTS[name].classes)]
    return Job("torch", words, out=out)


def several_raters(quick: bool) -> str:
    """`softlab msvls` against SVLS of one rater, of each rater, and the paper's way."""
    title = f"## {RATERS} raters: AAL displaced by up to 1.5 voxels, 181 x 217 x 181"
    tables = [several_raters_of(name, quick) for name in ("raters-5", "raters-117")]
    return "\n\n".join([title, *tables])


def several_raters_of(name: str, quick: bool) -> str:
    """One table of `several_raters`."""
    everyone = list(range(RATERS))
    jobs = [
        replace(raters_job(name, *what), warm=raters_job(f"twice-{name}", *what))
        for what in [("msvls", everyone), *(("svls", [r]) for r in everyone)]
    ]
    ours, *each = alternate(jobs, 1 if quick else 3)
    with_torch, torch = alternate((jobs[0], torch_raters_job(name)), 1)
    rows = [
        together("`softlab msvls`, all raters", [ours], ours),
        together("`softlab svls`, the first rater", each[:1], ours),
        together("`softlab svls`, each rater by itself, added up", each, ours),
        together(f"{TITLES['torch']}, of each rater, and their mean", [torch], with_torch),
    ]
    head = ["", "process s", "times msvls", "CPU s", "times msvls", "job s", "times msvls", "runs"]
    remark = agreement("torch", OUT / f"msvls-{name}.zarr", OUT / f"torch-{name}")
    shutil.rmtree(OUT / f"torch-{name}")
    remarks = [remark, *disturbed([ours, *each, with_torch, torch])]
    commands = [show_command(job.command) for job in (*jobs[:2], torch.job)]
    title = f"### {INPUTS[name].classes} classes"
    return "\n\n".join([title, table(head, rows), *remarks, code(commands)])


def together(label: str, results: list[Result], ours: Result) -> list[str]:
    """A row: figures of some results added up, each with its ratio to ours."""
    row = [label]
    for what in ("process_s", "cpu_s", "job_s"):
        figure = sum(result.median(what) or 0.0 for result in results)
        row += [number(figure), number(figure / (ours.median(what) or figure))]
    return [*row, str(len(results[0].process_s))]


# ---- many cases, start-up, patches -----------------------------------------------------------


def many_cases(quick: bool) -> str:
    """One worker and thread against two of either, on a folder of cases."""
    jobs = [
        softlab_job(
            "many-117", "--workers", workers, "--threads", threads, label=label, one_core=False
        )
        for label, workers, threads in (
            ("1 worker, 1 thread", "1", "1"),
            ("2 workers, 1 thread each", "2", "1"),
            ("1 worker, 2 threads", "1", "2"),
        )
    ]
    results = alternate(jobs, 1 if quick else 2)
    rows = [
        [r.job.name, number(_median(r)), number(_median(results[0]) / _median(r)),
         number(r.spread("process_s")), number(r.median("peak_mib"))]
        for r in results
    ]  # fmt: skip
    head = ["", "process s", "times faster", "spread", "peak MiB of the largest process"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    title = f"## Many cases: {INPUTS['many-117'].cases} of 181 x 217 x 181, 117 classes"
    commands = [show_command(job.command) for job in jobs]
    return "\n\n".join([title, table(head, rows), f"{cores} cores, not pinned.", code(commands)])


def _median(result: Result) -> float:
    seconds = result.median("process_s")
    assert seconds is not None
    return seconds


def start_up(quick: bool) -> str:
    """How long nothing takes, and next to nothing."""
    repeats = 5 if quick else 15
    imports = Job("`python -c 'import click, numpy'`", [PYTHON, "-c", "import click, numpy"])
    others = [
        Job("`softlab --help`", [SOFTLAB, "--help"]),
        Job("`softlab svls --help`", [SOFTLAB, "svls", "--help"]),
        softlab_job("small-5", label="one case of 64 x 64 x 64, 5 classes"),
        softlab_job("aal-5", label="one case of 181 x 217 x 181, 5 classes"),
    ]
    rows = []
    for job in others:
        base, result = alternate((imports, job), repeats)
        rows.append([job.name, number(1000 * _median(result)), number(result.spread("process_s")),
                     number(1000 * _median(base))])  # fmt: skip
    head = ["", "ms", "spread", f"{imports.name} in turns with it, ms"]
    commands = [show_command(job.command) for job in others]
    return "\n\n".join(["## Start-up (kernels compiled before)", table(head, rows), code(commands)])


def patches(quick: bool) -> str:
    """Random 128^3 patches from finished stores."""
    rows, commands, names = [], [], []
    for name, count in (("aal-5", 10 if quick else 40), ("aal-117", 3 if quick else 10)):
        ours = softlab_job(name)
        run_job(Result(ours))
        command = [PYTHON, "-m", "tests.benchmarks.patches", str(ours.out), "aal",
                   "--count", str(count)]  # fmt: skip
        facts = facts_of(Job("", command))
        names = list(facts)
        times = [f"{number(ms)} ({number(ms / facts['softlab'])}x)" for ms in facts.values()]
        rows.append([f"{INPUTS[name].classes} classes", *times, str(count)])
        commands.append(show_command(command))
    head = ["", *(f"{name} ms" for name in names), "patches"]
    title = "## Random 128 x 128 x 128 patches of all classes, from a 181 x 217 x 181 store"
    return "\n\n".join([title, table(head, rows), code(commands)])


def loaders(quick: bool) -> str:
    """Patches per second from a store to a tensor, in PyTorch's DataLoader."""
    rows, commands, names = [], [], []
    for name, patch in (("aal-5", 128), ("aal-117", 64)):
        ours = softlab_job(name)
        run_job(Result(ours))
        often = ["--count", "12", "--repeats", "1" if quick else "2"]
        for workers in (1, 2):
            command = [PYTHON, "-m", "tests.benchmarks.loader", str(ours.out), "aal",
                       "--patch", str(patch), "--workers", str(workers), *often]  # fmt: skip
            facts = facts_of(Job("", command, one_core=False))
            names = list(facts)
            figures = [f"{number(f['per_s'])} ({number(f['cpu_s'])})" for f in facts.values()]
            rows.append([f"{INPUTS[name].classes} classes, {patch}^3", str(workers), *figures])
            commands.append(show_command(command))
    head = ["", "workers", *(f"{name}: patches/s (processor s each)" for name in names)]
    title = "## Patches from a store to a tensor, in PyTorch's DataLoader"
    return "\n\n".join([title, table(head, rows), code(commands)])


def nnunet_loader(quick: bool) -> str:
    """What soft labels cost nnU-Net's loader."""
    command = [PYTHON, "-m", "tests.benchmarks.nnunet_loader", *(["--count", "6"] * quick)]
    facts = facts_of(Job("", command, has_torchvision=True))
    rows = [
        ["stock", number(facts["stock"]), "1"],
        ["with soft labels", number(facts["soft"]), number(facts["ratio"])],
        ["of these, reading the store", number(facts["reading"]), ""],
    ]
    title = "## nnU-Net's loader and augmentation, 5 classes, 96 x 96 x 80, batches of 2"
    head = ["", "processor s a batch", "times stock"]
    remark = "Means of batches that are drawn alike on both sides."
    return "\n\n".join([title, table(head, rows), remark, code([show_command(command)])])


TABLES = {
    "start": Table(("small-5", "aal-5"), start_up),
    "aal-5": Table(("aal-5", "twice-aal-5"), whole_tool("aal-5", "181 x 217 x 181, 5 classes")),
    "aal-117": Table(
        ("aal-117", "twice-aal-117"), whole_tool("aal-117", "181 x 217 x 181, 117 classes")
    ),
    "large-5": Table(
        ("large-5", "twice-large-5"), whole_tool("large-5", "512 x 512 x 512, 5 classes"), False
    ),
    "large-117": Table(
        ("large-117", "twice-large-117"),
        whole_tool("large-117", "512 x 512 x 512, 117 classes"),
        False,
    ),
    "raters": Table(
        ("raters-5", "raters-117", "twice-raters-5", "twice-raters-117"), several_raters
    ),
    "many": Table(("many-117",), many_cases, False),
    "patches": Table(("aal-5", "aal-117"), patches),
    "loader": Table(("aal-5", "aal-117"), loaders),
    "geols": Table(("aal-5", "aal-117"), whole_geols),
    "calibration": Table((), calibration_tools),
    "vls": Table((), folds),
    "nnunet-loader": Table((), nnunet_loader),
    "geodesic-engines": Table(("aal-117",), geodesic_engines, False),
    "surfaces": Table(("raters-5", "raters-117"), surface_metrics),
    "surfaces-large": Table(("large-117",), large_surfaces, False),
}
