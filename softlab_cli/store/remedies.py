"""What can be done about a store, or a case of it, that is damaged."""

from __future__ import annotations

__all__ = ["ANEW", "COPY"]

ANEW = "Remove the folder of the case and run the command again, which computes it anew."
"""A remedy for all of it: sizes alone are looked at when a run asks what is whole already."""

COPY = "Take its zarr.json from a copy of the store, or remove the store and run its command again."
"""A remedy for the ``zarr.json`` of a store's root, of which no case has what it says."""
