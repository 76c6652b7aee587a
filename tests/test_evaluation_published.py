"""Other tools' figures: the tools' own where they are installed, else their bins by hand."""

from __future__ import annotations

import numpy as np
import pytest

from softlab_cli.evaluation.metrics.gathering import Gatherer
from softlab_cli.evaluation.metrics.published import curvas2024, curvas2025, monai, qubiq
from softlab_cli.evaluation.metrics.regions import region_codes
from softlab_cli.evaluation.metrics.tallies import Counts


def case() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(3, 6, 7, 8))
    p = np.exp(logits)
    p /= p.sum(axis=0)
    labels = rng.integers(0, 3, (2, 6, 7, 8)).astype(np.uint8)
    p[:, 0, 0, :3] = [[1, 0, 0.5], [0, 1, 0.5], [0, 0, 0]]
    return p.astype(np.float16), labels


def counted(p: np.ndarray, labels: np.ndarray, codes: np.ndarray | None = None) -> Counts:
    regions = () if codes is None else ("box",)
    gatherer = Gatherer(3, raters=len(labels), regions=regions)
    gatherer.add(p, labels, codes)
    return gatherer.counts()


def test_monai_gives_what_monai_gives() -> None:
    metrics = pytest.importorskip("monai.metrics")
    torch = pytest.importorskip("torch")
    p, labels = case()
    one_hot = (labels[0] == np.arange(3)[:, None, None, None]).astype(np.float32)
    found = monai(counted(p, labels[:1]))
    assert set(found) == {"expected", "average", "maximum"}
    for name, value in found.items():
        metric = metrics.CalibrationErrorMetric(calibration_reduction=name)
        metric(torch.from_numpy(p.astype(np.float32))[None], torch.from_numpy(one_hot)[None])
        assert value == pytest.approx(metric.aggregate().item(), abs=1e-6)


def test_monai_documents_the_ends_of_its_bins_the_wrong_way_round() -> None:
    """The docstring of `published.monai` says so; when this fails, MONAI has changed."""
    metrics = pytest.importorskip("monai.metrics.calibration")
    torch = pytest.importorskip("torch")
    half = torch.full((1, 1, 1, 1), 0.25)
    *_, counts = metrics.calibration_binning(half, half * 0, num_bins=4, right=False)
    assert counts[0, 0].tolist() == [1, 0, 0, 0]


def by_hand(p: np.ndarray, labels: np.ndarray) -> float:
    """50 bins [lower, upper), and 1 by itself; the most probable class."""
    values = p.astype(np.float64).reshape(3, -1)
    top, confidence = values.argmax(axis=0), values.max(axis=0)
    right = top == labels.ravel()
    bins = np.array([max(k for k in range(51) if k / 50 <= c) for c in confidence])
    gaps = [abs((right[bins == k] - confidence[bins == k]).sum()) for k in range(51)]
    return sum(gaps) / len(top)


def test_curvas_takes_the_mean_over_raters() -> None:
    p, labels = case()
    found = curvas2024(counted(p, labels))
    for rater in range(2):
        expected = by_hand(p, labels[rater])
        assert found[f"ece_rater{rater + 1}"] == pytest.approx(expected, abs=1e-12)
    assert found["ece"] == pytest.approx((found["ece_rater1"] + found["ece_rater2"]) / 2)


def test_curvas_2025_looks_into_its_box() -> None:
    p, labels = case()
    box = np.zeros(labels.shape[1:], bool)
    box[2:5] = True
    _, codes = region_codes({"box": box})
    found = curvas2025(counted(p, labels, codes))
    assert found["ece_rater2"] == pytest.approx(by_hand(p[:, 2:5], labels[1, 2:5]), abs=1e-12)
    assert qubiq(counted(p, labels)) == {}
