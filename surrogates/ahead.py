"""Requests that run at once, their results taken in the order in which they were asked for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial
from itertools import islice
from typing import TypeVar

POLL_S = 0.1
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    items: Sequence[Item], work: Callable[[Item], Result], at_once: int, should_stop: Callable[[], bool]
) -> Iterator[tuple[Item, Callable[[], Result]]]:
    """Each item with what gives its result, or raises what went wrong; the items keep their order.

    At most `at_once` are worked on at a time, each on a thread; 1 works in the caller's. Stopped, it ends at once: what is under way
    runs out by itself, and nobody takes what it brings.
    """
    if at_once == 1:
        yield from ((item, partial(work, item)) for item in items)
        return
    rest, under_way = iter(items), deque[tuple[Item, Future[Result]]]()
    while True:
        under_way.extend((item, _started(work, item)) for item in islice(rest, at_once - len(under_way)))
        if not under_way:
            return
        item, result = under_way.popleft()
        while not result.done():
            if should_stop():
                return
            wait([result], POLL_S)
        yield item, result.result


def _started(work: Callable[[Item], Result], item: Item) -> Future[Result]:
    result: Future[Result] = Future()

    def run() -> None:
        try:
            result.set_result(work(item))
        except BaseException as error:
            result.set_exception(error)

    # a request that hangs must not keep the process from ending
    threading.Thread(target=run, name="request", daemon=True).start()
    return result
