"""The progress feed: every reader sees everything, and ends with the spawn."""

import asyncio

from kubespawner.feed import ProgressFeed


async def collect(feed, until):
    return [entry async for entry in feed.follow(until)]


async def test_every_reader_gets_all_messages_whenever_it_joins():
    feed, done = ProgressFeed(), asyncio.get_running_loop().create_future()
    early = asyncio.create_task(collect(feed, lambda: done))
    await asyncio.sleep(0)
    feed.add("one", progress=10)
    late = asyncio.create_task(collect(feed, lambda: done))
    await asyncio.sleep(0)
    feed.add("two", progress=20, raw_event={"a": 1})
    done.set_result(None)
    expected = [
        {"progress": 10, "message": "one"},
        {"progress": 20, "message": "two", "raw_event": {"a": 1}},
    ]
    assert await early == expected
    assert await late == expected


async def test_reader_that_came_before_the_spawn_ends_with_it():
    feed, futures = ProgressFeed(), []
    reader = asyncio.create_task(collect(feed, lambda: futures[0] if futures else None))
    await asyncio.sleep(0)
    done = asyncio.get_running_loop().create_future()
    futures.append(done)
    feed.add("requested", progress=0)
    await asyncio.sleep(0)
    done.set_exception(RuntimeError("spawn failed"))
    assert [e["message"] for e in await asyncio.wait_for(reader, 5)] == ["requested"]
    assert done.exception()


def test_progress_never_decreases_and_stays_below_100():
    feed = ProgressFeed()
    for progress in (30, 10, None, 250):
        feed.add("x", progress=progress)
    assert [e["progress"] for e in feed.entries] == [30, 30, 30, 99]


def test_events_of_unknown_weight_move_the_bar_by_a_third_of_the_rest():
    feed = ProgressFeed()
    for _ in range(4):
        feed.add("x", progress=feed.advance())
    assert [e["progress"] for e in feed.entries] == [30, 50, 63, 72]
