"""Where nnU-Net keeps its preprocessed data, and where the soft labels lie beside them.

::

    nnUNet_preprocessed/Dataset501_Name/
      nnUNetPlans.json  dataset.json
      nnUNetPlans_3d_fullres/           nnU-Net's cases of one data identifier
      softlab/
        nnUNetPlans_3d_fullres/
          svls.zarr/                    a store with the same cases

Never inside nnU-Net's folder: there every other file would be taken for a case, and
its preprocessing empties the folder.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from softlab_cli.core.errors import InputError, StoreError, UsageError

__all__ = ["ext_folder", "find_dataset", "find_store", "preprocessed_folder", "store_path"]

VARIABLE = "nnUNet_preprocessed"


def ext_folder() -> Path:
    """The folder with the trainer, for the variable ``nnUNet_extTrainer``."""
    return Path(__file__).parent / "ext"


def preprocessed_folder() -> Path:
    """The folder that the variable ``nnUNet_preprocessed`` names.

    Raises
    ------
    UsageError
        When the variable is not set.
    InputError
        When it names no folder.
    """
    text = os.environ.get(VARIABLE)
    remedy = f"export {VARIABLE}=FOLDER, the one that nnUNetv2_plan_and_preprocess wrote into."
    if not text:
        raise UsageError(f"the variable {VARIABLE} is not set.", remedy=remedy)
    folder = Path(text)
    if not folder.is_dir():
        raise InputError(f"is no folder, and {VARIABLE} names it.", remedy=remedy, path=folder)
    return folder


def find_dataset(dataset: str) -> Path:
    """The preprocessed folder of a data set.

    Parameters
    ----------
    dataset
        Its number, or its name such as ``Dataset501_Name``.

    Raises
    ------
    UsageError
        When `dataset` is neither, or no single folder belongs to it.
    """
    root = preprocessed_folder()
    there = sorted(p.name for p in root.glob("Dataset*") if p.is_dir())
    found = [name for name in there if name == dataset]
    if dataset.isdigit():
        found = [name for name in there if re.match(rf"Dataset0*{int(dataset)}_", name)]
    if len(found) != 1:
        what = f"{len(found)} data sets" if found else "no data set"
        raise UsageError(
            f"there is {what} {dataset!r} in {root}.",
            remedy=f"There are: {', '.join(there) or 'none'}.",
        )
    return root / found[0]


def store_path(dataset_folder: Path, data_identifier: str, name: str) -> Path:
    """Path of a store of soft labels.

    Parameters
    ----------
    dataset_folder
        The preprocessed folder of the data set.
    data_identifier
        Name of the folder that the configurations of a group share.
    name
        Name of the store, without its ending.

    Raises
    ------
    UsageError
        For a name that is no name of a folder.
    """
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise UsageError(
            f"{name!r} cannot be the name of a store.",
            remedy="Use letters, digits, '_', '-', '+' and '.'.",
        )
    return dataset_folder / "softlab" / data_identifier / f"{name}.zarr"


def find_store(dataset_folder: Path, data_identifier: str, name: str | None) -> Path:
    """The store to train from: the one of that name, or the only one.

    Raises
    ------
    StoreError
        When there is none, or several and no name; the message lists them.
    """
    folder = dataset_folder / "softlab" / data_identifier
    there = sorted(p.stem for p in folder.glob("*.zarr"))
    if name is None and len(there) == 1:
        name = there[0]
    if name in there:
        return folder / f"{name}.zarr"
    named = "several stores of soft labels" if there else "no store of soft labels"
    problem = f"has no store {name!r}" if name else f"has {named}"
    listed = f" There are: {', '.join(there)}." if there else ""
    raise StoreError(
        f"{problem}.{listed}",
        remedy="Set SOFTLAB_STORE to the name of a store, or make one: softlab nnunet preprocess "
        f"-d {dataset_folder.name} -c CONFIGURATION --method svls"
        + (f" --name {name}" if name else "")
        + ".",
        path=folder,
    )
