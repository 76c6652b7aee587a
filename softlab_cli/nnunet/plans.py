"""What nnU-Net has planned for a data set, as far as soft labels need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softlab_cli.core.classes import ClassTable, read_class_names
from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.core.jsonfile import load_json
from softlab_cli.nnunet.paths import find_dataset

__all__ = ["Configuration", "class_table", "read_configuration"]


@dataclass(frozen=True)
class Configuration:
    """A configuration of a planned data set.

    Parameters
    ----------
    dataset_folder
        The preprocessed folder of the data set.
    plans
        Name of the plans, without the ending of their file.
    name
        Name of the configuration.
    data_identifier
        Name of the folder with the preprocessed cases; several configurations may
        share it, and then share the soft labels.
    spacing_mm
        Distance of voxels after resampling, in the order of nnU-Net's array axes;
        two numbers where the configuration is 2d.
    transpose_forward
        Axes of the files in the order of nnU-Net's array axes.
    classes
        Every label value that a voxel may have, regions or not, and the ignore label.
    file_ending
        Ending of the data set's label maps.
    """

    dataset_folder: Path
    plans: str
    name: str
    data_identifier: str
    spacing_mm: tuple[float, ...]
    transpose_forward: tuple[int, ...]
    classes: ClassTable
    file_ending: str

    @property
    def folder(self) -> Path:
        """Where the preprocessed cases are."""
        return self.dataset_folder / self.data_identifier

    @property
    def is_2d(self) -> bool:
        """Whether patches are slices."""
        return len(self.spacing_mm) == 2

    def manager(self) -> Any:
        """nnU-Net's ``PlansManager``."""
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        return PlansManager(str(self.dataset_folder / f"{self.plans}.json"))


def read_configuration(dataset: str, name: str, plans: str = "nnUNetPlans") -> Configuration:
    """Read the plans of a data set.

    Parameters
    ----------
    dataset
        Number or name of the data set.
    name
        Name of the configuration, such as ``3d_fullres``.
    plans
        Name of the plans.

    Raises
    ------
    UsageError
        For a data set or a configuration that there is not, and when
        ``nnUNet_preprocessed`` is not set.
    InputError
        When the data set is not planned, or the configuration not preprocessed.
    """
    folder = find_dataset(dataset)
    content = _read(folder / f"{plans}.json", f"nnUNetv2_plan_and_preprocess -d {dataset}")
    if name not in content.get("configurations", {}):
        known = ", ".join(content.get("configurations", {}))
        raise UsageError(f"{plans} has no configuration {name!r}.", remedy=f"It has: {known}.")
    facts = _inherited(content["configurations"], name)
    dataset_json = _read(folder / "dataset.json", f"nnUNetv2_plan_and_preprocess -d {dataset}")
    found = Configuration(
        folder,
        plans,
        name,
        str(facts["data_identifier"]),
        tuple(float(s) for s in facts["spacing"]),
        tuple(int(axis) for axis in content["transpose_forward"]),
        class_table(folder / "dataset.json"),
        str(dataset_json["file_ending"]),
    )
    if not found.folder.is_dir():
        raise InputError(
            f"does not exist: configuration {name!r} is not preprocessed.",
            remedy=f"nnUNetv2_preprocess -d {dataset} -plans_name {plans} -c {name}",
            path=found.folder,
        )
    return found


def class_table(dataset_json: Path) -> ClassTable:
    """The classes of a data set: one for each label value, also where labels are regions."""
    names, ignored = read_class_names(dataset_json)
    return ClassTable.from_values({0, *names}, names, [] if ignored is None else [ignored])


def _inherited(configurations: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A configuration's own entries over those of the one that it inherits from."""
    own = configurations[name]
    parent = own.get("inherits_from")
    return {**(_inherited(configurations, parent) if parent else {}), **own}


def _read(path: Path, command: str) -> dict[str, Any]:
    if not path.exists():
        raise InputError("does not exist.", remedy=f"Run {command}.", path=path)
    content: dict[str, Any] = load_json(path, f"Run {command} again.")
    return content
