"""One-hot labels, held against the oracle."""

from __future__ import annotations

import numpy as np
from hypothesis import given

from softlab_cli.core.blocks import Shape
from softlab_cli.methods import METHODS, OneHot, method_class
from tests import naive
from tests.blockwise import check_sums, soften
from tests.strategies import IGNORED, Labels, blocks, label_maps


@given(label_maps(), blocks())
def test_one_hot_labels_are_the_oracles(labels: Labels, block: Shape) -> None:
    soft, sums, _ = soften(OneHot(), labels.indices, labels.class_count, block)
    classes = list(range(labels.class_count))
    np.testing.assert_array_equal(soft, naive.one_hot(labels.indices, classes))
    check_sums(sums, soft, labels.indices)
    assert (sums.entropy, sums.ties, sums.argmax_changes) == (0, 0, 0)


def test_many_classes_come_in_groups() -> None:
    indices = np.random.default_rng(0).integers(0, 300, (6, 10, 20)).astype(np.uint16)
    soft, sums, found = soften(OneHot(), indices, 300)
    assert len(found) > 1
    np.testing.assert_array_equal(soft, naive.one_hot(indices, list(range(300))))
    check_sums(sums, soft, indices)


def test_a_block_of_one_class_has_no_values() -> None:
    _, _, found = soften(OneHot(), np.full((4, 4, 4), 1, np.uint8), 3)
    assert [(b.class_indices, b.constants) for b in found] == [((), {1: 1.0})]


def test_an_ignored_block_yields_nothing() -> None:
    assert soften(OneHot(), np.full((4, 4, 4), IGNORED, np.uint8), 2)[2] == []


def test_every_method_is_known_by_its_name() -> None:
    assert {name: method_class(name).name for name in METHODS} == {name: name for name in METHODS}
    assert OneHot().parameters() == {}
    assert OneHot().halo((1, 1, 1)) == (0, 0, 0)
