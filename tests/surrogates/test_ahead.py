"""Work that runs ahead on threads and is taken in order."""

from __future__ import annotations

import threading

import pytest

from surrogates.ahead import in_order


def never() -> bool:
    return False


@pytest.mark.parametrize("at_once", [1, 3])
def test_results_keep_the_order_of_their_items(at_once: int) -> None:
    assert [(item, result()) for item, result in in_order(range(10), lambda item: item * item, at_once, never)] == [
        (item, item * item) for item in range(10)
    ]


def test_an_item_that_ends_later_is_still_taken_first() -> None:
    second_is_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_is_done.wait(30)
        second_is_done.set()
        return item

    assert [result() for _, result in in_order([0, 1], work, 2, never)] == [0, 1]


def test_no_more_than_so_many_are_begun_before_one_is_taken() -> None:
    begun = []
    results = in_order(range(10), lambda item: begun.append(item), 2, never)
    next(results)
    assert len(begun) <= 2


def test_what_goes_wrong_is_raised_where_its_result_is_taken() -> None:
    def work(item: int) -> int:
        if item == 1:
            raise ValueError("one")
        return item

    taken = list(in_order([0, 1, 2], work, 3, never))
    assert taken[0][1]() == 0
    with pytest.raises(ValueError, match="one"):
        taken[1][1]()
    assert taken[2][1]() == 2


def test_stopping_waits_for_nothing_that_hangs() -> None:
    over, stop = threading.Event(), threading.Event()

    def work(item: int) -> bool:
        stop.set()
        return over.wait(60)

    assert list(in_order([1, 2, 3], work, 2, stop.is_set)) == []
    over.set()
