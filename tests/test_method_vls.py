"""`softlab vls` from the command line to the store, with networks that take no time."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softlab_cli
from softlab_cli.api import soften
from softlab_cli.cases import Case
from softlab_cli.core.blocks import Grid
from softlab_cli.core.errors import InputError, SoftlabError, StoreError, UsageError
from softlab_cli.core.events import Event, Notice
from softlab_cli.core.volume import Geometry
from softlab_cli.labels.patients import patient_of
from softlab_cli.methods import SVLS, VLS, OneHot
from softlab_cli.methods.arrays import ArrayCase, ArraySink
from softlab_cli.methods.prepared import PreparedBlocks
from softlab_cli.methods.vls.blending import LearnedMaps
from softlab_cli.methods.vls.cases import dims_of, fits_spacing, median_spacing
from softlab_cli.methods.vls.maps import PlaneMaps
from softlab_cli.methods.vls.model import read_model
from softlab_cli.running.runner import run
from tests.conftest import write_image
from tests.dicom_support import make_series, make_slices, save_slices
from tests.vls_support import TINY, disc, options, write_discs

Softlab = Callable[..., Any]

EDITED = 1
"""A case that some fold learns from."""


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_discs(tmp_path_factory.mktemp("discs"), 5, size=20)


@pytest.fixture(scope="module")
def trained(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run that trained on all discs."""
    out = tmp_path_factory.mktemp("trained") / "vls.zarr"
    report = train(discs, out)
    assert report.done == 5
    return out


@pytest.fixture(scope="module")
def model(trained: Path) -> Path:
    return trained.with_name("vls.zarr.fit")


def train(data: Path, out: Path, said: list[str] | None = None, **parameters: Any) -> Any:
    """Run `TINY` with some other parameters; what is said is added to `said`."""

    def listen(event: Event) -> None:
        if isinstance(event, Notice) and said is not None:
            said.append(event.message)

    own = {name: parameters.pop(name) for name in list(parameters)
           if name in VLS.__dataclass_fields__}  # fmt: skip
    given = {"workers": 1, "threads": 1, "images": data / "images", "listen": listen}
    return run(VLS(**(TINY | own)), data / "labels", out, **(given | parameters))


def soft_labels(store: Path) -> dict[str, np.ndarray]:
    return {case_id: case.read() for case_id, case in softlab_cli.open_store(store).items()}


def test_it_goes_all_the_way(discs: Path, softlab: Softlab, tmp_path: Path) -> None:
    out = tmp_path / "o.zarr"
    inputs = ["vls", "--in", discs / "labels", "--images", discs / "images", "--out", out]
    inputs += ["--workers", 1, *options(steps=2)]
    dry = softlab(*inputs, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "5 to do" in dry.output
    assert not (tmp_path / "o.zarr.fit").exists()
    alone = softlab(*inputs, "--train-only")
    assert alone.exit_code == 0, alone.output + alone.stderr
    assert "o.zarr.fit" in alone.output
    assert not out.exists()
    done = softlab(*inputs)
    assert done.exit_code == 0, done.output + done.stderr
    assert "fold 0" not in done.stderr, "nothing is trained twice"
    assert "done         5" in done.output
    assert softlab("verify", out).output.count("sound") == 1
    shutil.rmtree(out / "c1")
    assert "done         1" in softlab(*inputs).output
    assert "vls" in softlab("--help").output


def test_what_is_kept_of_a_training(model: Path) -> None:
    names = sorted(path.name for path in model.iterdir())
    assert names == ["fold_0.pt", "fold_1.pt", "folds.csv", "model.json"]
    facts = json.loads((model / "model.json").read_text())
    assert facts["recipe"]["steps"] == 6
    assert facts["recipe"]["dims"] == 2
    assert len(facts["cases"]) == 5
    assert {"numpy", "python", "torch"} == set(facts["software"])
    assert set(facts["report"]["0"]["figures"]) == {"skill", "dice", "divergence", "edge_entropy"}


def test_soft_labels_are_those_of_the_fold_that_has_not_seen_them(
    trained: Path, model: Path
) -> None:
    store = softlab_cli.open_store(trained)
    known = {case.case_id: case.fold for case in read_model(model).cases.values()}
    for case_id, case in store.items():
        facts = case.info.details["vls"]
        assert facts["folds"] == [known[case_id]]
        assert facts["out_of_fold"]
        assert case.info.warnings == ()
    assert store.info.parameters["trained"] == read_model(model).checksum


def test_the_same_bits_in_any_order_and_by_any_workers(
    discs: Path, trained: Path, tmp_path: Path
) -> None:
    data = tmp_path / "turned"
    for i in reversed(range(5)):  # so that folders list them in another order
        for kind in ("labels", "images"):
            (data / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(discs / kind / f"c{i}.nii.gz", data / kind / f"c{i}.nii.gz")
    train(data, tmp_path / "two.zarr", workers=2, threads=2)
    found, expected = soft_labels(tmp_path / "two.zarr"), soft_labels(trained)
    assert all((found[case_id] == expected[case_id]).all() for case_id in expected)


def test_the_maps_may_wait_on_disk(discs: Path, model: Path, tmp_path: Path, trained: Path) -> None:
    case = softlab_cli.open_store(trained)["c0"]
    assert case.info.details["vls"]["scratch_bytes"] == 2 * 2 * 20 * 20
    planes = np.random.default_rng(0).random((5, 3, 6, 7)).astype(np.float16)
    region = slice(1, 4), slice(0, 6), slice(2, 7)
    for path in (None, tmp_path / "maps"):
        with PlaneMaps(3, (6, 7), path) as maps:
            maps.append(planes[:2])
            maps.append(planes[2:])
            assert (maps.read(region) == planes[1:4, :, :, 2:7]).all()
            assert (len(maps), maps.size) == (5, planes.nbytes)
            assert path is None or path.exists()
    assert not (tmp_path / "maps").exists()
    with pytest.raises(StoreError, match="cannot be written"):
        PlaneMaps(3, (6, 7), tmp_path / "none" / "maps").append(planes)


def test_without_smoothing_it_is_its_base_to_the_bit(model: Path) -> None:
    image, label, _ = disc(77, size=24)
    label[0, :3, :3] = 9
    for base, method in (("onehot", OneHot()), ("svls", SVLS())):
        made = VLS(model=model, smoothing=0, base=base, device="cpu")
        found = soften(made, label, image, ignore_value=9)
        assert (found == soften(method, label, ignore_value=9)).all()


def test_below_a_half_the_largest_class_stays(model: Path) -> None:
    image, label, _ = disc(78, size=24)
    soft = softlab_cli.vls(label, image, model=model, smoothing=0.49, device="cpu")
    assert (soft.argmax(axis=0) == label).all()
    np.testing.assert_allclose(soft.astype(float).sum(axis=0), 1, atol=2e-3)
    assert 0 < soft.min() < 0.49


def test_blending_is_linear_and_temperature_flattens(model: Path) -> None:
    image, label, _ = disc(79, size=24)
    made = VLS(model=model, smoothing=1, device="cpu")
    learned = soften(made, label, image).astype(np.float64)
    half = soften(replace(made, smoothing=0.25), label, image)
    onehot = soften(OneHot(), label).astype(np.float64)
    np.testing.assert_allclose(half, 0.75 * onehot + 0.25 * learned, atol=1e-3)
    flat = soften(replace(made, temperature=2), label, image).astype(np.float64)
    expected = learned**0.5 / (learned**0.5).sum(axis=0)
    np.testing.assert_allclose(flat, expected, atol=2e-3)
    one = soften(replace(made, samples=1), label, image)
    assert (one != learned).any()


def test_an_image_that_the_model_does_not_know_gets_the_mean_of_all(
    model: Path, tmp_path: Path
) -> None:
    data = write_discs(tmp_path / "data", 3, size=20)
    image, label, _ = disc(1234, size=20)
    for name in ("c1", "new"):
        write_image(data / "labels" / f"{name}.nii.gz", label)
        write_image(data / "images" / f"{name}.nii.gz", image)
    write_image(data / "labels" / "c2.nii.gz", label)
    report = train(data, tmp_path / "o.zarr", model=model)
    assert not (tmp_path / "o.zarr.fit").exists()
    warned = {outcome.case_id: " ".join(outcome.warnings) for outcome in report.outcomes}
    assert warned["c0"] == warned["new"] == ""
    assert "the image has changed since the model was trained" in warned["c1"]
    assert "the label map has changed since the model was trained" in warned["c2"]
    store = softlab_cli.open_store(tmp_path / "o.zarr")
    details = {case_id: case.info.details["vls"] for case_id, case in store.items()}
    assert details["new"]["folds"] == [0, 1]
    assert len(details["c2"]["folds"]) == 1
    one = [soften(replace_folds(model, fold, tmp_path), label, image) for fold in (0, 1)]
    mean = sum(soft.astype(np.float64) for soft in one) / 2
    np.testing.assert_allclose(store["new"].read(), mean, atol=1e-3)


def replace_folds(model: Path, fold: int, folder: Path) -> VLS:
    """The method with a model of one of the folds alone."""
    alone = folder / f"alone{fold}"
    shutil.copytree(model, alone)
    facts = json.loads((alone / "model.json").read_text())
    (alone / "fold_0.pt").write_bytes((model / f"fold_{fold}.pt").read_bytes())
    facts["weights"] = [facts["weights"][fold]]
    (alone / "model.json").write_text(json.dumps(facts))
    return VLS(model=alone, device="cpu", samples=TINY["samples"])


def test_editing_a_label_changes_no_soft_label_of_that_case(tmp_path: Path, discs: Path) -> None:
    data, chosen = tmp_path / "data", {"engine": "crossfit", "smoothing": 1.0}
    plain = {name: VLS.__dataclass_fields__[name].default for name in ("latent", "samples")}
    shutil.copytree(discs, data)
    chosen |= plain
    train(data, tmp_path / "before.zarr", **chosen)
    edited = disc(EDITED, size=20)[1]
    edited[0, 2:9, 2:9] = 1
    write_image(data / "labels" / f"c{EDITED}.nii.gz", edited)
    train(data, tmp_path / "after.zarr", **chosen)
    before, after = soft_labels(tmp_path / "before.zarr"), soft_labels(tmp_path / "after.zarr")
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert f"c{EDITED}" not in changed
    assert changed, "others have learned from it"


def test_a_volume_in_space_with_channels_and_ignored_voxels(tmp_path: Path) -> None:
    for i in range(2):
        image, label, _ = disc(i, size=18, depth=17)
        label = label.astype(np.uint16)
        label[:, :2] = 9
        label[3:6, 8:10, 8:10] = 300
        spacing = (1.0, 1.0, 1.0) if i else (1.3, 1.0, 1.0)
        write_image(tmp_path / "labels" / f"c{i}.nii.gz", label, spacing)
        for channel, values in enumerate((image, -image)):
            write_image(tmp_path / "images" / f"c{i}_000{channel}.nii.gz", values, spacing)
    said: list[str] = []
    report = train(tmp_path, tmp_path / "o.zarr", said, steps=1, ignore_labels=[9])
    assert report.done == 2, report
    store = softlab_cli.open_store(tmp_path / "o.zarr")
    assert store.info.parameters["dims"] == 3
    for case in store.values():
        soft, ignored = case.read().astype(float), case.read_label() == 255
        assert soft.shape == (3, 17, 18, 18)
        assert (soft[:, ignored] == 0).all()
        np.testing.assert_allclose(soft.sum(axis=0)[~ignored], 1, atol=3e-3)
        assert (soft.argmax(axis=0) == case.read_label())[~ignored].all()
    assert any("spacings differ" in line for line in said)
    assert "few to learn from" in " ".join(said)


def test_slices_where_volumes_are_thick() -> None:
    def grid(shape: tuple[int, int, int], spacing: float, ndim: int = 3) -> Geometry:
        return Geometry(shape, np.diag([1.0, 1.0, spacing, 1.0]), ndim)

    assert dims_of([grid((40, 64, 64), 1.0)]) == 3
    assert dims_of([grid((15, 64, 64), 1.0)]) == 2
    assert dims_of([grid((40, 64, 64), 3.1)]) == 2
    assert dims_of([grid((1, 64, 64), 1.0, 2)]) == 2
    grids = [grid((40, 64, 64), s) for s in (1.0, 1.1, 5.0)]
    assert median_spacing(grids) == (1.1, 1.0, 1.0)
    assert [fits_spacing(grids[0], (1.05, 1, 1), 3), fits_spacing(grids[0], (2, 1, 1), 3)] == [1, 0]
    assert fits_spacing(grids[2], (1, 1, 1), 2), "slices are seen one at a time"
    with pytest.raises(InputError, match=r"voxels of 5 x 1 x 1 mm, and the model is of 1 x 1 x 1"):
        fits_spacing(grids[2], (1, 1, 1), 3)


def refused(data: Path, out: Path, message: str, kind: type[SoftlabError], **changes: Any) -> None:
    """No run, for one clear reason, and nothing that looks like a result."""
    with pytest.raises(kind, match=message) as raised:
        train(data, out, **changes)
    assert "\n" not in str(raised.value)
    assert not out.exists()


def test_what_nothing_can_be_learned_from(discs: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.zarr"
    refused(discs, out, "5 groups are too few for 6 folds", InputError, folds=6)
    refused(discs, out, "gives the case 'c0' no group", UsageError, group_by="x")
    refused(discs, out, "would never see the class 'label_7', which occurs in no case",
            InputError, labels="0,1,7")  # fmt: skip
    rare = tmp_path / "rare"
    shutil.copytree(discs, rare)
    label = disc(0, size=20)[1]
    label[0, 0, 0] = 2
    write_image(rare / "labels" / "c0.nii.gz", label)
    refused(rare, out, r"never see the class 'label_2', which occurs only in c0", InputError)
    write_image(rare / "images" / "c0_0000.nii.gz", disc(0, size=20)[0])
    write_image(rare / "images" / "c0_0001.nii.gz", disc(0, size=20)[0])
    (rare / "images" / "c0.nii.gz").unlink()
    refused(rare, out, "different numbers of channels: c1 has 1, c0 has 2", InputError)


def test_images_that_tell_nothing_are_an_error(discs: Path, tmp_path: Path) -> None:
    data, out, said = tmp_path / "data", tmp_path / "o.zarr", list[str]()
    shutil.copytree(discs, data)
    for i, path in enumerate((data / "images").iterdir()):
        write_image(path, np.full((1, 20, 20), i, np.float32))
    refused(data, out, "tells next to nothing of the labels", InputError, min_skill=0.2, said=said)
    assert any("an image channel is constant in c0, c1" in line for line in said)
    assert not (tmp_path / "o.zarr.fit" / "model.json").exists()
    with pytest.raises(StoreError, match="holds no model of softlab vls that is whole"):
        train(data, tmp_path / "p.zarr", model=tmp_path / "o.zarr.fit")


def test_a_case_that_cannot_be_read_is_left_out_and_named(discs: Path, tmp_path: Path) -> None:
    data, said = tmp_path / "data", list[str]()
    shutil.copytree(discs, data)
    image = disc(4, size=20)[0]
    image[0, 3, 4] = np.nan
    write_image(data / "images" / "c4.nii.gz", image)
    report = train(data, tmp_path / "o.zarr", said, steps=1)
    assert (report.done, report.failed) == (4, 1)
    assert any(line.startswith("nothing is learned from c4: ") for line in said)
    (failed,) = (outcome for outcome in report.outcomes if outcome.status == "failed")
    assert "NaN or infinite" in failed.message
    (data / "images" / "c3.nii.gz").unlink()
    report = train(data, tmp_path / "o.zarr", overwrite=True, steps=1)
    assert {o.case_id for o in report.outcomes if o.status == "failed"} == {"c3", "c4"}


def test_a_model_of_something_else_is_refused_by_name(
    discs: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.zarr"
    refused(discs, out, r"other classes: 0 background, 1 label_1; .* 1 label_1, 2 label_2",
            UsageError, model=model, labels="0-2")  # fmt: skip
    refused(discs, out, r"holds a model with steps 6, and 7 is asked for", UsageError,
            model=model, steps=7)  # fmt: skip
    two = np.stack([disc(0, size=20)[0]] * 2)
    with pytest.raises(InputError, match="the image has 2 channels, and the model is of 1"):
        soften(VLS(model=model), disc(0, size=20)[1], two)
    with pytest.raises(UsageError, match="vls learns from all cases"):
        soften(VLS(), disc(0, size=20)[1], two)
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    (broken / "fold_1.pt").write_bytes((broken / "fold_0.pt").read_bytes())
    refused(discs, out, r"fold_1.pt: holds other weights than the model had", StoreError,
            model=broken)  # fmt: skip
    (broken / "model.json").write_text("{")
    with pytest.raises(StoreError, match="is no model that this softlab can read"):
        train(discs, tmp_path / "p.zarr", model=broken)


def test_a_store_goes_on_with_its_own_model_only(
    discs: Path, trained: Path, tmp_path: Path
) -> None:
    for part in ("vls.zarr", "vls.zarr.fit"):
        shutil.copytree(trained.with_name(part), tmp_path / part)
    shutil.rmtree(tmp_path / "vls.zarr" / "c2")
    with pytest.raises(UsageError, match=r"holds a model with seed 0, and 1 is asked for"):
        train(discs, tmp_path / "vls.zarr", seed=1)
    assert train(discs, tmp_path / "vls.zarr").done == 1
    assert (soft_labels(tmp_path / "vls.zarr")["c2"] == soft_labels(trained)["c2"]).all()
    more, said = tmp_path / "more", list[str]()
    shutil.copytree(discs, more)
    image, label, _ = disc(50, size=20)
    write_image(more / "labels" / "d.nii.gz", label)
    write_image(more / "images" / "d.nii.gz", image)
    assert train(more, tmp_path / "vls.zarr", said).done == 1
    assert any(re.search("trained without 1 of the cases, such as d", line) for line in said)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels-only"], "--labels-only would leave out"),
        (["--part", "1/2"], "--part of vls would learn in each part anew"),
        (["--model", "m", "--train-only"], "--train-only asks for a training"),
        (["--model", "m", "--group-by", "x"], "--group-by has no effect"),
        (["--patch", "20"], "a patch of 20 does not fit"),
        (["--patch", "16,16", "--dims", "3"], "a patch of 16 x 16 does not fit"),
        (["--engine", "crossfit", "--latent", "3"], "crossfit draws no z"),
        (["--parity", "poster", "--image-weight", "0.5"], "the poster's image weight is 1"),
        (["--samples", "0"], "samples of 0 has no meaning"),
        (["--temperature", "0"], "a temperature of 0 has no meaning"),
        (["--smoothing", "1.1"], "a smoothing of 1.1 has no meaning"),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: list[str], message: str, discs: Path, softlab: Softlab, tmp_path: Path
) -> None:
    done = softlab("vls", "--in", discs / "labels", "--images", discs / "images",
                   "--out", tmp_path / "o.zarr", *arguments)  # fmt: skip
    assert done.exit_code == 2, done.output + done.stderr
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_cases_it_is_not_for(discs: Path, softlab: Softlab, tmp_path: Path) -> None:
    given = ["vls", "--out", tmp_path / "o.zarr", *options()]
    done = softlab(*given, "--in", discs / "labels")
    assert done.exit_code == 1
    assert "has no image" in done.stderr
    shutil.copytree(discs / "labels", tmp_path / "second")
    several = ["--in", discs / "labels", "--in", tmp_path / "second", "--images", discs / "images"]
    done = softlab(*given, *several)
    assert done.exit_code == 1
    assert "softlab msvls takes them" in done.stderr
    assert not (tmp_path / "o.zarr").exists()


def test_the_poster_has_a_network_of_its_own(discs: Path, tmp_path: Path) -> None:
    said: list[str] = []
    assert train(discs, tmp_path / "o.zarr", said, parity="poster", steps=1).done == 5
    parameters = softlab_cli.open_store(tmp_path / "o.zarr").info.parameters
    assert (parameters["parity"], parameters["image_weight"]) == ("poster", 1)
    assert any("whether its images are of use was not measured" in line for line in said)


def test_blocks_do_not_matter(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, label, _ = disc(80, size=40)
    whole = softlab_cli.vls(label, image, model=model, device="cpu")
    block = (1, 16, 24)
    monkeypatch.setattr(Grid, "for_volume", lambda shape, ndim=3: Grid(shape, block, block))
    small = softlab_cli.vls(label, image, model=model, device="cpu", threads=2)
    assert (small == whole).all()


def test_cases_of_one_patient_are_told_by_their_dicom_files(tmp_path: Path) -> None:
    series = make_series(tmp_path / "ct")
    other = make_slices(np.zeros((2, 9, 11), np.int16))
    for slice_ in other:
        slice_.PatientID = "2"
    save_slices(tmp_path / "other", other)
    label = write_image(tmp_path / "a.nii.gz", disc(0, size=20)[1])
    found = [patient_of(Case("a", (label,), (folder,), ("r",)))
             for folder in (series, series, tmp_path / "other")]  # fmt: skip
    assert found[0] == found[1] != found[2]
    assert re.fullmatch("patient-[0-9a-f]{12}", found[0]), "nobody is named"
    assert patient_of(Case("a", (label,), (), ("r",))) == ""


def test_more_classes_than_are_in_memory_at_once() -> None:
    """The blend and its sums, beside what the formula says."""
    rng = np.random.default_rng(0)
    count, shape = 70, (3, 5, 6)
    case = ArrayCase.of([rng.integers(0, count + 1, shape)], None, spacing_mm=None,
                        labels=range(count), ignore_value=count, threads=1)  # fmt: skip
    learned = rng.dirichlet(np.full(count, 0.05), shape).astype(np.float16)  # (z, y, x, C)
    sink = ArraySink.new(case)
    with PlaneMaps(count, shape[1:], None) as maps:
        maps.append(learned.transpose(0, 3, 1, 2))
        softener = LearnedMaps(maps, 0.6, OneHot())
        labels = case.label_map()
        ready = PreparedBlocks.of_hard_labels(labels, softener, case.classes)
        written = ready.write(sink, soft=True, threads=1)
    indices = labels.class_indices
    exact = learned.astype(np.float64)
    exact = 0.6 * exact / exact.sum(axis=-1, keepdims=True)
    valid = indices != case.classes.ignore_index
    exact[valid] += 0.4 * np.eye(count)[indices[valid]]
    exact[~valid] = 0
    expected = exact.transpose(3, 0, 1, 2).astype(np.float16)
    np.testing.assert_array_equal(sink.soft_label, expected)
    halves = expected.astype(np.float64)
    np.testing.assert_array_equal(written.sums.mass, halves.sum(axis=(1, 2, 3)) * 2**24)
    own = np.take_along_axis(expected, np.minimum(indices, count - 1)[None].astype(int), axis=0)[0]
    changed = (expected.max(axis=0) > own) & valid
    assert written.sums.argmax_changes == changed.sum() > 0
    ties = (expected == expected.max(axis=0)).sum(axis=0) > 1
    assert written.sums.ties == (ties & valid).sum()
