"""One store, four readers: ours, zarr-python, zarrs and tensorstore see the same values.

zarr-python is read with its own codec pipeline and with that of zarrs (Rust);
tensorstore (C++) shares no code with either. Our reader is compared with each on
whole arrays and on random regions, so that any disagreement about absent chunks,
blocks that reach past the volume or the order of a shard shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import zarr
import zarrs
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from ome_zarr_models import open_ome_zarr
from ome_zarr_models.common.omero import Omero
from ome_zarr_models.v05 import Image

from softlab_cli.store.reader import Case, Store
from tests.store_support import Example, example, small_blocks, write_store

CASES = {
    "small": example((11, 9, 18)),
    "single": example((4, 4, 4), seed=1),
    "many_classes": example((9, 10, 11), 300, seed=2),
    "flat": example((1, 21, 35), ndim=2),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with small_blocks():
        path = tmp_path_factory.mktemp("parity")
        for name, case in CASES.items():
            write_store(path / name, case=case)
            write_store(path / f"{name}_hard", labels_only=True, case=case)
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Example]:
    """Blocks and shards of the size that users get; the last ones reach past the volume."""
    case = example((70, 40, 300), seed=3)
    path = tmp_path_factory.mktemp("large")
    write_store(path, case=case)
    return path, case


def by_zarr(path: Path) -> NDArray[Any]:
    array = zarr.open_group(path.parent, mode="r")[path.name]
    return np.asarray(array[:])  # type: ignore[index]


def by_zarrs(path: Path) -> NDArray[Any]:
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        array = zarr.open_array(path, mode="r")
        assert isinstance(array._async_array.codec_pipeline, zarrs.ZarrsCodecPipeline)
        return np.asarray(array[:])


def by_tensorstore(path: Path) -> NDArray[Any]:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    return np.asarray(tensorstore.open(spec, open=True).result().read().result())


READERS = [by_zarr, by_zarrs, by_tensorstore]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", CASES)
def test_whole_arrays(folder: Path, name: str, read: Any) -> None:
    case = CASES[name]
    flat = case.geometry.ndim == 2
    ours: Case = Store(folder / name)["case"]
    soft = case.soft[:, 0] if flat else case.soft
    indices = case.indices[0] if flat else case.indices
    for array, expected, own in [
        ("soft", soft, ours.read()),
        ("labels/label/0", indices, ours.read_label()),
    ]:
        found = read(folder / name / "case" / array)
        assert found.dtype == expected.dtype == own.dtype
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(own, expected)
    np.testing.assert_array_equal(
        read(folder / f"{name}_hard" / "case" / "labels/label/0"), indices
    )


@pytest.mark.parametrize("read", READERS)
def test_blocks_of_full_size(large: tuple[Path, Example], read: Any) -> None:
    path, case = large
    assert len(list(path.rglob("soft/c.0.0.0.*"))) == 2
    np.testing.assert_array_equal(read(path / "case" / "soft"), case.soft)
    np.testing.assert_array_equal(read(path / "case" / "labels/label/0"), case.indices)
    np.testing.assert_array_equal(Store(path)["case"].read(), case.soft)


@given(data=st.data())
def test_random_regions(large: tuple[Path, Example], data: st.DataObject) -> None:
    path, case = large
    array = zarr.open_array(path / "case" / "soft", mode="r")
    bounds = [
        sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2)))
        for n in case.indices.shape
    ]
    region = tuple(slice(*b) for b in bounds)
    expected = array[(slice(None), *region)]
    np.testing.assert_array_equal(Store(path)["case"].read(region), expected)


@pytest.mark.parametrize("kind", ["", "_hard"])
@pytest.mark.parametrize("name", CASES)
def test_the_ngff_validator_accepts_each_case(folder: Path, name: str, kind: str) -> None:
    group = zarr.open_group(folder / f"{name}{kind}" / "case", mode="r")
    image = open_ome_zarr(group)
    assert isinstance(image, Image)
    (multiscale,) = image.attributes.ome.multiscales
    assert multiscale.datasets[0].path == ("labels/label/0" if kind else "soft")
    assert multiscale.ndim == CASES[name].geometry.ndim + (not kind)
    if not kind:
        omero = Omero.model_validate(group.attrs["ome"]["omero"])  # type: ignore[index,call-overload]
        assert len(omero.channels) == len(CASES[name].classes)
