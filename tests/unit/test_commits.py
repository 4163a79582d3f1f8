"""Commits of many servers at once: few, and each caller's is done when it goes on."""

from __future__ import annotations

import asyncio

import pytest

from kubespawner.commits import Commits


class Session:
    """A session that knows what was changed and what is stored."""

    def __init__(self):
        self.changed, self.stored, self.commits = set(), set(), 0
        self.error = None

    def commit(self):
        self.commits += 1
        if self.error:
            raise self.error
        self.stored |= self.changed


async def test_one_alone_is_done_at_once():
    db = Session()
    db.changed.add(1)
    alone = Commits(pause=600).commit(db)
    # Not even one turn of the loop is waited for.
    with pytest.raises(StopIteration):
        alone.send(None)
    assert db.stored == {1}


async def test_many_share_one_and_each_is_stored_when_it_goes_on():
    db, commits = Session(), Commits(pause=0.05)

    async def one(number):
        db.changed.add(number)
        await commits.commit(db)
        assert number in db.stored

    await asyncio.gather(*map(one, range(100)))
    assert db.commits == 2
    await asyncio.gather(*map(one, range(100, 200)))
    assert db.commits <= 4


async def test_sessions_do_not_wait_for_each_other():
    first, second, commits = Session(), Session(), Commits(pause=600)
    await commits.commit(first)
    await commits.commit(second)
    assert (first.commits, second.commits) == (1, 1)


async def test_a_commit_that_fails_fails_for_all_who_wait_and_the_next_is_tried():
    db, commits = Session(), Commits(pause=0.01)
    await commits.commit(db)
    db.error = ValueError("the disk is full")
    results = await asyncio.gather(*(commits.commit(db) for _ in range(3)), return_exceptions=True)
    assert results == [db.error] * 3
    db.error = None
    db.changed.add(1)
    await commits.commit(db)
    assert db.stored == {1}


async def test_what_a_cancelled_caller_changed_is_stored():
    db, commits = Session(), Commits(pause=0.01)
    await commits.commit(db)
    db.changed.add(1)
    caller = asyncio.ensure_future(commits.commit(db))
    other = asyncio.ensure_future(commits.commit(db))
    await asyncio.sleep(0)
    caller.cancel()
    await commits.settled(db)
    assert db.stored == {1}
    await other
    assert caller.cancelled() and db.stored == {1}


async def test_what_nobody_waits_for_is_settled():
    db, commits = Session(), Commits(pause=600)
    await commits.settled(db)
    await commits.commit(db)
    await commits.settled(db)
    assert db.commits == 1


def test_nothing_of_an_ended_loop_is_waited_for():
    db, commits = Session(), Commits(pause=600)
    asyncio.run(commits.commit(db))
    asyncio.run(commits.commit(db))
    assert db.commits == 2
