"""Schema 1: documents, round trips, refusals, and the statistics that a case keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from softlab_cli.core.blocks import Grid
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import StoreError
from softlab_cli.core.provenance import Source
from softlab_cli.core.softblock import ENTROPY_UNIT, MASS_UNIT, SoftSums
from softlab_cli.core.volume import Geometry
from softlab_cli.store import records
from softlab_cli.store.documents import case_documents
from softlab_cli.store.layout import ArrayLayout
from softlab_cli.store.ngff_rules import ngff_problems
from softlab_cli.store.records import is_sealed, sealed
from softlab_cli.store.schema import SCHEMA, CaseInfo, StoreInfo, differences
from softlab_cli.store.statistics import CaseStatistics, case_statistics
from softlab_cli.version import __version__
from tests.store_support import AFFINE, case_info, count_labels, example, store_info

CLASSES = ClassTable.from_values([0, 4, 7], {4: "liver", 7: "spleen"}, ignore_values=[9])
GEOMETRY = Geometry((70, 300, 40), AFFINE)


def through_json(content: Any) -> Any:
    return json.loads(json.dumps(content))


class TestArrayDocument:
    def test_soft(self) -> None:
        layout = ArrayLayout.soft(Grid.for_volume((70, 300, 40)), 3, 117)
        assert layout.to_json() == {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [117, 70, 300, 40],
            "data_type": "float16",
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": [117, 128, 256, 64]},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "fill_value": 0.0,
            "codecs": [
                {
                    "name": "sharding_indexed",
                    "configuration": {
                        "chunk_shape": [1, 64, 64, 64],
                        "codecs": [
                            {"name": "bytes", "configuration": {"endian": "little"}},
                            {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
                            {"name": "crc32c"},
                        ],
                        "index_codecs": [
                            {"name": "bytes", "configuration": {"endian": "little"}},
                            {"name": "crc32c"},
                        ],
                        "index_location": "end",
                    },
                }
            ],
            "attributes": {},
            "dimension_names": ["c", "z", "y", "x"],
        }
        assert layout.shard_path((0, 1, 0)) == "c.0.0.1.0"
        assert replace(layout, separator="/").shard_path((0, 1, 0)) == "c/0/0/1/0"

    def test_label_of_a_picture(self) -> None:
        layout = ArrayLayout.label(Grid.for_volume((1, 700, 3000), 2), 2, np.dtype(np.uint8))
        document = layout.to_json()
        assert document["shape"] == [700, 3000]
        assert document["data_type"] == "uint8"
        assert document["dimension_names"] == ["y", "x"]
        assert document["chunk_grid"]["configuration"]["chunk_shape"] == [1024, 2048]
        assert list(layout.shard_paths()) == ["c.0.0", "c.0.1"]

    @pytest.mark.parametrize("ndim", [2, 3])
    @pytest.mark.parametrize("class_count", [0, 5])
    def test_round_trip(self, ndim: int, class_count: int) -> None:
        shape = (1, 30, 40) if ndim == 2 else (20, 30, 40)
        dtype = np.dtype("<f2" if class_count else "<u2")
        layout = ArrayLayout(Grid.for_volume(shape, ndim), ndim, dtype, class_count)
        for one in (layout, replace(layout, checksums=False), replace(layout, separator="/")):
            assert ArrayLayout.from_json(through_json(one.to_json()), Path("a")) == one

    def test_slots_are_numbered_in_c_order(self) -> None:
        layout = ArrayLayout.soft(Grid((512, 512, 512), (64, 64, 64), (256, 128, 192)), 3, 5)
        numbers = np.arange(layout.slots).reshape(5, 4, 2, 3)
        assert layout.slot(3, (2, 1, 2)) == numbers[3, 2, 1, 2]


SHARDING = ("codecs", 0, "configuration")


@pytest.mark.parametrize(
    ("place", "entry", "said"),
    [
        ((*SHARDING, "codecs", 1, "name"), "numcodecs.blosc", "numcodecs.blosc"),
        ((*SHARDING, "codecs", 2, "name"), "numcodecs.adler32", "numcodecs.adler32"),
        ((*SHARDING, "index_location"), "start", "place of the index"),
        ((*SHARDING, "codecs", 0, "configuration", "endian"), "big", "byte orders"),
        ((*SHARDING, "chunk_shape"), [2, 64, 64, 64], "more than one along c"),
        (("chunk_grid", "configuration", "chunk_shape"), [2, 128, 128, 128], "without all of 4"),
        (("dimension_names",), ["c", "x", "y", "z"], "dimensions"),
        ((*SHARDING, "chunk_shape"), [1, 48, 64, 64], "not whole numbers of chunks"),
        (("codecs", 0, "name"), "transpose", "transpose"),
        (("chunk_key_encoding", "name"), "v2", "chunk keys"),
        (("chunk_key_encoding", "configuration", "separator"), "-", "separator of chunk keys"),
        (("data_type",), "float32", "float32"),
        (("fill_value",), 1.0, "fill value"),
        (("storage_transformers",), [{"name": "x"}], "storage transformers"),
        (("shape",), None, "not the metadata of an array"),
    ],
)
def test_foreign_layouts_are_refused(place: tuple[Any, ...], entry: Any, said: str) -> None:
    document = ArrayLayout.soft(Grid.for_volume((70, 80, 90)), 3, 4).to_json()
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = entry
    with pytest.raises(StoreError, match=said) as caught:
        ArrayLayout.from_json(through_json(document), Path("somewhere/soft"))
    assert "somewhere/soft" in str(caught.value)


class TestStoreInfo:
    def test_round_trip(self) -> None:
        info = StoreInfo(
            "svls", {"size": (3, 3, 3)}, CLASSES, software={"numpy": "2"}, config={"workers": 2}
        )
        facts = through_json(info.to_json())
        again = StoreInfo.from_json(facts)
        assert again.to_json() == info.to_json()
        assert again.classes == CLASSES
        assert again.recipe == info.recipe
        assert facts["ignore"] == {"label_values": [9], "index": 255}
        assert facts["version"] == __version__

    def test_a_newer_schema_is_refused(self) -> None:
        facts = {**store_info(CLASSES).to_json(), "schema": 2}
        with pytest.raises(
            StoreError, match=r"has schema 2.*knows schema 1 to 1.1.*newer"
        ) as caught:
            StoreInfo.from_json(facts, Path("x/zarr.json"))
        assert "x/zarr.json" in str(caught.value)

    def test_damaged_facts_are_refused(self) -> None:
        facts = store_info(CLASSES).to_json()
        del facts["classes"]
        with pytest.raises(StoreError, match="damaged"):
            StoreInfo.from_json(facts)

    def test_the_recipe_is_what_two_runs_must_share(self) -> None:
        one = store_info(CLASSES)
        assert one.recipe == store_info(CLASSES, config={"threads": 4}).recipe
        assert one.recipe != store_info(CLASSES, labels_only=True).recipe
        assert one.recipe != store_info(ClassTable.from_values([0, 4, 7])).recipe

    def test_differences_are_named_one_by_one(self) -> None:
        kept = StoreInfo("svls", {"sigma_voxels": 1.0, "size": 3}, CLASSES)
        names = {4: "liver", 7: "kidney"}
        classes = ClassTable.from_values([0, 4, 7, 8], names, ignore_values=[9])
        now = StoreInfo("svls", {"sigma_voxels": 2.0, "size": 3}, classes)
        assert differences(kept, now) == [
            "parameters.sigma_voxels: 1.0 in the store, 2.0 now",
            "class 2: 7 spleen in the store, 7 kidney now",
            "class 3: nothing in the store, 8 label_8 now",
        ]
        assert differences(kept, kept) == []

    def test_what_the_essence_leaves_out_is_named_by_its_default(self) -> None:
        plain = StoreInfo("svls", {"size": 3}, CLASSES)
        assert differences(plain, replace(plain, ome="0.6", keep_raters=True)) == [
            "keep_raters: false in the store, true now",
            'ome: "0.5" in the store, "0.6" now',
        ]
        assert differences(replace(plain, ome="0.6"), plain) == [
            'ome: "0.6" in the store, "0.5" now'
        ]

    def test_a_tuple_and_its_list_are_one_parameter(self) -> None:
        written = StoreInfo("svls", {"size": (3, 3, 3)}, CLASSES)
        read = StoreInfo.from_json(through_json(written.to_json()))
        assert differences(read, written) == []
        assert read.recipe == written.recipe


def test_case_round_trip() -> None:
    source = Source("label", "/data/a.nii.gz", "00ff", 12, 34)
    case = example()
    info = case_info(case, (source,))
    again = CaseInfo.from_json(through_json({"schema": SCHEMA, **info.to_json()}))
    assert through_json(again.to_json()) == through_json(info.to_json())
    assert again.sources == (source,)
    assert again.statistics == info.statistics
    np.testing.assert_array_equal(again.geometry.affine, AFFINE)


class TestNgff:
    def test_image(self) -> None:
        document = json.loads(case_documents("a", CaseInfo(GEOMETRY), store_info(CLASSES))[""])
        ome = document["attributes"]["ome"]
        (multiscale,) = ome["multiscales"]
        assert ome["version"] == "0.5"
        assert [a["name"] for a in multiscale["axes"]] == ["c", "z", "y", "x"]
        assert [a.get("unit") for a in multiscale["axes"]] == [None, *["millimeter"] * 3]
        assert multiscale["datasets"] == [
            {
                "path": "soft",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1.0, 2.5, 0.9, 0.8]},
                    {"type": "translation", "translation": [0.0, 30.0, -20.0, -10.0]},
                ],
            }
        ]
        assert [c["label"] for c in ome["omero"]["channels"]] == ["background", "liver", "spleen"]
        assert len({c["color"] for c in ome["omero"]["channels"]}) == 3
        assert ngff_problems(ome, {"soft": ("c", "z", "y", "x")}) == []

    def test_hard_labels_are_an_image_without_channels(self) -> None:
        info = store_info(CLASSES, labels_only=True)
        flat = Geometry((1, 30, 40), AFFINE, 2)
        ome = json.loads(case_documents("a", CaseInfo(flat), info)[""])["attributes"]["ome"]
        assert ome["multiscales"][0]["datasets"][0]["path"] == "labels/label/0"
        assert [a["name"] for a in ome["multiscales"][0]["axes"]] == ["y", "x"]
        assert "omero" not in ome
        assert ngff_problems(ome, {"labels/label/0": ("y", "x")}) == []

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda ome: ome.update(version="0.4"), "version"),
            (lambda ome: ome.update(multiscales=[]), "empty"),
            (lambda ome: ome.pop("multiscales"), "incomplete"),
            (lambda ome: ome["multiscales"][0]["axes"].reverse(), "must come last"),
            (lambda ome: ome["multiscales"][0]["axes"].pop(), "differ from the dimensions"),
            (lambda ome: transforms(ome).reverse(), "instead of a scale"),
            (lambda ome: transforms(ome)[1]["translation"].pop(), "3 entries for 4 axes"),
            (lambda ome: transforms(ome)[0]["scale"].__setitem__(1, 0), "not positive"),
            (lambda ome: ome["omero"]["channels"][0].update(color="red"), "colour 'red'"),
            (lambda ome: ome["omero"]["channels"][1]["window"].pop("end"), "lacks end"),
        ],
    )
    def test_broken_rules_are_told(self, spoil: Any, said: str) -> None:
        document = json.loads(case_documents("a", CaseInfo(GEOMETRY), store_info(CLASSES))[""])
        ome = through_json(document)["attributes"]["ome"]
        spoil(ome)
        assert said in " ".join(ngff_problems(ome, {"soft": ("c", "z", "y", "x")}))


def transforms(ome: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    return found


class TestStatistics:
    # Two slices of 2 x 4 voxels; 255 is not labelled.
    INDICES = np.array([[[0, 0, 0, 0], [0, 1, 2, 0]], [[0, 1, 255, 0], [255, 0, 0, 0]]], np.uint8)
    SPACING_MM = (2.0, 1.0, 0.5)

    def statistics(self, sums: SoftSums | None, background: int | None = 0) -> CaseStatistics:
        counts = count_labels(self.INDICES, 4, 255, background)
        return case_statistics(
            counts, sums, background_index=background, spacing_mm=self.SPACING_MM
        )

    def test_hard(self) -> None:
        found = self.statistics(None)
        assert found.hard_voxels == [11, 2, 1, 0]
        assert (found.voxels, found.ignored_voxels, found.voxel_mm3) == (16, 2, 1.0)
        assert found.foreground_box == [[0, 2], [0, 2], [1, 3]]
        assert found.hard_proportion == [11 / 16, 2 / 16, 1 / 16, 0]
        assert found.hard_proportion_valid == [11 / 14, 2 / 14, 1 / 14, 0]
        # The box has 8 voxels, of which 1 is ignored and 4 are background.
        assert found.hard_proportion_box == [4 / 7, 2 / 7, 1 / 7, 0]
        assert found.soft_mass is None
        assert found.mean_entropy is None

    def test_soft(self) -> None:
        mass = np.array([10.5, 2.25, 1.25, 0]) / MASS_UNIT
        sums = SoftSums(mass.astype(np.int64), round(7 / ENTROPY_UNIT), 3, 2)
        found = self.statistics(sums)
        assert found.soft_mass == [10.5, 2.25, 1.25, 0]
        assert found.soft_proportion == [10.5 / 16, 2.25 / 16, 1.25 / 16, 0]
        assert found.soft_proportion_valid == [0.75, 2.25 / 14, 1.25 / 14, 0]
        assert found.soft_mm3 == [10.5, 2.25, 1.25, 0]
        assert (found.argmax_changes, found.ties, found.mean_entropy) == (3, 2, 0.5)

    def test_without_background_every_class_is_foreground(self) -> None:
        found = self.statistics(None, background=None)
        assert found.foreground_box == [[0, 2], [0, 2], [0, 4]]
        assert found.hard_proportion_box == found.hard_proportion_valid

    def test_no_foreground_no_box(self) -> None:
        counts = count_labels(np.zeros((2, 2, 2), np.uint8), 3, 255, 0)
        found = case_statistics(counts, None, background_index=0, spacing_mm=(1, 1, 1))
        assert found.foreground_box is None
        assert found.hard_proportion_box is None

    def test_nothing_labelled(self) -> None:
        counts = count_labels(np.full((2, 2, 2), 255, np.uint8), 3, 255, 0)
        found = case_statistics(counts, SoftSums.zero(3), background_index=0, spacing_mm=(1, 1, 1))
        assert found.hard_proportion_valid == [0, 0, 0]
        assert found.mean_entropy == 0


class TestSeal:
    FACTS: ClassVar[dict[str, Any]] = {
        "b": [1.0, 2, 'é"softlab": {'],
        "a": {"y": None, "x": (1,)},
        "softlab": {},
        "0": {9: 1, 10: 2},
    }

    def text(self, facts: Any) -> bytes:
        return json.dumps({"attributes": {"ome": {"softlab": {}}, "softlab": facts}}).encode()

    def test_as_it_was_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        facts = sealed(self.FACTS)
        assert sealed(facts) == facts
        plain = sealed({"b": 1.5, "a": "é"})
        monkeypatch.setattr(records, "checksum_of", lambda content: "made again")
        assert is_sealed(plain, self.text(plain)), "the bytes of the file are enough"
        assert not is_sealed(plain, self.text(plain).replace(b": ", b":"))

    def test_formatted_anew(self) -> None:
        facts = through_json(sealed(self.FACTS))
        turned = dict(reversed(facts.items()))
        assert is_sealed(facts)
        assert is_sealed(turned, self.text(turned))
        assert is_sealed(turned, json.dumps(turned, indent=2).encode())

    def test_changed(self) -> None:
        facts = through_json(sealed(self.FACTS))
        for name in ("a", "b", "seal", "softlab"):
            changed = {**facts, name: "x"}
            assert not is_sealed(changed, self.text(changed))
            assert not is_sealed(
                {k: v for k, v in facts.items() if k != name}, self.text(facts)[:-9]
            )
