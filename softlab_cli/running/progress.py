"""Listeners of a run: a progress bar on standard error, and a log of JSON lines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import RawIOBase
from pathlib import Path
from typing import Any

from softlab_cli.core.events import (
    CaseFinished,
    Event,
    Listener,
    Notice,
    RunFinished,
    StageStarted,
    StageStepped,
    to_json,
)
from softlab_cli.core.text import printable, shown
from softlab_cli.running.warned import Warned
from softlab_cli.store.files import system_errors

__all__ = ["JsonLog", "ProgressBar", "listeners"]

VERBS = {
    "scan": "scanning labels",
    "read": "reading to learn",
    "train": "training",
    "soften": "softening",
    "verify": "verifying",
    "evaluate": "evaluating",
    "draw": "drawing",
    "calibrate": "calibrating",
    "tune": "trying soft labels",
}


class ProgressBar:
    """One bar for the stage that runs; notices and failures are printed above it.

    Warnings are told once, when the run is over: with the number of cases that they are
    about. Why a case failed is said here, as it happens, and by no table again.
    """

    def __init__(self, *, visible: bool, verbose: bool = False) -> None:
        self.visible = visible
        self.verbose = verbose
        self.bar: Any = None
        self._warned = Warned()
        self._said: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case StageStarted(stage, total):
                self._start(stage, total)
            case StageStepped():
                self._step()
            case CaseFinished():
                self._finish_case(event)
            case Notice(message) if message not in self._said:
                self._said.add(message)
                self._say(f"note: {shown(message)}")
            case RunFinished():
                self._tell_warnings()

    def close(self) -> None:
        """Take the bar away, and tell what is left to be told."""
        self._take_bar_away()
        self._tell_warnings()

    def _take_bar_away(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _tell_warnings(self) -> None:
        for line in self._warned.take():
            self._say(f"warning: {line}")

    def _start(self, stage: str, total: int) -> None:
        self._take_bar_away()
        if self.visible:
            from tqdm import tqdm

            self.bar = tqdm(
                total=total, desc=VERBS.get(stage, stage), unit="case", leave=False,
                file=sys.stderr,
            )  # fmt: skip

    def _step(self) -> None:
        if self.bar is not None:
            self.bar.update()

    def _finish_case(self, event: CaseFinished) -> None:
        if event.status != "skipped":
            self._step()
        self._warned.add(event)
        if event.status == "failed":
            self._say(f"failed: {shown(event.case_id)}: {event.message}")
        elif self.verbose:
            why = f" ({event.message})" if event.message else ""
            self._say(f"{event.status}: {event.case_id}{why} in {event.seconds:.2f} s")

    def _say(self, line: str) -> None:
        line = printable(line)
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr)


class JsonLog:
    """Every event as one line of JSON with the time at which it came."""

    def __init__(self, file: RawIOBase, path: Path) -> None:
        self.file, self.path = file, path

    def __call__(self, event: Event) -> None:
        """Write an event."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **to_json(event)}
        text = (json.dumps(line) + "\n").encode()
        with system_errors(self.path, "written"):
            while text:  # nothing is kept back, which could not be written at the end either
                text = text[self.file.write(text) or 0 :]


@contextmanager
def listeners(
    *, progress: bool, verbose: bool = False, log_json: Path | None = None
) -> Iterator[Listener]:
    """One listener that passes events on to the bar and, when asked, to a log.

    Parameters
    ----------
    progress
        Show a bar on standard error.
    verbose
        Also name the cases that went well.
    log_json
        A file that gets one JSON object a line, appended.
    """
    bar = ProgressBar(visible=progress, verbose=verbose)
    every: list[Listener] = [bar]
    with ExitStack() as stack:
        stack.callback(bar.close)
        if log_json is not None:
            with system_errors(log_json, "written"):
                file = stack.enter_context(log_json.open("ab", buffering=0))
            every.append(JsonLog(file, log_json))
        yield _all_of(every)


def _all_of(every: Sequence[Listener]) -> Listener:
    def listen(event: Event) -> None:
        for listener in every:
            listener(event)

    return listen
