"""Whatever a damaged DICOM file makes libraries raise, as one kind of error.

An element is decoded when it is first asked for, deep inside of a reader, and damage may
show as any exception: an unknown type, a number that is a text, an item without what it
must have. Each reader says what it can of the damage that it knows; this is for the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from softlab_cli.core.errors import InputError, SoftlabError
from softlab_cli.readers.base import FETCH_AGAIN
from softlab_cli.readers.label_object import LabelObject

__all__ = ["damage_explained", "guarded"]


@contextmanager
def damage_explained(path: Path) -> Iterator[None]:
    """Raise `InputError` in place of what nobody has foreseen; pydicom says nothing meanwhile.

    Parameters
    ----------
    path
        The file or folder that is read.
    """
    from softlab_cli.readers.dicom.files.common import quiet

    try:
        with quiet():
            yield
    except (SoftlabError, MemoryError, ImportError):
        raise
    except Exception as error:  # pydicom and its decoders raise many kinds
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise InputError(
            f"is damaged: an element is missing or makes no sense ({reason}).",
            remedy=FETCH_AGAIN,
            path=path,
        ) from error


def guarded(source: LabelObject, path: Path) -> LabelObject:
    """A label object all of whose methods raise errors of softlab only."""
    return cast(LabelObject, _Guarded(source, path))


class _Guarded:
    """Hands everything on to a label object."""

    def __init__(self, source: LabelObject, path: Path) -> None:
        self._source = source
        self._path = path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # also while it is unpickled, without a source
            raise AttributeError(name)
        with damage_explained(self._path):
            found = getattr(self._source, name)
        return self._calling(found) if callable(found) else found

    def _calling(self, method: Any) -> Any:
        @functools.wraps(method)
        def call(*arguments: Any, **more: Any) -> Any:
            with damage_explained(self._path):
                return method(*arguments, **more)

        return call
