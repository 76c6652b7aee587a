"""Folders of cases with one file a class, found without being named: TotalSegmentator's.

``{case}/{class}`` and ``{rater}/{case}`` are the same shape of tree. The first is taken
only where everything speaks for it: the files of a folder have names of body parts, several
of them and not numbers of one; no folder is called like a rater; the files lie on one grid,
and hold one class. Otherwise --class-pattern or --rater-pattern has to say it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from softlab_cli.cases.case import Finding
from softlab_cli.cases.kinds import Tell, image_files, tell_left_out, whole_files
from softlab_cli.core.caseid import natural_order, strip_suffix
from softlab_cli.core.errors import SoftlabError
from softlab_cli.core.folders import files_below, folders_in, some_of
from softlab_cli.core.system import unreadable
from softlab_cli.core.volume import check_same_grid
from softlab_cli.readers import probe, read_label_map

__all__ = ["class_files_in", "find_class_folders", "look_like_classes"]

INNER = "segmentations"
"""A folder of a case that holds its classes, beside the image, in TotalSegmentator's data."""

FOLDERS_LOOKED_INTO = 3
FILES_READ = 2

PARTS = frozenset(
    re.findall(
        r"\w+",
        """
    abdomen adrenal airway amygdala anal anus aorta appendix arm artery atrial atrium autochthon
    bladder body bone bowel brachiocephalic brain brainstem breast bronchus carotid cartilage
    caudate cava caval cavity cerebellum cerebrum cervix chiasm clavicle clavicula cochlea colon
    cord cortex costal cyst diaphragm duodenum edema esophagus eye face fat femoral femur fibula
    foot gallbladder gland gluteus gonad hand head heart hepatic hip hippocampus humerus iliac
    iliopsoas intestine kidney larynx lens lesion lip liver lobe lung lymph mandible marrow
    matter maxilla mediastinum muscle myocardium neck necrosis nerve node nodule oedema
    oesophagus optic oral orbit ovary pallidum pancreas parotid patella pelvis penis pericardium
    pharynx pituitary pleura portal prostate pulmonary putamen quadriceps radius rectum renal
    retina rib sacrum scapula skeleton skin skull spinal spine spleen sternum stomach subclavian
    submandibular tarsal teeth temporal testis thalamus thigh thorax thymus thyroid tibia tongue
    tooth trachea tumor tumour ulna ureter urethra urinary uterus vagina vein vena venous
    ventricle vertebra vertebrae vessel
    """,
    )
)
"""Words of which one at least stands in the name of a body part."""

SIDES = frozenset(
    re.findall(r"\w+", "left right l r upper lower middle anterior posterior superior inferior")
)


RATER = re.compile(
    r"(rater|reader|annotator|expert|observer|doctor|radiologist|r(?=[\W_]*\d+$))", re.IGNORECASE
)


def look_like_classes(names: Sequence[str]) -> bool:
    """Whether file names, without endings, are those of several parts of one body.

    Numbered names (``liver_1``, ``liver_2``) and one part with further words
    (``liver_anna``, ``liver_ben``) are not: they may be cases, or raters.
    """
    found = [set(re.findall(r"[^\W\d_]+", name.lower())) for name in names]
    parts = [{w for w in words if w in PARTS or w.removesuffix("s") in PARTS} for words in found]
    kinds = {frozenset(p | (w & SIDES)) for p, w in zip(parts, found, strict=True) if p}
    numbered = sum(name[-1:].isdigit() for name in names)
    known = sum(map(bool, parts))
    return len(kinds) > 1 and 2 * known >= len(names) > 2 * numbered


def class_files_in(folder: Path) -> list[Path]:
    """The label maps of a case's folder, or of its folder ``segmentations``, in their order."""
    inner = folder / INNER
    files = whole_files(image_files(inner if inner.is_dir() else folder))
    return sorted(files, key=lambda file: natural_order(file.name))


def find_class_folders(folder: Path, rater: str, tell: Tell) -> list[Finding]:
    """The files of a folder of ``{case}/{class}``; none where that is not sure.

    Parameters
    ----------
    folder
        Has subfolders, and no label map of its own.
    rater
        Name for the label maps.
    tell
        Is told what was found.
    """
    if image_files(folder):
        return []
    below = sorted(folders_in(folder), key=lambda place: natural_order(place.name))
    cases, refused = _listed(below, rater)
    if not cases or not all(map(_are_classes, cases.values())) or _are_raters(cases):
        return []
    looked_into = list(cases.values())[:FOLDERS_LOOKED_INTO]
    if not all(map(_on_one_grid, looked_into)) or not _hold_one_class(looked_into[0]):
        return []
    findings = [
        Finding(place.name, file, rater, class_name=strip_suffix(file.name))
        for place, files in cases.items()
        for file in files
    ]
    names = list(dict.fromkeys(finding.class_name for finding in findings))
    count = (
        "its subfolder is a case" if len(cases) == 1 else f"its {len(cases)} subfolders are cases"
    )
    tell(
        f"{folder}: {count}, and each file in them is a class ({some_of(names)}), as if "
        "--class-pattern said so; --rater-pattern '{rater}/{case}' reads raters instead"
    )
    taken = {finding.label_map for finding in findings}
    left = [file for file in files_below(folder) if file not in taken]
    tell_left_out(folder, left, "no class of a case", tell)
    return findings + refused


def _listed(below: Sequence[Path], rater: str) -> tuple[dict[Path, list[Path]], list[Finding]]:
    """The files of each folder that has any, and a case that fails for each that cannot be read."""
    cases, refused = {}, []
    for place in below:
        try:
            if files := class_files_in(place):
                cases[place] = files
        except OSError as error:
            refused.append(Finding(place.name, place, rater, problem=unreadable(error, place)))
    return cases, refused


def _are_classes(files: Sequence[Path]) -> bool:
    names = [strip_suffix(file.name) for file in files]
    return len(set(names)) == len(names) and look_like_classes(names)


def _are_raters(folders: Iterable[Path]) -> bool:
    """Whether any folder is called like a person who draws."""
    return any(RATER.match(folder.name) for folder in folders)


def _on_one_grid(files: Sequence[Path]) -> bool:
    try:
        grids = [probe(file).geometry for file in files]
        for file, grid in zip(files[1:], grids[1:], strict=True):
            check_same_grid(grids[0], grid, names=(files[0].name, file.name), path=file)
    except SoftlabError:
        return False
    return True


def _hold_one_class(files: Sequence[Path]) -> bool:
    """Whether the smallest files of a folder hold 0 and one more value, or 0 alone."""
    smallest = sorted(files, key=lambda file: file.stat().st_size)[:FILES_READ]
    try:
        values = [read_label_map(file).values for file in smallest]
    except SoftlabError:
        return False
    return all(bool(((v == 0) | (v == v.max())).all()) for v in values)
