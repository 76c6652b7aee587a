"""Options that several commands share; each is defined here, once."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from softlab_cli.cli.arguments import (
    A_PATH,
    bytes_of,
    numbers,
    part_of,
    per_axis,
    remember_debug,
    spacing_of,
    value_map,
    weights_of,
)
from softlab_cli.core.choices import BACKGROUNDS, NGFF_VERSIONS, OVERLAP_RULES, SUM_RULES
from softlab_cli.core.errors import UsageError

__all__ = [
    "calibration_options",
    "class_pattern",
    "debug",
    "evaluation_options",
    "page_options",
    "progress",
    "rater_pattern",
    "rater_weights",
    "raters",
    "references",
    "refuse_idle",
    "run_options",
    "series",
    "smoothing",
    "soft_options",
    "store_argument",
    "svls_options",
    "together",
    "tuning_options",
]

Function = TypeVar("Function", bound=Callable[..., Any])


debug = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=remember_debug,
    help="Show the traceback of an error.",
)

progress = click.option(
    "--progress/--no-progress",
    default=None,
    help="Show a progress bar (default: when standard error is a terminal).",
)

verbose = click.option("-v", "--verbose", is_flag=True, help="Name each case as it ends.")

series = click.option(
    "--series",
    metavar="NAME",
    help="Where there are several DICOM series or segmentations: UID or description of the one "
    "that is meant.",
)

store_argument = click.argument(
    "store", type=A_PATH, metavar="STORE"
)  # existence is checked by the library, which says more than click does

svls_options = [
    click.option(
        "--kernel-size",
        type=int,
        default=3,
        show_default=True,
        help="Voxels along each side of the kernel; odd.",
    ),
    click.option(
        "--sigma-voxels",
        callback=per_axis,
        metavar="S or Z,Y,X",
        help="Standard deviation of the Gaussian in voxels.  [default: 1]",
    ),
    click.option(
        "--sigma-mm",
        callback=per_axis,
        metavar="S or Z,Y,X",
        help="The same in millimetres, so that anisotropic voxels smooth equally.",
    ),
    click.option(
        "--slicewise",
        is_flag=True,
        help="Smooth within slices only (2D kernel), for thick slices.",
    ),
]
"""Parameters of SVLS."""

rater_weights = click.option(
    "--rater-weight",
    "rater_weights",
    metavar="RATER=W",
    multiple=True,
    callback=weights_of,
    help="Weight of a rater; give one for each.  [default: equal]",
)

rater_pattern = click.option(
    "--rater-pattern",
    metavar="PATTERN",
    help="How file names tell case and rater, such as '{case}_{rater}.nii.gz' or '{rater}/{case}'.",
)

raters = [
    rater_pattern,
    click.option(
        "--min-raters",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Raters that a case must have.",
    ),
    click.option(
        "--keep-raters",
        is_flag=True,
        help="Store the labels of each rater as well, so that a trainer can sample them.",
    ),
]
"""Where the raters of a case are, and what becomes of them."""

class_pattern = click.option(
    "--class-pattern",
    metavar="PATTERN",
    help="How file names tell case and class, where each file holds one class of a case: "
    "'{case}/{class}.nii.gz'. Without {case} all files are one case.",
)

soft_options = [
    click.option(
        "--background",
        type=click.Choice(BACKGROUNDS),
        help="Of several volumes in a file, whether the first one is background, or background "
        "is the rest.  [default: the first, if they sum to 1 everywhere]",
    ),
    click.option(
        "--sums",
        type=click.Choice(SUM_RULES),
        default="error",
        show_default=True,
        help="What happens where the classes of a voxel do not sum to 1: refuse, or divide by "
        "their sum.",
    ),
    click.option(
        "--scale",
        type=float,
        metavar="N",
        help="Number that stands for 1 in the files, such as 100 for per cent, or 255.",
    ),
]
"""How soft labels in plain files are read."""

groups = click.option(
    "--groups",
    type=A_PATH,
    help="CSV with the columns case_id and patient: intervals and halves are over patients then.",
)

references = click.option(
    "--ref",
    "references",
    type=A_PATH,
    multiple=True,
    required=True,
    help="References: label maps as for --in elsewhere, DICOM SEG and RTSTRUCT, or a store, "
    "whose raters count where it keeps them, and else its soft labels; soft maps. Repeat it for "
    "several raters.",
)

smoothing = click.option(
    "--smoothing",
    type=float,
    default=0.1,
    show_default=True,
    help="Share that is spread evenly over all classes (alpha), 0 to 1.",
)

_IMAGES = click.option(
    "--images",
    type=A_PATH,
    help="Images of the same cases, paired by name; or a folder of DICOM series. Label maps "
    "are put on the grid of their image.",
)

_INPUT = [
    click.option(
        "--in",
        "inputs",
        type=A_PATH,
        multiple=True,
        required=True,
        help="Label maps: a folder, a file, an nnU-Net raw dataset, a MONAI datalist (.json), a "
        "manifest (.csv), a store, or DICOM SEG and RTSTRUCT (a file, or folders of cases). "
        "Repeat it for the raters of the same cases.",
    ),
    click.option("--out", type=A_PATH, required=True, help="The store to write."),
    _IMAGES,
]

_READING = [
    series,
    click.option(
        "--roi",
        "rois",
        metavar="PATTERN",
        multiple=True,
        help="Regions or segments to keep, such as 'GTV*'; may be repeated.  [default: all]",
    ),
    click.option(
        "--loose-names",
        is_flag=True,
        help="Names of segments and regions are one where they differ only in case, spaces and "
        "underscores; also for --roi, --labels and --classes-from.",
    ),
    click.option(
        "--on-overlap",
        type=click.Choice(OVERLAP_RULES),
        default="error",
        show_default=True,
        help="What counts where segments overlap: the first or last in the file, or the highest "
        "number or fraction.",
    ),
    click.option(
        "--threshold",
        type=float,
        metavar="F",
        help="Fractions from here on are inside, for a hard label of a FRACTIONAL segmentation.",
    ),
    click.option(
        "--padding",
        type=click.Choice(["background", "ignore"]),
        default="background",
        show_default=True,
        help="What padding of a LABELMAP segmentation means.",
    ),
    click.option(
        "--lost-contours",
        type=click.Choice(["refuse", "ok"]),
        default="refuse",
        show_default=True,
        help="What happens to a region of an RTSTRUCT that loses a slice or becomes empty, since "
        "some of its contours enclose no area.",
    ),
    click.option(
        "--resample-labels",
        type=click.Choice(["nearest", "linear"]),
        help="Resample label maps that lie on another grid than their image or their first "
        "rater.  [default: refuse]",
    ),
    click.option(
        "--spacing-mm",
        callback=spacing_of,
        metavar="S or Z,Y,X",
        help="Distance of voxels in files that do not say it, such as PNG.  [default: 1, with a "
        "warning]",
    ),
    click.option(
        "--map",
        "value_map",
        metavar="[RATER:]A=B,...",
        multiple=True,
        callback=value_map,
        help="Read label value A as B, in all label maps or, with a RATER, in those of one, where "
        "it goes before that of all; may be repeated. A is any whole number, or nan.",
    ),
]

_CLASSES = [
    click.option(
        "--labels",
        help="Label values that are classes: 0-4, or 0,1=liver,7; of named segments also by "
        "patterns: '0,1=[Ll]ung*,2=heart|HEART'. Default: all that occur.",
    ),
    click.option(
        "--image-like",
        type=click.Choice(["refuse", "ok"]),
        default="refuse",
        show_default=True,
        help="What happens to a label map that looks like an image (many values, hardly "
        "two neighbours equal), where neither --labels nor --classes-from says the classes.",
    ),
    click.option(
        "--classes-from",
        type=A_PATH,
        help="Class values and names from a dataset.json, or any JSON file of that form; its "
        '"aliases" are other names and patterns of classes.',
    ),
    click.option(
        "--ignore-label",
        "ignore_labels",
        metavar="NUMBER",
        callback=numbers,
        multiple=True,
        help="Label value of voxels that are not labelled: any whole number, -1 included, or "
        "nan; may be repeated.",
    ),
]

_OVERWRITE = click.option(
    "--overwrite", is_flag=True, help="Remove what --out holds and start again."
)

_STORE = [
    click.option(
        "--labels-only",
        is_flag=True,
        help="Store the recipe and the hard labels; soft labels are computed on read.",
    ),
    click.option(
        "--ome",
        type=click.Choice(NGFF_VERSIONS),
        default=NGFF_VERSIONS[0],
        show_default=True,
        help="Version of the OME-NGFF metadata; 0.6 has the exact affine (RFC-5), and fewer "
        "programs read it.",
    ),
    _OVERWRITE,
    click.option(
        "--sync/--no-sync",
        default=True,
        show_default=True,
        help="Wait until a case is on the disk before it counts as done, for power cuts.",
    ),
]

_WORKERS = click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes, one case each.  [default: what cores and memory allow]",
)

_PART = click.option(
    "--part",
    callback=part_of,
    metavar="I/N",
    help="Do only this share of the cases, such as 2/8 (read from a SLURM array if there is one).",
)

_BUDGET = [
    click.option(
        "--max-memory",
        callback=bytes_of,
        metavar="BYTES",
        help="Memory for all workers together, such as 16G.  [default: what is free]",
    ),
    click.option(
        "--case-timeout",
        type=click.FloatRange(0, min_open=True),
        metavar="SECONDS",
        help="Give up a case that takes longer, and go on.  [default: wait]",
    ),
]

_DASK = click.option("--dask", metavar="ADDRESS", help="Run on the Dask cluster of this scheduler.")

_TELLING = [
    verbose,
    click.option(
        "--log-json",
        type=A_PATH,
        help="Append one JSON object for each event to this file.",
    ),
    progress,
    debug,
]

_RUNNING = [
    _WORKERS,
    click.option(
        "--threads",
        type=click.IntRange(1),
        help="Threads in each worker.  [default: cores / workers]",
    ),
    *_BUDGET,
    _PART,
    _DASK,
    click.option("--dry-run", is_flag=True, help="Say what would be done, and stop."),
    *_TELLING,
]


def together(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """One decorator for several options, shown by --help in the given order."""

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def refuse_idle(*names: str, needs: str) -> None:
    """Raise `UsageError` for options on the command line that change nothing.

    Parameters
    ----------
    names
        Parameters of the command that have no effect with the other options.
    needs
        The option with which they have one.
    """
    ctx = click.get_current_context()
    options = {option.name: option.opts[-1] for option in ctx.command.params}
    for name in names:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(
                f"{options[name]} has no effect here.", remedy=f"It is for {needs}; leave it out."
            )


run_options = together(*_INPUT, class_pattern, *_READING, *_CLASSES, *_STORE, *_RUNNING)
"""Every option of a command that makes soft labels."""

evaluation_options = together(
    groups,
    _IMAGES,
    rater_pattern,
    class_pattern,
    *_READING,
    *soft_options,
    *_CLASSES,
    _OVERWRITE,
    *_RUNNING,
)
"""What reading, classes and running are to an evaluation."""

calibration_options = together(
    groups,
    _IMAGES,
    rater_pattern,
    class_pattern,
    *_READING,
    *soft_options,
    *_CLASSES,
    _OVERWRITE,
    *(option for option in _RUNNING if option is not _PART),
)
"""The same to a calibration, which is fitted on all cases together."""

tuning_options = together(
    *_INPUT[:1],
    click.option("--out", type=A_PATH, required=True, help="Folder for the results."),
    groups,
    _IMAGES,
    rater_pattern,
    class_pattern,
    *_READING,
    *_CLASSES,
    _OVERWRITE,
    *_RUNNING,
)
"""The same, and the label maps, where soft labels are tried on them."""

page_options = together(_WORKERS, *_BUDGET, _DASK, *_TELLING)
"""How a command that makes a page runs."""


def slurm_part() -> tuple[int, int] | None:
    """The part that a SLURM job array asks for, or None outside one."""
    names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT")
    found = [os.environ.get(name, "") for name in names]
    if not all(text.isdigit() for text in found):
        return None
    task, first, count = map(int, found)
    step = int(os.environ.get("SLURM_ARRAY_TASK_STEP") or 1)
    return (task - first) // step + 1, count
