"""A case lies, for who reads its OME metadata alone, where its affine says.

Judged by the packages that others use: ngff-zarr, napari's reader (where they are
installed) and ome-zarr-models; and by a few lines that know nothing of how softlab
computes scale, translation and orientation.
"""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ome_zarr_models import open_ome_zarr
from ome_zarr_models.v05.image_label import ImageLabel
from ome_zarr_models.v05.labels import Labels

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import UsageError
from softlab_cli.core.events import ignore
from softlab_cli.core.volume import NO_POSITION, Geometry, corner_voxels
from softlab_cli.methods.onehot import OneHot
from softlab_cli.report.soundness import check_store
from softlab_cli.running.plan import make_plan
from softlab_cli.running.request import Request
from softlab_cli.store.documents import ome_metadata
from softlab_cli.store.reader import Store
from softlab_cli.store.schema import CaseInfo
from softlab_cli.store.verify import verify_store
from softlab_cli.store.writer import StoreWriter
from tests.store_support import (
    Example,
    as_first_schema,
    as_placed_before,
    edit_and_seal,
    example,
    fill,
    store_info,
    write_store,
)

SHAPE = (4, 5, 6)
SPACING = (0.8, 0.9, 2.5)
ORIGIN = (90.0, -126.0, -72.0)
CLASSES = ClassTable.from_values([0, 4, 7], {4: "liver", 7: "spleen"}, ignore_values=[9])
WORLD = {
    "left-to-right": (0, 1), "right-to-left": (0, -1),
    "posterior-to-anterior": (1, 1), "anterior-to-posterior": (1, -1),
    "inferior-to-superior": (2, 1), "superior-to-inferior": (2, -1),
}  # fmt: skip
"""What RFC-4 says of an axis: which of the world (RAS+), and whether along it or against it."""


def affine_of(axes: NDArray[Any], origin: Any = ORIGIN) -> NDArray[np.float64]:
    """(4, 4): voxels of `SPACING` along unit vectors in the columns."""
    affine = np.eye(4)
    affine[:3, :3] = axes * SPACING
    affine[:3, 3] = origin
    return affine


def signed_permutations() -> list[NDArray[np.float64]]:
    """The 48 ways that axes can run along those of the world."""
    return [
        np.eye(3)[:, list(order)] * signs
        for order in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    ]


def rotated(*degrees: float) -> NDArray[np.float64]:
    """A rotation about x, y and z in turn."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        a, b = [i for i in range(3) if i != axis]
        turn = np.eye(3)
        turn[[a, a, b, b], [a, b, a, b]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        matrix = turn @ matrix
    return matrix


def sheared() -> NDArray[np.float64]:
    """Slices of a tilted gantry, for an image that lies LPS."""
    axes = np.diag([-1.0, -1.0, 1.0])
    axes[:, 2] = np.array([0, np.sin(np.radians(20)), np.cos(np.radians(20))])
    return axes


def metadata(geometry: Geometry, **changes: Any) -> dict[str, Any]:
    """The image that a case tells."""
    ome = ome_metadata("a", CaseInfo(geometry), store_info(CLASSES, **changes))[""]
    found: dict[str, Any] = json.loads(json.dumps(ome))["multiscales"][0]
    return found


def coordinates(scale: Any, translation: Any, geometry: Geometry) -> NDArray[np.float64]:
    """(3, 8) what a reader of scale and translation puts the corners at, along (x, y, z)."""
    voxels = corner_voxels(geometry.shape)[:3]
    return np.asarray(scale)[::-1, None] * voxels + np.asarray(translation)[::-1, None]


def placed(told: NDArray[Any], orientations: list[str]) -> NDArray[np.float64]:
    """(3, 8) RAS+ millimetres of coordinates along (x, y, z) that run as RFC-4 says."""
    world = np.full_like(told, np.nan)
    for row, name in zip(told, orientations, strict=True):
        axis, sign = WORLD[name]
        world[axis] = sign * row
    return world


def told_by(multiscale: dict[str, Any]) -> tuple[list[float], list[float], list[str]]:
    """Scale and translation along (z, y, x), and orientations along (x, y, z)."""
    axes = [axis for axis in multiscale["axes"] if axis["type"] == "space"]
    scale, translation = multiscale["datasets"][0]["coordinateTransformations"]
    names = [axis["orientation"]["value"] for axis in axes[::-1]]
    return scale["scale"][-3:], translation["translation"][-3:], names


@pytest.mark.parametrize("axes", signed_permutations(), ids=lambda a: str(a.astype(int).tolist()))
def test_every_orientation_lies_where_its_affine_says(axes: NDArray[Any]) -> None:
    geometry = Geometry(SHAPE, affine_of(axes))
    scale, translation, names = told_by(metadata(geometry))
    assert min(scale) > 0
    found = placed(coordinates(scale, translation, geometry), names)
    np.testing.assert_allclose(found, (geometry.affine @ corner_voxels(SHAPE))[:3], atol=1e-12)


def test_the_image_of_the_issue() -> None:
    """LAS at +90: the last voxel is at -91, which is 91 along an axis that runs to the left."""
    affine = np.diag([-1.0, 1, 1, 1])
    affine[0, 3] = 90
    scale, translation, names = told_by(metadata(Geometry((2, 2, 182), affine)))
    assert (names[0], translation[2], 181 * scale[2] + translation[2]) == ("right-to-left", -90, 91)


@pytest.mark.parametrize(
    "axes",
    [rotated(10, -20, 30), rotated(3, 2, 1) @ np.diag([-1, -1, 1]), rotated(80, 170, 60), sheared(),
     rotated(15, 5, -40) @ sheared(), rotated(0, 40, 35), rotated(45, 45, 45)],
    ids=["oblique", "slightly", "turned", "sheared", "both", "half", "half thrice"],
)  # fmt: skip
class TestOblique:
    def test_what_lies_on_the_same_axes_overlays(self, axes: NDArray[Any]) -> None:
        """A crop, and other voxels of one scan, are where they belong to the last bits."""
        whole = Geometry((20, 20, 20), affine_of(axes))
        cut = whole.affine.copy()
        cut[:3, 3] = (whole.affine @ [3, 5, 7, 1])[:3]
        coarse = whole.affine @ np.diag([2, 2, 2, 1.0])
        coarse[:3, 3] = (whole.affine @ [0.5, 0.5, 0.5, 1])[:3]
        scale, translation, names = told_by(metadata(whole))
        for affine, voxel, size in ((cut, (3, 5, 7), 1), (coarse, (0.5, 0.5, 0.5), 2)):
            other, place, same = told_by(metadata(Geometry(SHAPE, affine)))
            assert same == names
            np.testing.assert_allclose(other, np.multiply(scale, size), rtol=1e-12)
            expected = np.multiply(scale, voxel[::-1]) + translation
            np.testing.assert_allclose(place, expected, atol=1e-10)

    def test_names_are_three_axes_of_the_body(self, axes: NDArray[Any]) -> None:
        names = told_by(metadata(Geometry(SHAPE, affine_of(axes))))[2]
        assert sorted(WORLD[name][0] for name in names) == [0, 1, 2]

    def test_no_voxel_moves_further_than_its_axes_turn(self, axes: NDArray[Any]) -> None:
        """What 0.5 cannot say is a turn about the world's origin."""
        geometry = Geometry(SHAPE, affine_of(axes))
        scale, translation, names = told_by(metadata(geometry))
        told = placed(coordinates(scale, translation, geometry), names)
        named = placed(np.eye(3), names)
        turn = np.linalg.norm(axes - named, 2)
        moved = np.linalg.norm(told - (geometry.affine @ corner_voxels(SHAPE))[:3], axis=0)
        along = np.linalg.norm(coordinates(scale, translation, geometry), axis=0)
        assert (moved <= turn * along + 1e-9).all()

    def test_the_affine_of_06_is_exact(self, axes: NDArray[Any]) -> None:
        geometry = Geometry(SHAPE, affine_of(axes))
        found = in_world(metadata(geometry, ome="0.6"), geometry, 1)
        expected = (geometry.affine @ corner_voxels(SHAPE))[:3]
        np.testing.assert_allclose(found[:0:-1], expected, atol=1e-10)


def in_world(multiscale: dict[str, Any], geometry: Geometry, channel: int) -> NDArray[np.float64]:
    """Corners after every transformation of 0.6, with a channel in front where there is one."""
    (sequence,) = multiscale["datasets"][0]["coordinateTransformations"]
    scale, translation = (list(t.values())[1] for t in sequence["transformations"])
    corners = corner_voxels(geometry.shape)[:3][::-1][3 - geometry.ndim :]
    if len(scale) > geometry.ndim:
        corners = np.vstack([np.full(8, channel), corners])
    (affine,) = multiscale["coordinateTransformations"]
    assert (affine["input"]["name"], affine["output"]["name"]) == ("array", "world")
    assert sequence["output"]["name"] == "array"
    matrix = np.array(affine["affine"])
    inner = np.multiply(scale, corners.T) + translation
    result: NDArray[np.float64] = matrix[:, :-1] @ inner.T + matrix[:, -1:]
    return result


class TestPictures:
    """Two axes; the third is 1 mm thick and may stand anywhere."""

    def geometry(self, axes: NDArray[Any]) -> Geometry:
        return Geometry((1, 5, 6), affine_of(axes), 2)

    def test_in_a_slice(self) -> None:
        geometry = self.geometry(np.diag([-1.0, -1, 1]))
        multiscale = metadata(geometry)
        assert multiscale["datasets"][0]["coordinateTransformations"] == [
            {"type": "scale", "scale": [1.0, 0.9, 0.8]},
            {"type": "translation", "translation": [0.0, 126.0, -90.0]},
        ]
        found = in_world(metadata(geometry, ome="0.6"), geometry, 0)
        expected = (geometry.affine @ corner_voxels(geometry.shape))[:2]
        np.testing.assert_allclose(found[1:], expected[::-1], atol=1e-12)

    @pytest.mark.parametrize("axes", [rotated(30, 10, 5), rotated(90, 0, 0)])
    def test_out_of_a_slice(self, axes: NDArray[Any]) -> None:
        geometry = self.geometry(axes)
        found = in_world(metadata(geometry, ome="0.6"), geometry, 2)
        expected = (geometry.affine @ corner_voxels(geometry.shape))[:3]
        np.testing.assert_allclose(found[1:], expected[::-1], atol=1e-10)
        assert (found[0] == 2).all()


@pytest.mark.parametrize(
    "geometry",
    [Geometry(SHAPE, np.eye(4)), Geometry(SHAPE, np.diag([2.0, 2, 2, 1]), missing=NO_POSITION)],
)
def test_what_has_no_place_runs_towards_nothing(geometry: Geometry, tmp_path: Path) -> None:
    for ome in ("0.5", "0.6"):
        assert "orientation" not in json.dumps(metadata(geometry, ome=ome))
    case = replace(example(SHAPE), geometry=geometry)
    write_store(tmp_path / "s", a=case)
    assert verify_store(tmp_path / "s") == []
    assert Store(tmp_path / "s")["a"].geometry.missing == geometry.missing


class TestVerify:
    def oblique(self, path: Path, axes: NDArray[Any], **changes: Any) -> Path:
        case = example(SHAPE)
        geometry = Geometry(SHAPE, affine_of(axes))
        write_store(path / "s", a=replace(case, geometry=geometry), **changes)
        return path / "s"

    @pytest.mark.parametrize("ome", ["0.5", "0.6"])
    def test_damage(self, tmp_path: Path, ome: str) -> None:
        store = self.oblique(tmp_path, rotated(10, -20, 30), ome=ome)
        assert verify_store(store) == []
        for path in ("zarr.json", "labels/zarr.json", "labels/label/zarr.json"):
            file = store / "a" / path
            sound = file.read_text()
            for spoilt in (
                sound.replace('"ome"', '"omit"'),
                sound.replace("label", "lapel"),
                *([sound.replace("to-", "-ot")] if "to-" in sound else []),
                "",
                "{",
            ):
                if path == "zarr.json" and len(spoilt) < 2:
                    continue  # no case at all then
                file.write_text(spoilt)
                found = verify_store(store)
                assert [d.severity for d in found] == ["defect"], (path, spoilt, found)
            file.write_text(sound)
        (store / "a/labels/label/zarr.json").unlink()
        (found,) = verify_store(store)
        assert found.what == f"OME-NGFF {ome}"
        assert "labels/label/zarr.json" in found.detail

    def test_the_affine_decides(self, tmp_path: Path) -> None:
        """A faulty writer's affine, sealed: the metadata no longer follow from it."""
        store = self.oblique(tmp_path, np.eye(3))
        edit_and_seal(store / "a", lambda facts: facts["affine"][0].__setitem__(0, -0.8))
        found = [d for d in verify_store(store) if d.what == "OME-NGFF 0.5"]
        assert "orientation" in found[0].detail

    @pytest.mark.parametrize("labels_only", [False, True])
    def test_stores_of_earlier_versions_are_named_and_mended(
        self, tmp_path: Path, labels_only: bool
    ) -> None:
        store = self.oblique(tmp_path, np.diag([-1.0, -1, 1]), labels_only=labels_only)
        as_first_schema(store)
        assert verify_store(store) == []
        right = (store / "a/zarr.json").read_text()
        as_placed_before(store)
        (found,) = verify_store(store)
        assert (found.what, found.severity) == ("OME-NGFF 0.5", "defect")
        assert "run to RAS, and they run to LPS: translation [" in found.detail
        assert "90.0] instead of [" in found.detail
        assert "--mend-ome" in found.remedy
        (note,) = check_store(store, mend_ome=True)
        assert (note.severity, note.detail[:12]) == ("note", "written anew")
        assert (store / "a/zarr.json").read_text() == right
        assert check_store(store, mend_ome=True) == []
        assert sorted(p.name for p in store.iterdir()) == ["a", "zarr.json"]

    @pytest.mark.parametrize(
        ("axes", "notes"), [(np.eye(3), 0), (rotated(3, 2, 1), 1)], ids=["RAS", "nearly"]
    )
    def test_what_earlier_versions_wrote_rightly_is_sound(
        self, tmp_path: Path, axes: NDArray[Any], notes: int
    ) -> None:
        store = self.oblique(tmp_path, axes)
        as_first_schema(store)
        as_placed_before(store)
        assert [d.severity for d in verify_store(store)] == ["note"] * notes

    @pytest.mark.parametrize("ome", ["0.5", "0.6"])
    def test_mending_of_a_new_store(self, tmp_path: Path, ome: str) -> None:
        store = self.oblique(tmp_path, rotated(10, -20, 30), ome=ome)
        files = [*(store / "a").rglob("zarr.json")]
        sound = [file.read_text() for file in files]
        (store / "a/labels/zarr.json").unlink()
        text = (store / "a/zarr.json").read_text()
        (store / "a/zarr.json").write_text(text.replace("translation", "sequence"))
        (store / "a/labels/label/zarr.json").write_text("{")
        assert {d.severity for d in check_store(store, mend_ome=True)} == {"note"}
        assert [file.read_text() for file in files] == sound


class TestSchemas:
    def test_a_store_goes_on_as_it_was_begun(self, tmp_path: Path) -> None:
        case = example(SHAPE)
        write_store(tmp_path / "s", a=case)
        as_first_schema(tmp_path / "s")
        root = (tmp_path / "s/zarr.json").read_text()
        store = write_store(tmp_path / "s", b=case)
        assert store.info.schema == 1
        assert (tmp_path / "s/zarr.json").read_text() == root
        names = [
            sorted(str(p.relative_to(tmp_path / "s" / c)) for p in (tmp_path / "s" / c).rglob("*"))
            for c in "ab"
        ]
        assert names[0] == names[1]
        assert "label/c/0/0/0" in names[0]
        assert verify_store(tmp_path / "s") == []
        for case_id in "ab":
            np.testing.assert_array_equal(Store(tmp_path / "s")[case_id].read(), case.soft)
            assert store.completed(case_id) is not None

    def test_overwriting_begins_anew(self, tmp_path: Path) -> None:
        case = example(SHAPE)
        write_store(tmp_path / "s", a=case)
        as_first_schema(tmp_path / "s")
        info = store_info(case.classes)
        store = StoreWriter.create_or_open(tmp_path / "s", info, overwrite=True)
        assert (store.info.schema, list(Store(tmp_path / "s"))) == (1.1, [])

    def test_the_command_goes_on_with_an_old_store(
        self, softlab: Any, labels: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "soft.zarr"
        run = ("svls", "--in", labels, "--out", out, "--workers", 1)
        assert softlab(*run).exit_code == 0
        as_first_schema(out)
        first, *_ = list(Store(out))
        before = Store(out)[first].read()
        for path in sorted((out / first).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (out / first).rmdir()
        done = softlab(*run)
        assert done.exit_code == 0, done.output
        assert done.output.split()[1:3] == ["done", "1"]
        np.testing.assert_array_equal(Store(out)[first].read(), before)
        assert (out / first / "label").is_dir()
        assert not [d for d in verify_store(out) if d.severity == "defect"]


class TestCommands:
    def test_the_version_is_chosen_once(self, softlab: Any, labels: Path, tmp_path: Path) -> None:
        out = tmp_path / "soft.zarr"
        run = ("ls", "--in", labels, "--out", out, "--workers", 1)
        assert softlab(*run, "--ome", "0.6").exit_code == 0
        case_id = next(iter(Store(out)))
        told = json.loads((out / case_id / "zarr.json").read_text())["attributes"]["ome"]
        assert told["version"] == "0.6"
        assert told["multiscales"][0]["coordinateTransformations"][0]["type"] == "affine"
        assert softlab("verify", out).exit_code == 0
        again = softlab(*run)
        assert again.exit_code == 1
        assert "ome:" in again.stderr

    def test_another_version_is_refused(self, labels: Path, tmp_path: Path) -> None:
        request = Request([labels], tmp_path / "s", ome="0.7")
        with pytest.raises(UsageError, match=r"no OME-NGFF '0\.7'.*0\.5 or 0\.6"):
            make_plan(OneHot(), request, ignore)

    def test_mending(self, softlab: Any, tmp_path: Path) -> None:
        write_store(tmp_path / "s", a=example(SHAPE))
        as_first_schema(tmp_path / "s")
        as_placed_before(tmp_path / "s")
        refused = softlab("verify", tmp_path / "s")
        assert (refused.exit_code, "run to LAS" in refused.output) == (1, True)
        mended = softlab("verify", tmp_path / "s", "--mend-ome")
        assert (mended.exit_code, "written anew" in mended.output) == (0, True)
        assert "sound\n" in softlab("verify", tmp_path / "s").output


@pytest.fixture(scope="module", params=["0.5", "0.6"])
def cases(request: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Cases of every kind, in one version of the metadata."""
    path = tmp_path_factory.mktemp("ngff")
    kinds: dict[str, tuple[Example, bool]] = {
        "sheared": (replace(example(SHAPE), geometry=Geometry(SHAPE, affine_of(sheared()))), False),
        "hard": (example(SHAPE), True),
        "flat": (example((1, 5, 6), ndim=2), False),
        "flat_hard": (example((1, 5, 6), ndim=2), True),
    }
    for name, (case, labels_only) in kinds.items():
        write_store(path / name, a=case, labels_only=labels_only, ome=request.param)
    raters = store_info(kinds["hard"][0].classes, keep_raters=True, ome=request.param)
    case = kinds["hard"][0]
    with StoreWriter.create_or_open(path / "raters", raters).case("a", case.geometry, 2) as writer:
        fill(writer, case)
        for rater in (0, 1):
            for region in writer.grid.regions():
                writer.append(writer.encode_label(region, case.indices[region], rater))
        writer.complete(CaseInfo(case.geometry, raters=("r1", "r2")))
    kinds["raters"] = (case, False)
    return {"path": path, "kinds": kinds, "version": request.param}


def test_ngff_zarr_reads_every_case(cases: dict[str, Any]) -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr")
    for name, (case, labels_only) in cases["kinds"].items():
        indices = case.indices.reshape(case.indices.shape[3 - case.geometry.ndim :])
        image = read_by_ngff_zarr(ngff_zarr, cases["path"] / name / "a", case.geometry)
        expected = indices if labels_only else case.soft.reshape(-1, *indices.shape)
        np.testing.assert_array_equal(image, expected)
        label = cases["path"] / name / "a/labels/label"
        np.testing.assert_array_equal(read_by_ngff_zarr(ngff_zarr, label, case.geometry), indices)


def read_by_ngff_zarr(ngff_zarr: Any, path: Path, geometry: Geometry) -> NDArray[Any]:
    """The voxels, once it is sure that ngff-zarr sees the place and its schemas are content."""
    validate = _has_jsonschema()
    read = ngff_zarr.from_ngff_zarr(str(path), validate=validate)
    if validate:
        attributes = json.loads((path / "zarr.json").read_text())["attributes"]
        model = "label" if "image-label" in attributes["ome"] else "image"
        ngff_zarr.validate(attributes, version=attributes["ome"]["version"], model=model)
    (image,) = read.images
    names = "xyz"[: geometry.ndim]
    towards = [image.axes_orientations[n].value.value for n in names]
    plain = Geometry(geometry.shape, geometry.affine, geometry.ndim)
    expected = metadata(plain)
    scale, translation = expected["datasets"][0]["coordinateTransformations"]
    assert [image.scale[n] for n in names[::-1]] == scale["scale"][-geometry.ndim :]
    assert [image.translation[n] for n in names[::-1]] == translation["translation"][
        -geometry.ndim :
    ]
    assert towards == [a["orientation"]["value"] for a in expected["axes"][:0:-1]]
    return np.asarray(image.data)


def _has_jsonschema() -> bool:
    try:
        import jsonschema  # noqa: F401
    except ImportError:
        return False
    return True


def test_every_orientation_by_ngff_zarr(tmp_path: Path) -> None:
    """What ngff-zarr reads of a case, and nothing else, puts its corners where the affine does."""
    ngff_zarr = pytest.importorskip("ngff_zarr")
    case = example((2, 2, 3))
    root = StoreWriter.create_or_open(tmp_path / "s", store_info(case.classes), sync=False)
    for number, axes in enumerate(signed_permutations()):
        geometry = Geometry((2, 2, 3), affine_of(axes))
        with root.case(f"a{number}", geometry) as writer:
            writer.complete(CaseInfo(geometry))
        (image,) = ngff_zarr.from_ngff_zarr(str(root.path / f"a{number}")).images
        scale, translation = ([part[n] for n in "zyx"] for part in (image.scale, image.translation))
        names = [image.axes_orientations[n].value.value for n in "xyz"]
        found = placed(coordinates(scale, translation, geometry), names)
        expected = (geometry.affine @ corner_voxels(geometry.shape))[:3]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_napari_opens_every_case(cases: dict[str, Any]) -> None:
    napari_ome_zarr = pytest.importorskip("napari_ome_zarr")
    for name, (case, labels_only) in cases["kinds"].items():
        path = str(cases["path"] / name / "a")
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it reads
            (image, label) = napari_ome_zarr.napari_get_reader(path)(path)
        assert (image[2], label[2]) == ("image", "labels")
        indices = case.indices.reshape(case.indices.shape[3 - case.geometry.ndim :])
        np.testing.assert_array_equal(np.asarray(label[0][0]), indices)
        assert label[1]["properties"]["name"] == [*case.classes.names, "not labelled"]
        assert list(label[1]["colormap"]) == [0, 1, 2, 255]
        assert label[1]["colormap"][0][3] == 0, "the background is seen through"
        assert ("channel_axis" in image[1]) == (not labels_only)
        place = np.array(label[1]["affine"].affine_matrix) @ np.diag([*label[1]["scale"], 1])
        if cases["version"] == "0.6":
            corners = (place @ in_array_order(case.geometry))[:-1]
            expected = (case.geometry.affine @ corner_voxels(case.geometry.shape))[:3][::-1]
            np.testing.assert_allclose(corners, expected[3 - case.geometry.ndim :], atol=1e-10)


def in_array_order(geometry: Geometry) -> NDArray[np.float64]:
    """(4, 8) homogeneous corner voxels (z, y, x, 1), or (3, 8) (y, x, 1) in 2D."""
    voxels = corner_voxels(geometry.shape)[:3][::-1][3 - geometry.ndim :]
    return np.vstack([voxels, np.ones((1, 8))])


def test_the_label_image_is_one(cases: dict[str, Any]) -> None:
    if cases["version"] != "0.5":
        pytest.skip("ome-zarr-models knows 0.5")
    import zarr

    for name in cases["kinds"]:
        group = zarr.open_group(cases["path"] / name / "a", mode="r")
        labels = open_ome_zarr(group["labels"])
        assert isinstance(labels, Labels)
        assert labels.attributes.ome.labels == ["label"]
        label = ImageLabel.from_zarr(group["labels/label"])
        assert label.attributes.ome.image_label is not None
