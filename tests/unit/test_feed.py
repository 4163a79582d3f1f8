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
    feed.add("two", progress=20, kind="event", raw_event={"a": 1})
    done.set_result(None)
    expected = [
        {"kind": "notice", "progress": 10, "message": "one"},
        {"kind": "event", "progress": 20, "message": "two", "raw_event": {"a": 1}},
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


def phase(message, **more):
    return {"kind": "phase", "phase": "Pulling", "progress": 30, "message": message, **more}


def test_a_phase_is_said_once_and_again_after_the_clusters_own_words():
    feed = ProgressFeed()
    feed.tell_phase(phase("Downloading"))
    feed.tell_phase(phase("Downloading"))
    feed.add("2026 [Normal] Pulling", kind="event")
    feed.tell_phase(phase("Downloading"))
    feed.add("your volume is new and empty")
    feed.tell_phase(phase("Downloading"))
    feed.tell_phase(phase("Starting"))
    assert [e["message"] for e in feed.entries] == [
        "Downloading",
        "2026 [Normal] Pulling",
        "Downloading",
        "your volume is new and empty",
        "Starting",
    ]


def test_a_notice_beside_the_phase_leaves_the_phase_on_the_page():
    feed = ProgressFeed()
    feed.add_beside_phase("takes long")
    assert "html_message" not in feed.entries[-1]
    feed.tell_phase(phase("Downloading <x>"))
    feed.add_beside_phase("takes <b>long</b>")
    assert feed.entries[-1]["message"] == "takes <b>long</b>"
    assert feed.entries[-1]["html_message"] == (
        "Downloading &lt;x&gt;<br>takes &lt;b&gt;long&lt;/b&gt;"
    )
    feed.tell_phase(phase("Starting", html_message="<code>x</code>"))
    feed.add_beside_phase("takes long")
    assert feed.entries[-1]["html_message"] == "<code>x</code><br>takes long"
