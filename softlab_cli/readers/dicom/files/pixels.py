"""Pixels of DICOM files: as they are, or through a decoder.

Uncompressed little-endian pixels are read straight from the file, frame by
frame. All others go through pydicom's decoders; what those cannot decode (JPEG
lossless and 12-bit JPEG, unless a further plugin is installed) goes through the
decoder inside SimpleITK, one frame at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_modality_lut

from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN, open_input
from softlab_cli.readers.dicom.files.common import DicomFile, numbers, quiet
from softlab_cli.readers.dicom.files.frames import Frame

__all__ = ["FrameReader", "channels_of", "fill_volume"]

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_COLOURS = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420"}


def channels_of(file: DicomFile) -> int:
    """Values for each pixel: 1, or 3 for colours.

    Raises
    ------
    InputError
        For palettes and other kinds whose stored values are no intensities.
    """
    samples = file.integer("SamplesPerPixel", 1)
    photometric = file.text("PhotometricInterpretation")
    if samples == 1 and photometric != "PALETTE COLOR":
        return 1
    if samples == 3 and photometric in _COLOURS:
        return 3
    raise InputError(
        f"has pixels of kind {photometric or 'unknown'} with {samples} value(s) each.",
        remedy="Convert it to greyscale or RGB.",
        path=file.path,
    )


def fill_volume(frames: Sequence[Frame], volume: NDArray[np.float32]) -> None:
    """Read all slices and apply each slice's own rescale slope and intercept.

    Parameters
    ----------
    frames
        Slices in the order of Z.
    volume
        (channels, Z, Y, X), filled in place.

    Raises
    ------
    InputError
        For a file whose pixels are truncated or cannot be decoded.
    """
    with quiet():
        for file, places in _by_file(frames):
            found = FrameReader(file).read([frames[z].number for z in places])
            for z, stored in zip(places, found, strict=True):
                _put(volume[:, z], stored, frames[z])


def _by_file(frames: Sequence[Frame]) -> Iterable[tuple[DicomFile, list[int]]]:
    """Each file once, with the places of its frames in ascending frame number."""
    groups: dict[int, tuple[DicomFile, list[int]]] = {}
    for z, frame in enumerate(frames):
        groups.setdefault(id(frame.file), (frame.file, []))[1].append(z)
    for _, places in groups.values():
        places.sort(key=lambda z: frames[z].number)
    return groups.values()


def _put(out: NDArray[np.float32], stored: NDArray[Any], frame: Frame) -> None:
    """One slice (channels, Y, X) from its stored values."""
    if stored.shape[:2] != out.shape[1:]:
        raise InputError(
            f"{frame.name} decodes to {stored.shape[0]}x{stored.shape[1]} pixels, but its header "
            f"says {out.shape[1]}x{out.shape[2]}.",
            remedy=FETCH_AGAIN,
            path=frame.file.path,
        )
    if stored.ndim == 3:
        out[...] = np.moveaxis(stored, 2, 0)
        return
    if frame.find("ModalityLUTSequence"):
        out[0] = apply_modality_lut(stored, frame.file.header)
        return
    slope = (numbers(frame.find("RescaleSlope"), 1) or (1.0,))[0]
    intercept = (numbers(frame.find("RescaleIntercept"), 1) or (0.0,))[0]
    if slope == 1.0:
        np.add(stored, np.float32(intercept), out=out[0], casting="unsafe", dtype=np.float32)
    else:
        out[0] = stored * slope + intercept


class FrameReader:
    """Stored values of a file's frames, decoded when they are asked for.

    Parameters
    ----------
    file
        The file, with its image pixel elements.
    """

    def __init__(self, file: DicomFile) -> None:
        self.file = file
        self.samples = file.integer("SamplesPerPixel", 1)

    def read(self, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
        """Some frames, one after another.

        Parameters
        ----------
        wanted
            Frame numbers, counted from 0.

        Yields
        ------
        (rows, columns) of the stored type, uint8 0 and 1 for bit-packed pixels, or
        (rows, columns, 3) RGB.

        Raises
        ------
        InputError
            When pixels are missing or cannot be decoded.
        """
        if self.file.pixel_offset >= 0 and self.samples == 1:
            return _native(self.file, wanted)
        return (self._decode(number) for number in wanted)

    @cached_property
    def _full(self) -> Dataset:
        with open_input(self.file.path) as opened:
            full = dcmread(opened, force=True)
        if any(k in full for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
            return full
        raise InputError(
            "is truncated, or has no pixels: the end of its pixel data is missing.",
            remedy=FETCH_AGAIN,
            path=self.file.path,
        )

    @cached_property
    def _encoded(self) -> list[bytes]:
        count = self.file.integer("NumberOfFrames", 1)
        return list(generate_frames(self._full.PixelData, number_of_frames=count))

    def _decode(self, number: int) -> NDArray[Any]:
        syntax = self._full.file_meta.get("TransferSyntaxUID")
        try:
            if syntax is not None and syntax.is_encapsulated:
                stored = _decode_alone(_single_frame(self._full, self._encoded[number]))
            else:
                decoder = get_decoder(syntax)
                stored = decoder.as_array(self._full, index=number, raw=self.samples == 1)[0]
        except InputError:
            raise
        except Exception as error:  # each decoder raises what it likes
            raise InputError(
                f"frame {number + 1} cannot be decoded ({getattr(syntax, 'name', syntax)}): "
                f"{error}",
                remedy="If the file is sound, convert it to an uncompressed transfer syntax.",
                path=self.file.path,
            ) from error
        plain = self.samples == 1 and stored.dtype.kind in "iu"
        return _clear_unused_bits(stored, self.file) if plain else stored


def _native(file: DicomFile, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    shape = file.integer("Rows"), file.integer("Columns")
    bits, pixels = file.integer("BitsAllocated"), shape[0] * shape[1]
    held = min(file.pixel_bytes, file.path.stat().st_size - file.pixel_offset)
    if (needed := (pixels * bits * (max(wanted, default=-1) + 1) + 7) // 8) > held:
        raise InputError(
            f"is truncated: its header promises {needed} bytes of pixels, it holds {held}.",
            remedy=FETCH_AGAIN,
            path=file.path,
        )
    for number in wanted:
        if bits == 1:
            yield _unpacked(file, number * pixels, pixels).reshape(shape)
            continue
        dtype = _stored_dtype(file)
        offset = file.pixel_offset + number * pixels * dtype.itemsize
        stored = np.fromfile(file.path, dtype, pixels, offset=offset)
        yield _clear_unused_bits(stored, file).reshape(shape)


def _stored_dtype(file: DicomFile) -> np.dtype[Any]:
    bits = file.integer("BitsAllocated")
    if bits not in (8, 16, 32):
        raise InputError(f"has {bits} bits for each pixel; 1, 8, 16 or 32 can be read.",
                         remedy="Convert it.", path=file.path)  # fmt: skip
    signed = file.integer("PixelRepresentation")
    return np.dtype(f"<{'i' if signed else 'u'}{bits // 8}")


def _unpacked(file: DicomFile, first_bit: int, count: int) -> NDArray[np.uint8]:
    start, stop = first_bit // 8, (first_bit + count + 7) // 8
    packed = np.fromfile(file.path, np.uint8, stop - start, offset=file.pixel_offset + start)
    return np.unpackbits(packed, bitorder="little")[first_bit % 8 :][:count]


def _clear_unused_bits(stored: NDArray[Any], file: DicomFile) -> NDArray[Any]:
    """Drop bits that belong to no pixel value and extend the sign of those that do."""
    allocated = 8 * stored.dtype.itemsize
    used = file.integer("BitsStored", allocated)
    high = file.integer("HighBit", used - 1)
    if 0 < used < allocated and used - 1 <= high < allocated:
        stored = stored << (allocated - 1 - high)
        stored >>= allocated - used
    return stored


def _decode_alone(single: Dataset) -> NDArray[Any]:
    """Pixels of a compressed single-frame data set."""
    try:
        decoder = get_decoder(single.file_meta.TransferSyntaxUID)
        return decoder.as_array(single, raw=single.SamplesPerPixel == 1)[0]
    except Exception as first:
        try:
            return _decode_with_itk(single)
        except Exception:
            raise first from None


def _decode_with_itk(single: Dataset) -> NDArray[Any]:
    """The same through SimpleITK, which reads from files only."""
    import SimpleITK

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.dcm"
        single.save_as(path, enforce_file_format=True)
        found: NDArray[Any] = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    return found.reshape(found.shape[-3:] if single.SamplesPerPixel == 3 else found.shape[-2:])


def _single_frame(full: Dataset, frame: bytes) -> Dataset:
    single = Dataset()
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
                    "PixelRepresentation", "SamplesPerPixel", "PlanarConfiguration",
                    "PhotometricInterpretation"):  # fmt: skip
        if keyword in full:
            setattr(single, keyword, full.get(keyword))
    if single.PhotometricInterpretation == "MONOCHROME1":
        single.PhotometricInterpretation = "MONOCHROME2"  # or ITK inverts the values
    single.SOPClassUID, single.SOPInstanceUID = _SECONDARY_CAPTURE, "2.25.1"
    single.PixelData = encapsulate([frame])
    single["PixelData"].VR = "OB"
    single.file_meta = FileMetaDataset()
    single.file_meta.TransferSyntaxUID = full.file_meta.TransferSyntaxUID
    single.file_meta.MediaStorageSOPClassUID = single.SOPClassUID
    single.file_meta.MediaStorageSOPInstanceUID = single.SOPInstanceUID
    return single
