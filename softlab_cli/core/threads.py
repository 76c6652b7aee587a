"""Threads inside a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import Generic, TypeVar, cast

__all__ = ["ordered_map"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """Map over threads, in order, with at most two items a thread in flight.

    The calling thread is one of them: it works while there is nothing to hand out. What an
    item raises is raised when its turn comes.

    Parameters
    ----------
    function
        Must release the interpreter lock for most of its time to gain anything.
    items
        Read lazily, by one thread at a time.
    threads
        1 maps in the calling thread.
    """
    left = iter(items)
    first = list(islice(left, 2))
    if threads <= 1 or len(first) < 2:
        yield from map(function, chain(first, left))
        return
    work = _Work(function, chain(first, left), 2 * threads)
    # Where nobody closes this generator before the process ends, they wait for items for ever.
    others = [threading.Thread(target=work.help, daemon=True) for _ in range(threads - 1)]
    try:
        for other in others:
            other.start()
        yield from work.results()
    finally:
        try:
            work.stop()
        finally:  # whatever signals come
            work.let_go()
            for other in others:
                if other.ident is not None:  # one may have come before it was started
                    other.join()


class _Work(Generic[Item, Result]):
    """Items that threads take in order, and results that one of the threads hands out.

    A pool of threads would spend 30 microseconds an item on its futures, and have one thread
    more that asks for the interpreter lock; many blocks take no longer than that.
    """

    def __init__(
        self, function: Callable[[Item], Result], items: Iterator[Item], most: int
    ) -> None:
        self._function = function
        self._items = items
        self._most = most  # in flight
        # The lock itself is what is held below: a signal may come in the midst of the condition's
        # own way of taking it, which is Python.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._taken = 0
        self._turn = 0
        self._is_over = False  # nobody takes an item any more
        self._done: dict[int, _Outcome[Result]] = {}

    def stop(self) -> None:
        """Begin nothing any more."""
        with self._lock:
            self._is_over = True
            self._changed.notify_all()

    def let_go(self) -> None:
        """Give back the lock that a signal has left this thread with.

        The others would wait for it, and this thread for them.
        """
        with suppress(RuntimeError):  # it is not ours any more
            while True:
                self._lock.release()

    def help(self) -> None:
        """Work until there is nothing left to begin."""
        while True:
            with self._lock:
                while (task := self._take()) is None:
                    if self._is_over:
                        return
                    self._changed.wait()
            place, item = task
            try:
                self._do(place, item)
            except BaseException as error:  # it would end this thread alone, without a word
                self._put(place, _Outcome(error=error))

    def results(self) -> Iterator[Result]:
        """Each result in order; works as well."""
        while True:
            task = None
            with self._lock:
                while (outcome := self._next()) is None and (task := self._take()) is None:
                    if self._is_over and self._turn == self._taken:
                        return
                    if self._turn not in self._done:  # an error of the items may be there now
                        self._changed.wait()
            if task is not None:
                self._do(*task)
            elif outcome is not None:
                yield outcome.get()

    def _next(self) -> _Outcome[Result] | None:
        """What is to be handed out now, if it is there."""
        outcome = self._done.pop(self._turn, None)
        if outcome is not None:
            self._turn += 1
            self._changed.notify_all()  # there is room for one more
        return outcome

    def _take(self) -> tuple[int, Item] | None:
        """An item that may be begun, with its place."""
        if self._is_over or self._taken - self._turn >= self._most:
            return None
        try:
            item = next(self._items)
        except StopIteration:
            self.stop()
            return None
        except Exception as error:
            self.stop()
            self._done[self._taken] = _Outcome(error=error)
            self._taken += 1
            return None
        self._taken += 1
        return self._taken - 1, item

    def _do(self, place: int, item: Item) -> None:
        try:
            outcome = _Outcome(self._function(item))
        except Exception as error:
            outcome = _Outcome(error=error)
        self._put(place, outcome)

    def _put(self, place: int, outcome: _Outcome[Result]) -> None:
        with self._lock:
            self._done[place] = outcome
            if place == self._turn:
                self._changed.notify_all()


class _Outcome(Generic[Result]):
    """What became of an item: a result, or an error."""

    def __init__(self, result: Result | None = None, error: BaseException | None = None) -> None:
        self._result = result
        self._error = error

    def get(self) -> Result:
        """The result; raises the error."""
        if self._error is not None:
            raise self._error
        return cast(Result, self._result)
