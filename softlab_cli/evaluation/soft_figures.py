"""Figures of predicted probabilities: calibration and scores, by region and class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from softlab_cli.evaluation.metrics import published
from softlab_cli.evaluation.metrics.calibration import (
    ClassMean,
    ace,
    ece,
    ece_over_raters,
    mce,
    overconfidence,
    reliability,
    sce,
    tace,
)
from softlab_cli.evaluation.metrics.scores import (
    brier,
    brier_by_class,
    brier_parts,
    clipped_votes,
    confidence,
    entropy,
    nll,
    rps,
    semimetric_dice,
    sharpness,
    soft_dice,
)
from softlab_cli.evaluation.metrics.tallies import ALL, Counts, Tallies
from softlab_cli.evaluation.metrics.temperature import tempering
from softlab_cli.evaluation.rows import MEAN, Row
from softlab_cli.evaluation.settings import Settings

__all__ = ["of_tallies", "soft_figures"]

BRIER_PARTS = ("reliability", "resolution", "uncertainty", "within_bins", "disagreement")


def soft_figures(
    counts: Counts, classes: tuple[str, ...], background: int | None, raters: tuple[str, ...],
    pooled: str, settings: Settings,
) -> list[Row]:  # fmt: skip
    """What counts of one case, or of several, say of calibration.

    Parameters
    ----------
    counts
        Of the case.
    classes, background
        Names of the classes, and the index of the one that foreground means leave out.
    raters
        Their names; empty where figures of single raters are not wanted.
    pooled
        Who figures of all raters are of.
    settings
        Bins, regions, and whose figures are wanted beside.
    """
    rows: list[Row] = []
    for region in (ALL, *settings.regions):
        tallies = counts.within(region)
        rows += of_tallies(tallies, region, classes, background, pooled, settings)
        if len(raters) > 1:
            rows += _of_raters(tallies, region, raters, settings)
    for tool in settings.parity:
        figures = published.PUBLISHED[tool](counts)
        rows += [Row.of(pooled, ALL, f"{tool}:{name}", value) for name, value in figures.items()]
    return rows


def _of_raters(
    tallies: Tallies, region: str, raters: tuple[str, ...], settings: Settings
) -> Iterator[Row]:
    for number, name in enumerate(raters):
        value = reliability(tallies, settings.bins, rater=number).expected()
        yield Row.of(name, ALL, "ece", value, region=region)
    mean = ece_over_raters(tallies, settings.bins)
    yield Row.of(MEAN, ALL, "ece_over_raters", mean, region=region)


def of_tallies(
    tallies: Tallies, region: str, classes: tuple[str, ...], background: int | None, pooled: str,
    settings: Settings,
) -> Iterator[Row]:  # fmt: skip
    """The rows of one region."""
    for metric, value in _figures(tallies, settings).items():
        yield Row.of(pooled, ALL, metric, value, region=region)
    foreground = background == 0
    bins = settings.bins
    by_class: Mapping[str, Callable[[], ClassMean]] = {
        "sce": lambda: sce(tallies, bins),
        "ace": lambda: ace(tallies, bins),
        "tace": lambda: tace(tallies, bins, foreground=foreground),
        "soft_dice": lambda: soft_dice(tallies, foreground=foreground),
        "semimetric_dice": lambda: semimetric_dice(tallies, foreground=foreground),
    }
    absent = tallies.absent.tolist()
    for metric, reckon in by_class.items():
        found = reckon()
        for title, value, gone in zip(classes, found.by_class.tolist(), absent, strict=True):
            yield Row.of(pooled, title, metric, value, region=region, absent=gone)
        yield Row.of(pooled, MEAN, metric, found.mean, region=region)
    for title, value in zip(classes, brier_by_class(tallies).tolist(), strict=True):
        yield Row.of(pooled, title, "brier", value, region=region)


def _figures(tallies: Tallies, settings: Settings) -> dict[str, float]:
    """Figures that have no class."""
    parts = brier_parts(tallies, settings.bins)
    found = {
        "ece": ece(tallies, settings.bins),
        "mce": mce(tallies, settings.bins),
        "overconfidence": overconfidence(tallies),
        "brier": brier(tallies),
        **{f"brier_{name}": getattr(parts, name) for name in BRIER_PARTS},
        "nll": nll(tallies),
        "clipped_votes": clipped_votes(tallies),
        "confidence": confidence(tallies),
        "sharpness": sharpness(tallies),
        "entropy": entropy(tallies),
        "votes": float(tallies.votes),
    }
    if settings.ordered:
        found["rps"] = rps(tallies)
    if settings.temperatures:
        fit = tempering(tallies)
        best = fit.best()
        found |= {"temperature": best, "nll_at_temperature": fit.nll(best)}
    return found
