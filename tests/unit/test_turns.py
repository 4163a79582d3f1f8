"""Work of many tasks at once: in order, in parts, and never forgotten."""

from __future__ import annotations

import asyncio

from kubespawner.kube.turns import Turns


async def test_one_alone_goes_on_at_once():
    turns = Turns()
    loop = asyncio.get_running_loop()
    turned = []
    loop.call_soon(turned.append, True)
    await turns.mine()
    assert not turned


async def test_all_go_on_in_the_order_they_came_and_others_are_served_between():
    turns = Turns(seconds=0)  # nothing fits, so one at a time
    order: list[int] = []
    since: list[int] = []

    async def work(number):
        await turns.mine()
        order.append(number)

    async def other():
        while len(order) < 60:
            since.append(len(order))
            await asyncio.sleep(0)

    await asyncio.gather(*(work(number) for number in range(60)), other())
    assert order == list(range(60))
    assert len(set(since)) > 30


async def test_held_nobody_goes_on_until_the_release():
    turns = Turns()
    turns.hold()
    tasks = [asyncio.ensure_future(turns.mine()) for _ in range(3)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    turns.release()
    await asyncio.gather(*tasks)


async def test_whoever_is_cancelled_keeps_nobody_waiting():
    turns = Turns(seconds=0)
    turns.hold()
    tasks = [asyncio.ensure_future(turns.mine()) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[:19]:
        task.cancel()
    turns.release()
    await tasks[19]


def test_nothing_of_a_dead_event_loop_is_used_again():
    turns = Turns()
    waiting = []

    async def begin():
        turns.hold()
        waiting.append(asyncio.ensure_future(turns.mine()))
        await asyncio.sleep(0)

    async def go_on():
        turns.release()
        await turns.mine()

    asyncio.run(begin())
    asyncio.run(go_on())
