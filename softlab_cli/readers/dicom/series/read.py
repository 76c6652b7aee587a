"""DICOM images: list the series of a folder, find their grids, read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softlab_cli.core.errors import InputError
from softlab_cli.core.folders import files_below
from softlab_cli.core.volume import Geometry, Image
from softlab_cli.readers.dicom.files.common import quiet
from softlab_cli.readers.dicom.files.frames import Frame, frames_of
from softlab_cli.readers.dicom.files.magic import is_dicom_file
from softlab_cli.readers.dicom.files.pixels import channels_of, fill_volume
from softlab_cli.readers.dicom.files.scan import Kind, Scan, Series, choose_series, scan_dicom
from softlab_cli.readers.dicom.series.grid import SeriesGrid, build_grid

__all__ = ["SeriesSummary", "holds_dicom", "list_series", "open_series", "read_series"]


@dataclass(frozen=True)
class SeriesSummary:
    """What a list of series says of one of them.

    Parameters
    ----------
    uid
        Series instance UID, or an empty string.
    description, modality
        As in the files.
    kind
        ``image``, ``segmentation``, ``contours`` or ``other``.
    files
        Its files.
    slices
        Frames of all files.
    rows, columns
        Size of the first file's slices; 0 for files without pixels.
    geometry
        The grid, or None where the slices make none.
    problems
        Why it cannot be read, and what is odd about it.
    broken
        Files that end before their pixels do, with the reason.
    """

    uid: str
    description: str
    modality: str
    kind: Kind
    files: tuple[Path, ...]
    slices: int
    rows: int
    columns: int
    geometry: Geometry | None
    problems: tuple[str, ...]
    broken: tuple[InputError, ...] = ()


def holds_dicom(path: Path) -> bool:
    """Whether a path is a DICOM file, or a folder with one (subfolders included).

    Stops at the first DICOM file that it finds.
    """
    if path.is_file():
        return is_dicom_file(path)
    return any(is_dicom_file(p) for p in files_below(path))


def list_series(path: str | Path) -> list[SeriesSummary]:
    """Every series in a file or folder, subfolders included.

    Parameters
    ----------
    path
        A DICOM file or a folder.

    Raises
    ------
    InputError
        When the path does not exist, or holds files that should be DICOM and
        cannot be read.
    """
    with quiet():
        scan = scan_dicom(Path(path))
        scan.check()
        return [_summary(scan, series) for series in scan.series]


def _summary(scan: Scan, series: Series) -> SeriesSummary:
    slices = len(series.files)
    geometry: Geometry | None = None
    problems: tuple[str, ...] = ()
    if series.kind == "image":
        try:
            frames = _frames(series)
            slices = len(frames)
            grid = build_grid(scan.path, series.uid, frames)
            geometry, problems = grid.geometry, grid.warnings
        except InputError as error:
            problems = (error.problem,)
    return SeriesSummary(
        series.uid,
        series.description,
        series.modality,
        series.kind,
        tuple(f.path for f in series.files),
        slices,
        series.files[0].integer("Rows"),
        series.files[0].integer("Columns"),
        geometry,
        problems,
        tuple(_truncated(series)),
    )


def _truncated(series: Series) -> Iterator[InputError]:
    for file in series.files:
        try:
            file.check_pixels()
        except InputError as error:
            yield error


def _frames(series: Series) -> list[Frame]:
    return [frame for file in series.files for frame in frames_of(file)]


def grid_of(scan: Scan, series: Series) -> SeriesGrid:
    """The grid of one series of a scan."""
    grid = build_grid(scan.path, series.uid, _frames(series))
    return _with_warnings(grid, scan.warnings())


def _with_warnings(grid: SeriesGrid, more: tuple[str, ...]) -> SeriesGrid:
    return SeriesGrid(
        grid.path, grid.uid, grid.frame_of_reference, grid.frames, grid.geometry,
        (*grid.warnings, *more),
    )  # fmt: skip


def open_series(path: str | Path, series: str | None = None) -> SeriesGrid:
    """The slices of a series and their grid, without the pixels.

    Parameters
    ----------
    path
        A DICOM file, or a folder that is searched with its subfolders.
    series
        UID, description or a pattern for it (``*CT*``); needed where the folder
        holds several image series.

    Raises
    ------
    InputError
        When there is no such series (the message lists those there are), or its
        slices do not make one volume.
    """
    with quiet():
        scan = scan_dicom(Path(path))
        return grid_of(scan, choose_series(scan, series))


def read_series(source: str | Path | SeriesGrid, series: str | None = None) -> Image:
    """A series as an image.

    Parameters
    ----------
    source
        As `path` of `open_series`, or what that returned.
    series
        As in `open_series`.

    Returns
    -------
    Image
        (channels, Z, Y, X) float32 intensities, rescaled slice by slice; Z runs
        along the slices' normal, the affine is RAS+ millimetres. Values of
        MONOCHROME1 images are not inverted.

    Raises
    ------
    InputError
        As `open_series`, and when pixels are truncated or cannot be decoded.
    """
    grid = source if isinstance(source, SeriesGrid) else open_series(source, series)
    channels = {channels_of(frame.file) for frame in grid.frames}
    if len(channels) > 1:
        remedy = "Leave the slices of one kind out of the folder."
        raise InputError("mixes grey and colour slices.", remedy=remedy, path=grid.path)
    volume = np.empty((channels.pop(), *grid.geometry.shape), np.float32)
    fill_volume(grid.frames, volume)
    return Image(volume, grid.geometry, grid.warnings)
