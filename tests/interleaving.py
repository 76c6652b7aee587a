"""Something else happens between any two lines of a function, as another thread might do it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["interleaved"]


@contextmanager
def interleaved(*names: str, act: Callable[[], object]) -> Iterator[None]:
    """Call `act` before each line of the functions with these names."""
    usual = sys.gettrace()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line" and frame.f_code.co_name in names:
            act()
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(usual)
