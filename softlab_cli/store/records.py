"""What a case's record says of its files, so that none is lost, added or exchanged unseen.

Every chunk ends in the crc32c of its bytes (a core codec of Zarr). A shard repeats
these checksums in one piece, before its index; the record of the case keeps, for each
shard, the number of chunks, the bytes of the file and a digest over (slot, crc32c).
Whoever opens a shard compares the digest, and then each chunk that is read with its
checksum: a chunk of another case cannot pass for one of this. The record itself has a
*seal*, a checksum of all its entries.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import StoreError
from softlab_cli.store.remedies import ANEW

__all__ = [
    "SEAL",
    "ArrayRecord",
    "ShardRecord",
    "checksum_of",
    "digest_of",
    "is_sealed",
    "sealed",
    "sealed_text",
]

SEAL = "seal"
FACTS = b'"softlab": {'
"""What the facts begin with in a file; inside a text of JSON, quotes look otherwise."""

DIGEST_BYTES = 8
"""64 bits: chance lets no damage through, and a record stays short."""


@dataclass(frozen=True)
class ShardRecord:
    """One shard file.

    Parameters
    ----------
    chunks
        Chunks that are present.
    size
        Bytes of the file.
    digest
        What `digest_of` makes of its chunks.
    """

    chunks: int
    size: int
    digest: str


@dataclass(frozen=True)
class ArrayRecord:
    """The files of one array of a case.

    Parameters
    ----------
    layout
        What `checksum_of` makes of the layout, as `ArrayLayout.to_json` tells it:
        blocks that are cut in another way would be put in other places.
    shards
        Each shard that is present, by its path below the array's folder.
    """

    layout: str
    shards: Mapping[str, ShardRecord]

    @property
    def chunks(self) -> int:
        """Chunks that are present, all shards together."""
        return sum(shard.chunks for shard in self.shards.values())

    def to_json(self) -> dict[str, Any]:
        """The record as the store keeps it."""
        shards = {path: [s.chunks, s.size, s.digest] for path, s in self.shards.items()}
        return {"layout": self.layout, "shards": shards}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> ArrayRecord:
        """The record that `to_json` wrote."""
        shards = {
            str(path): ShardRecord(int(chunks), int(size), str(digest))
            for path, (chunks, size, digest) in facts["shards"].items()
        }
        return cls(str(facts["layout"]), shards)

    def check_files(self, folder: Path) -> None:
        """Raise unless every shard is there with its size; nothing is read.

        Parameters
        ----------
        folder
            The array's folder.

        Raises
        ------
        StoreError
            For the first file that is missing, or longer or shorter than it was.
        """
        start = f"{folder}{os.sep}"
        for path, shard in self.shards.items():
            try:
                size = os.stat(start + path).st_size
            except OSError as error:
                problem = f"is missing or cannot be read ({error.strerror or error})."
                raise StoreError(problem, remedy=ANEW, path=folder / path) from error
            if size != shard.size:
                problem = f"has {size} bytes and had {shard.size}."
                raise StoreError(problem, remedy=ANEW, path=folder / path)


def digest_of(slots: NDArray[Any], checksums: NDArray[np.uint32]) -> str:
    """Digest of a shard's chunks.

    Parameters
    ----------
    slots
        (chunks,) number of each present chunk in the shard, ascending.
    checksums
        (chunks,) crc32c of their bytes.
    """
    pairs = np.empty((len(slots), 2), "<u4")
    pairs[:, 0], pairs[:, 1] = slots, checksums
    return hashlib.blake2b(pairs.tobytes(), digest_size=DIGEST_BYTES).hexdigest()


def checksum_of(content: Any) -> str:
    """Checksum of the values in a JSON document, whatever the order of its keys and its spaces."""
    return _checksum(json.dumps(content, sort_keys=True).encode())


def _checksum(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=DIGEST_BYTES).hexdigest()


def sealed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts with their seal at the end, the others in order; an older seal is replaced."""
    content: dict[str, Any] = json.loads(sealed_text(facts))
    return content


def sealed_text(facts: Mapping[str, Any]) -> str:
    """`sealed` facts as JSON; infinite and undefined numbers are refused."""
    content: Any = {k: v for k, v in facts.items() if k != SEAL}
    # As they come back from a file: keys are text there, and sorted as such. To make the text
    # of a small case takes longer than to look at all its keys.
    if not _has_text_keys(content):
        content = json.loads(json.dumps(content))
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return f'{text[:-1]}, "{SEAL}": "{_checksum(text.encode())}"}}'


def _has_text_keys(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(k) is str and _has_text_keys(v) for k, v in value.items())
    return not isinstance(value, list | tuple) or all(map(_has_text_keys, value))


def is_sealed(facts: Mapping[str, Any], text: bytes = b"") -> bool:
    """Whether facts from a file are those that were sealed.

    Parameters
    ----------
    facts
        The facts.
    text
        The file. As long as nobody has formatted it anew, it ends with the very bytes
        that were sealed, and they need not be made again from the facts.
    """
    seal = facts.get(SEAL)
    start, tail = text.rfind(FACTS), f', "{SEAL}": "{seal}"}}}}}}'.encode()
    if start >= 0 and text.endswith(tail):
        written = text[start + len(FACTS) : len(text) - len(tail)]
        if _checksum(b"{" + written + b"}") == seal:
            return True
    return bool(checksum_of({k: v for k, v in facts.items() if k != SEAL}) == seal)
