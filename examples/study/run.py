"""The study: which soft label, and whether it pays.

    make study STUDY_DATA=folder [STAGES=...] [SEEDS=0,1,2] [DEVICE=cpu]
    python examples/study/run.py --data folder

Makes stores of soft labels, trains a network on each, lets ``softlab evaluate`` judge what
it predicts, and writes docs/STUDY.md from the results. Whatever is whole is not done again:
a run is renamed when it has ended, and one that was interrupted starts anew.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch
from arms import SEEDS, SETTINGS, Arm, Setting
from data import prepare
from labels import write_nodules
from train import predict, train

STUDY = Path(__file__).resolve().parent
LABELS = "labels"
STAGES = (LABELS, *SETTINGS)
NODULES = 300
TUNED = ("--kernel-size", "3,5,7", "--slicewise")
JUDGED_IN = "union=3vox,band=2vox,foreground"
TOLERANCE_MM = "1"
CALIBRATION = "isotonic"
"""A temperature is in every evaluation already."""


def softlab(*words: object, allowed: Sequence[int] = (0,)) -> None:
    """Run a command of softlab, and show it."""
    texts = [str(word) for word in words]
    print("$ softlab", shlex.join(texts), flush=True)
    done = subprocess.run([sys.executable, "-m", "softlab_cli", *texts], check=False)
    if done.returncode not in allowed:
        raise SystemExit(f"softlab {texts[0]} ended with {done.returncode}.")


# ---- labels alone ---------------------------------------------------------------------


def tune_labels(args: argparse.Namespace) -> None:
    """How well soft labels of some radiologists predict another; no network."""
    nodules = write_nodules(args.nodules, args.out)
    inputs = [word for rater in raters_of(nodules) for word in ("--in", rater)]
    out = args.out / "results" / LABELS
    softlab("tune", *inputs, *TUNED, "--out", out, "--workers", args.workers)


# ---- stores ---------------------------------------------------------------------------


def raters_of(part: Path) -> list[Path]:
    """``r1`` and so on."""
    return sorted(part.glob("r[0-9]"))


def make_store(
    command: str, part: Path, raters: Iterable[Path], out: Path, workers: int
) -> Path:  # fmt: skip
    """A store of a part of the data; nothing is done where it is whole already."""
    inputs = [word for rater in raters for word in ("--in", rater)]
    softlab(
        *shlex.split(command), *inputs, "--images", part / "images", "--out", out,
        "--no-sync", "--workers", workers,
    )  # fmt: skip
    return out


def reference_store(data: Path, part: str, args: argparse.Namespace) -> Path:
    """What predictions are judged by: what each rater drew."""
    out = args.out / "stores" / f"{data.name}-{part}.zarr"
    raters = raters_of(data / part)
    command = "fuse --method mean --keep-raters" if len(raters) > 1 else "onehot"
    return make_store(command, data / part, raters, out, args.workers)


def training_store(data: Path, name: str, arm: Arm, args: argparse.Namespace) -> Path:
    """The soft labels of an arm."""
    raters = raters_of(data / "train")
    out = args.out / "stores" / f"{data.name}-train-{name}.zarr"
    chosen = raters if arm.all_raters else raters[:1]
    return make_store(arm.command, data / "train", chosen, out, args.workers)


# ---- runs -----------------------------------------------------------------------------


def run_name(arm: str, seed: int) -> str:
    return f"{arm}-seed{seed}"


def train_all(stage: str, setting: Setting, args: argparse.Namespace) -> None:
    """Train and predict with each arm and seed that is not done yet."""
    data = prepare(setting.data, args.data, args.out)
    parts = {part: reference_store(data, part, args) for part in ("validation", "test")}
    made = {
        name: training_store(data, name, arm, args)
        for name, arm in setting.arms.items()
        if wanted(name, args.arms)
    }
    for seed in args.seeds:
        for name, store in made.items():
            target = args.out / "runs" / stage / run_name(name, seed)
            if not target.exists():
                random_rater = setting.arms[name].random_rater
                run_one(setting, store, seed, args.device, random_rater, parts, data, target)
        evaluate(stage, setting, seed, args, data, parts)


def run_one(
    setting: Setting, store: Path, seed: int, device: str, random_rater: bool,
    parts: dict[str, Path], data: Path, target: Path,
) -> None:  # fmt: skip
    """Train one network, write what it predicts, and rename the folder when all is there."""
    started = time.perf_counter()
    draft = target.with_name(f".{target.name}-in-work")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    network, losses = train(setting, store, seed, device, random_rater)
    seconds = time.perf_counter() - started
    for part, reference in parts.items():
        predict(network, reference, data / part / "r1", draft / part, device)
    torch.save(network.state_dict(), draft / "network.pt")
    facts = {"steps": setting.steps, "losses": losses, "seconds": seconds, **versions(device)}
    (draft / "run.json").write_text(json.dumps(facts, indent=1) + "\n")
    draft.rename(target)
    last = sum(losses[-50:]) / len(losses[-50:])
    print(f"{target.parent.name}/{target.name}: loss {last:.4f}, {seconds:.0f} s", flush=True)


def versions(device: str) -> dict[str, str]:
    """What made a run."""
    return {
        "softlab": version("softlab-cli"), "torch": torch.__version__,
        "python": platform.python_version(), "device": device, "machine": platform.machine(),
    }  # fmt: skip


def evaluate(
    stage: str, setting: Setting, seed: int, args: argparse.Namespace, data: Path,
    parts: dict[str, Path],
) -> None:  # fmt: skip
    """Judge all arms of a seed side by side; what has been judged is kept."""
    runs = args.out / "runs" / stage
    found = {name: runs / run_name(name, seed) for name in setting.arms}
    found = {name: run for name, run in found.items() if run.exists()}
    baseline = next(iter(setting.arms))
    predictions = [
        word for name, run in found.items() for word in ("--pred", f"{name}={run / 'test'}")
    ]  # fmt: skip
    for name in setting.calibrated:
        if name in found:
            predictions += calibrated(stage, name, found[name], args.out, parts["validation"])
    several = predictions.count("--pred") > 1
    compared = ["--baseline", baseline] if baseline in found and several else []
    patients = data / "patients.csv"
    groups = ["--groups", patients] if patients.exists() else []
    out = args.out / "results" / stage / f"seed{seed}"
    softlab(
        "evaluate", *predictions, "--ref", parts["test"], *compared, *groups, "--regions",
        JUDGED_IN, "--tolerance-mm", TOLERANCE_MM, "--out", out, "--workers", args.workers,
        "--threads", 1,
    )  # fmt: skip


def calibrated(stage: str, arm: str, run: Path, out: Path, reference: Path) -> list[str]:
    """What to give ``softlab evaluate`` for an arm after calibration on the validation cases."""
    path = out / "calibrations" / stage / f"{run.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        softlab(
            "calibrate", "--pred", run / "validation", "--ref", reference,
            "--method", CALIBRATION, "--out", path,
        )  # fmt: skip
    name = f"{arm}+{CALIBRATION}"
    return ["--pred", f"{name}={run / 'test'}", "--calibration", f"{name}={path}"]


def wanted(name: str, chosen: Sequence[str]) -> bool:
    return not chosen or name in chosen


def words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with the study's files")
    parser.add_argument("--out", type=Path, default=STUDY.parent / "out" / "study")
    parser.add_argument("--stages", type=words, default=[], help=f"some of {', '.join(STAGES)}")
    parser.add_argument("--arms", type=words, default=[], help="some arms only")
    parser.add_argument("--seeds", type=words, default=SEEDS)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    parser.add_argument("--workers", type=int, default=1, help="processes of softlab")
    parser.add_argument("--nodules", type=int, default=NODULES, help="of the stage labels")
    parser.add_argument("--steps", type=int, help="another length of training")
    args = parser.parse_args()
    args.seeds = [int(seed) for seed in args.seeds]
    if strange := [name for name in args.stages if name not in STAGES]:
        parser.error(f"{strange[0]} is no stage; there are {', '.join(STAGES)}.")
    if not args.data and any(wanted(stage, args.stages) for stage in SETTINGS):
        parser.error("--data is missing: the stages with networks need it; README.md says more.")
    return args


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    if wanted(LABELS, args.stages):
        tune_labels(args)
    for stage, setting in SETTINGS.items():
        if wanted(stage, args.stages):
            if args.steps:
                setting = replace(setting, steps=args.steps)
            train_all(stage, setting, args)


if __name__ == "__main__":
    main()
