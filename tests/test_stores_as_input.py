"""A store as the input of methods: its classes, raters, images, and what is not labelled."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softlab_cli import open_store
from softlab_cli.cases import discover_cases
from softlab_cli.core.errors import InputError, StoreError
from softlab_cli.labels.stores import StoredLabels
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.store.files import partial_path
from softlab_cli.store.reader import Store
from tests.conftest import blobs, write_image

SHAPE = (6, 7, 8)
LABELS = ("--labels", "0,3=liver,7,9=spleen", "--ignore-label", 255)


def done(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    return result


def drawing(seed: int) -> np.ndarray:
    """Values 0, 3 and 9, and a few voxels that are not labelled; 7 is nowhere."""
    found = np.array([0, 3, 9], np.uint8)[blobs(SHAPE, 3, seed=seed)]
    found[0, 0, :2] = 255
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two raters of two cases with images, a store of the first, and one of both."""
    from click.testing import CliRunner

    from softlab_cli.cli.main import cli

    root = tmp_path_factory.mktemp("stores")
    rng = np.random.default_rng(0)
    for place, name in enumerate(("a", "b")):
        write_image(root / "r1" / f"{name}.nii.gz", drawing(place))
        write_image(root / "r2" / f"{name}.nii.gz", drawing(place + 5))
        write_image(root / "ct" / f"{name}.nii.gz", rng.integers(0, 99, SHAPE).astype(np.int16))

    def run(*words: Any) -> None:
        done(CliRunner().invoke(cli, [str(word) for word in words]))

    run("onehot", "--in", root / "r1", *LABELS, "--images", root / "ct", "--out", root / "one.zarr")
    both = ("--in", root / "r1", "--in", root / "r2", "--keep-raters")
    run("fuse", *both, *LABELS, "--out", root / "fused.zarr")
    return root


def same(a: Path, b: Path) -> None:
    one, two = open_store(a), open_store(b)
    assert list(one) == list(two)
    assert one.classes == two.classes
    for case_id in one:
        np.testing.assert_array_equal(one[case_id].read(), two[case_id].read())
        np.testing.assert_array_equal(one[case_id].read_label(), two[case_id].read_label())
        assert one[case_id].raters == two[case_id].raters


def test_a_method_makes_of_a_store_what_it_makes_of_its_files(softlab, data, tmp_path) -> None:
    """Classes that occur nowhere, names, and voxels that are not labelled among it."""
    done(softlab("svls", "--in", data / "r1", *LABELS, "--out", tmp_path / "files.zarr"))
    said = done(softlab("svls", "--in", data / "one.zarr", "--out", tmp_path / "store.zarr")).output
    same(tmp_path / "files.zarr", tmp_path / "store.zarr")
    assert "one.zarr: label value 255 stands for voxels that are not" in said
    again = done(softlab("svls", "--in", data / "one.zarr", "--out", tmp_path / "store.zarr"))
    assert "skipped      2" in again.output


def test_a_fused_store_is_a_label_map_and_its_raters_are_raters(softlab, data, tmp_path) -> None:
    fused = data / "fused.zarr"
    done(softlab("ls", "--in", fused, "--out", tmp_path / "ls.zarr"))
    np.testing.assert_array_equal(
        open_store(tmp_path / "ls.zarr")["a"].read_label(), open_store(fused)["a"].read_label()
    )
    both = ("--in", data / "r1", "--in", data / "r2")
    done(softlab("msvls", *both, *LABELS, "--keep-raters", "--out", tmp_path / "files.zarr"))
    said = done(softlab("msvls", "--in", fused, "--keep-raters", "--out", tmp_path / "store.zarr"))
    same(tmp_path / "files.zarr", tmp_path / "store.zarr")
    assert "raters that the store keeps are taken, and not its hard label: r1, r2" in said.output
    assert "copies" not in said.output
    assert done(softlab("verify", tmp_path / "store.zarr"))
    # A further rater from files; and weights by the names that the store has.
    write_image(tmp_path / "r3" / "a.nii.gz", drawing(9))
    done(softlab("fuse", "--method", "mean", "--in", fused, "--in", tmp_path / "r3",
                 "--rater-weight", "r1=1", "--rater-weight", "r2=1", "--rater-weight", "r3=2",
                 "--out", tmp_path / "three.zarr"))  # fmt: skip
    assert open_store(tmp_path / "three.zarr")["a"].raters == ("r1", "r2", "r3")
    assert open_store(tmp_path / "three.zarr")["b"].raters == ("r1", "r2")
    twice = softlab("msvls", "--in", fused, "--in", data / "r1", "--out", tmp_path / "x.zarr")
    assert twice.exit_code == 1
    assert "has the case id 'a', like" in twice.output


def test_the_images_of_a_store_are_those_it_was_made_with(softlab, data, tmp_path) -> None:
    files = ("--in", data / "r1", "--images", data / "ct", *LABELS)
    done(softlab("geols", *files, "--out", tmp_path / "files.zarr"))
    done(softlab("geols", "--in", data / "one.zarr", "--out", tmp_path / "store.zarr"))
    same(tmp_path / "files.zarr", tmp_path / "store.zarr")
    assert [s.role for s in open_store(tmp_path / "store.zarr")["a"].sources] == ["label", "image"]
    none = softlab("geols", "--in", data / "fused.zarr", "--out", tmp_path / "x.zarr")
    assert none.exit_code == 1
    assert "has no image" in none.output
    image = tmp_path / "ct" / "a.nii.gz"
    write_image(image, np.zeros(SHAPE, np.int16))
    write_image(tmp_path / "in" / "a.nii.gz", drawing(0))
    done(softlab("onehot", "--in", tmp_path / "in", "--images", tmp_path / "ct", "--out",
                 tmp_path / "gone.zarr"))  # fmt: skip
    image.unlink()
    gone = softlab("geols", "--in", tmp_path / "gone.zarr", "--out", tmp_path / "x.zarr")
    assert gone.exit_code == 1
    assert f"was made with the image {image}, which is not there any more" in gone.output
    done(softlab("svls", "--in", tmp_path / "gone.zarr", "--out", tmp_path / "y.zarr"))


def test_soft_labels_are_imported_with_the_class_table(softlab, data, tmp_path) -> None:
    done(softlab("import", "--in", data / "fused.zarr", "--out", tmp_path / "again.zarr"))
    one, two = open_store(data / "fused.zarr"), open_store(tmp_path / "again.zarr")
    assert one.classes == two.classes
    np.testing.assert_array_equal(one["a"].read(), two["a"].read())
    np.testing.assert_array_equal(one["a"].read_label(), two["a"].read_label())


def test_stores_with_other_classes_and_roi_are_looked_through(softlab, data, tmp_path) -> None:
    done(softlab("onehot", "--in", data / "one.zarr", "--roi", "liver", "--out",
                 tmp_path / "roi.zarr"))  # fmt: skip
    assert open_store(tmp_path / "roi.zarr").classes.names == ("background", "liver")
    done(softlab("msvls", "--in", tmp_path / "roi.zarr", "--in", data / "one.zarr", "--out",
                 tmp_path / "both.zarr"))  # fmt: skip
    assert open_store(tmp_path / "both.zarr").classes.values == (0, 3, 9)


def test_a_store_that_is_not_whole_is_refused_by_name(softlab, data, tmp_path) -> None:
    store = tmp_path / "s.zarr"
    done(softlab("onehot", "--in", data / "r1", *LABELS, "--out", store))
    partial = partial_path(store, "c")  # of this process, which is running
    partial.mkdir()
    with pytest.raises(StoreError, match=r"s.zarr: is being written.*: c is not complete"):
        discover_cases([store])
    partial.rename(partial.with_name(partial.name.replace(f"{os.getpid()}-", "999999999-")))
    said: list[str] = []
    assert [case.case_id for case in discover_cases([store], tell=said.append)] == ["a", "b"]
    assert "c is not complete, since the run that wrote it was ended" in said[0]
    # Made anew: what is complete counts.
    next(store.glob("c.*")).rename(partial_path(store, "a"))
    assert len(discover_cases([store])) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 99}, "schema"),
        (None, "was not written by softlab"),
    ],
)
def test_a_store_of_another_schema_is_refused(softlab, data, tmp_path, change, words) -> None:
    store = tmp_path / "s.zarr"
    done(softlab("onehot", "--in", data / "r1", *LABELS, "--out", store))
    content = json.loads((store / "zarr.json").read_text())
    if change is None:
        content["attributes"].pop("softlab")
    else:
        content["attributes"]["softlab"] |= change
    (store / "zarr.json").write_text(json.dumps(content))
    found = softlab("svls", "--in", store, "--out", tmp_path / "o.zarr")
    assert found.exit_code == 1
    assert words in found.output
    assert str(store) in found.output
    assert not (tmp_path / "o.zarr").exists()


def test_unlabelled_voxels_without_a_value_are_refused(data, monkeypatch) -> None:
    bare = property(lambda store: replace(store.info.classes, ignore_values=()))
    monkeypatch.setattr(Store, "classes", bare)
    with pytest.raises(
        InputError, match=r"has 2 voxels that are not labelled, for which its class"
    ):
        StoredLabels(data / "one.zarr" / "a").label_map(None, ReadingOptions())


def test_an_empty_store_is_refused(softlab, data, tmp_path) -> None:
    store = tmp_path / "s.zarr"
    done(softlab("onehot", "--in", data / "r1", *LABELS, "--out", store))
    for name in ("a", "b"):
        (store / name).rename(tmp_path / name)
    with pytest.raises(InputError, match="is a store without a case"):
        discover_cases([store])
    for command in ("export", "preview"):
        said = softlab(command, store, "--out", tmp_path / "out")
        assert said.exit_code == 1, said.output
        assert "is a store without a case. Fill it first." in said.stderr, said.stderr
        assert not (tmp_path / "out").exists()
