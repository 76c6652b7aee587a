"""nnU-Net with soft labels, from label maps to a prediction, on a small real data set.

    python examples/nnunet/demo.py

The data set is made of Debian's package mricron-data: six pieces of a T1 image of one
brain with its AAL regions, merged into five classes. It is far too small, and training
far too short, to learn much: this shows that everything fits together.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import SimpleITK

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "out" / "nnunet"
TEMPLATES_VARIABLE = "MRICRON_TEMPLATES"
TEMPLATES_DEFAULT = "/usr/share/mricron/templates"

NAME = "Dataset501_BrainPieces"
CONFIGURATION = "3d_small"
CLASSES = {
    "frontal": ("Frontal", "Precentral", "Rolandic", "Supp", "Olfactory", "Rectus", "Paracentral"),
    "temporal": ("Temporal", "Heschl", "Fusiform", "Hippocampus", "ParaHippocampal", "Amygdala"),
    "posterior": ("Parietal", "Postcentral", "SupraMarginal", "Angular", "Precuneus", "Occipital",
                  "Cuneus", "Calcarine", "Lingual"),
    "deep": ("Caudate", "Putamen", "Pallidum", "Thalamus", "Insula", "Cingulum"),
}  # fmt: skip
"""Classes, and how the names of their AAL regions begin; all other regions are no class."""

PIECE = (96, 88, 80)
CORNERS = [(40, 20, 15), (40, 20, 85), (60, 60, 15), (60, 60, 85), (20, 90, 40), (70, 100, 50)]

WITHOUT_SOFTLAB = """
import sys
sys.modules["softlab_cli"] = None
from nnunetv2.inference.predict_from_raw_data import predict_entry_point
if __name__ == "__main__":
    predict_entry_point()
"""


def main() -> None:
    """Make the data set, and go the whole way."""
    environment = variables()
    make_dataset(templates())
    say("1. nnU-Net plans and preprocesses, as always")
    run(environment, "nnUNetv2_plan_and_preprocess", "-d", "501", "-c", "3d_fullres",
        "-np", "1", "-npfp", "1")  # fmt: skip
    add_small_configuration()
    say("2. softlab adds soft labels on the preprocessed grid")
    run(environment, "softlab", "nnunet", "preprocess", "-d", "501", "-c", CONFIGURATION,
        "--method", "svls", "-v")  # fmt: skip
    ext = run(environment, "softlab", "nnunet", "ext-path", capture=True).strip()
    trainers = os.pathsep.join([ext, str(HERE / "trainers")])
    say("3. nnU-Net trains with them")
    training = {**environment, "nnUNet_extTrainer": trainers, "SOFTLAB_STORE": "svls"}
    run(training, "nnUNetv2_train", "501", CONFIGURATION, "0", "-device", "cpu",
        "-tr", "nnUNetTrainerSoftLabShort")  # fmt: skip
    say("4. nnU-Net predicts, without softlab and without the variables")
    run(environment, sys.executable, "-c", WITHOUT_SOFTLAB,
        "-i", str(OUT / "raw" / NAME / "imagesTr"), "-o", str(OUT / "predicted"),
        "-d", "501", "-c", CONFIGURATION, "-f", "0", "-tr", "nnUNetTrainerSoftLabShort",
        "-device", "cpu", "--disable_tta", "-npp", "1", "-nps", "1")  # fmt: skip
    report()


def say(what: str) -> None:
    """A heading."""
    print(f"\n==== {what}", flush=True)


def run(environment: dict[str, str], *command: str, capture: bool = False) -> str:
    """Run a command of this environment, and stop when it fails."""
    shown = command if command[0] != sys.executable else ("nnUNetv2_predict", *command[3:])
    print("$ " + " ".join(shown), flush=True)
    program = Path(sys.executable).parent / command[0]
    module = [sys.executable, "-m", "softlab_cli"]
    start = module if command[0] == "softlab" else [str(program)]
    done = subprocess.run(
        [*start, *command[1:]], env=environment, check=True, text=True,
        stdout=subprocess.PIPE if capture else None,
    )  # fmt: skip
    return done.stdout or ""


def variables() -> dict[str, str]:
    """nnU-Net's folders, and a way round a torchvision that is built for another torch."""
    folders = {"nnUNet_raw": "raw", "nnUNet_preprocessed": "preprocessed",
               "nnUNet_results": "results"}  # fmt: skip
    environment = {**os.environ, "nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1"}
    for name, folder in folders.items():
        (OUT / folder).mkdir(parents=True, exist_ok=True)
        environment[name] = str(OUT / folder)
    paths = [str(HERE.parents[1]), str(HERE / "torchvision_on_cpu"), os.environ.get("PYTHONPATH")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment


def templates() -> Path:
    """The folder with the T1 image ch2 and the regions aal."""
    folder = Path(os.environ.get(TEMPLATES_VARIABLE, TEMPLATES_DEFAULT))
    if not (folder / "aal.nii.gz").exists():
        sys.exit(
            f"error: {folder} has no aal.nii.gz. Install Debian's package mricron-data, or set "
            f"{TEMPLATES_VARIABLE} to its folder of templates."
        )
    return folder


def make_dataset(folder: Path) -> None:
    """Write six pieces of the brain as an nnU-Net raw data set."""
    image = SimpleITK.ReadImage(str(folder / "ch2.nii.gz"))
    regions = SimpleITK.ReadImage(str(folder / "aal.nii.gz"))
    numbers = read_regions(folder / "aal.nii.txt")
    table = np.zeros(256, np.uint8)
    for value, prefixes in enumerate(CLASSES.values(), start=1):
        table[[n for n, name in numbers.items() if name.startswith(prefixes)]] = value
    labels = SimpleITK.GetImageFromArray(table[SimpleITK.GetArrayFromImage(regions)])
    labels.CopyInformation(image)
    raw = OUT / "raw" / NAME
    for part in ("imagesTr", "labelsTr"):
        (raw / part).mkdir(parents=True, exist_ok=True)
    for number, corner in enumerate(CORNERS):
        box = [slice(a, a + n) for a, n in zip(reversed(corner), reversed(PIECE), strict=True)]
        SimpleITK.WriteImage(image[box], str(raw / "imagesTr" / f"piece{number}_0000.nii.gz"))
        SimpleITK.WriteImage(labels[box], str(raw / "labelsTr" / f"piece{number}.nii.gz"))
    facts = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, **{name: i for i, name in enumerate(CLASSES, start=1)}},
        "numTraining": len(CORNERS),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(facts, indent=1))


def read_regions(path: Path) -> dict[int, str]:
    """Names of the AAL regions by their numbers."""
    rows = [line.split() for line in path.read_text().splitlines()]
    return {int(row[0]): row[1] for row in rows if len(row) >= 2}


def add_small_configuration() -> None:
    """A configuration that inherits everything but its size, for a CPU."""
    path = OUT / "preprocessed" / NAME / "nnUNetPlans.json"
    plans = json.loads(path.read_text())
    network = deepcopy(plans["configurations"]["3d_fullres"]["architecture"])
    network["arch_kwargs"] |= {
        "n_stages": 4, "features_per_stage": [8, 16, 32, 64], "kernel_sizes": [[3, 3, 3]] * 4,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * 3, "n_conv_per_stage": [1, 1, 1, 1],
        "n_conv_per_stage_decoder": [1, 1, 1],
    }  # fmt: skip
    plans["configurations"][CONFIGURATION] = {
        "inherits_from": "3d_fullres", "patch_size": [48, 48, 48], "batch_size": 2,
        "architecture": network,
    }  # fmt: skip
    path.write_text(json.dumps(plans, indent=1))


def report() -> None:
    """Say what is there now."""
    fold = OUT / "results" / NAME / f"nnUNetTrainerSoftLabShort__nnUNetPlans__{CONFIGURATION}"
    log = sorted((fold / "fold_0").glob("training_log_*.txt"))[-1].read_text()
    for line in log.splitlines():
        if any(mark in line for mark in ("softlab:", "_loss", "Mean Validation")):
            print(line.strip())
    print(f"{len(list((OUT / 'predicted').glob('*.nii.gz')))} predictions in {OUT / 'predicted'}")


if __name__ == "__main__":
    main()
