"""The harness of ``make bench``: its arithmetic, its accounts, and its processes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from bench import plots, report
from bench.apiserver import Audit
from bench.children import Child, ChildFailed
from bench.costs import costs, profiled
from bench.hub import Arrivals, Measured, Turns
from bench.objects import pod, ready_status, user_name
from bench.plan import FULL, PARTS
from bench.rows import ROWS, Target, lines
from bench.samples import Run, machine, percentile, spread
from bench.scenarios import Bench
from bench.wire import Wire
from kubespawner.localcluster.pytest_plugin import ANSWERING
from tests.support.schemas import assert_valid


def run_with(**figures) -> Run:
    """A run in which each metric has (ours, peer) at size 1,000."""
    run = Run("quick", about=machine())
    for metric, (ours, peer) in figures.items():
        for side, values in (("ours", ours), ("peer", peer)):
            for value in values:
                run.add(metric.replace("_", "."), 1000, side, value)
    return run


# ---- arithmetic ----------------------------------------------------------------------------


def test_percentiles_are_values_that_were_measured():
    values = [4.0, 1.0, 3.0, 2.0]
    assert [percentile(values, p) for p in (0, 25, 50, 75, 99, 100)] == [1, 1, 2, 3, 4, 4]
    assert percentile([7.0], 50) == 7
    with pytest.raises(ValueError):
        percentile([], 50)


def test_spread_is_relative_to_the_median():
    assert spread([2.0, 3.0, 4.0]) == pytest.approx(2 / 3)
    assert spread([5.0]) == 0
    assert spread([0.0, 0.0]) == 0


@pytest.mark.parametrize(
    ("target", "ours", "ratio", "met"),
    [
        (Target(), 1, 2, None),
        (Target(ratio=3), 1, 3, True),
        (Target(ratio=3), 1, 2.9, False),
        (Target(ratio=3), 1, None, None),
        (Target(ratio=3), 0, float("inf"), True),
        (Target(most=50), 50, None, True),
        (Target(most=50), 51, 100, False),
        (Target(ratio=20, most=20), 21, 30, False),
        (Target(ratio=20, most=20), 19, 19, False),
        (Target(ratio=20, most=20), 19, 20, True),
    ],
)
def test_a_target_is_met(target, ours, ratio, met):
    assert target.met(ours, ratio) is met


def test_lines_have_medians_and_their_ratio():
    run = run_with(idle_cpu=([1, 3, 2], [100, 400, 300]), memory=([2.0], []))
    cpu, memory = lines(run)
    assert (cpu.ours, cpu.peer, cpu.ratio, cpu.met, cpu.ours_rounds) == (2, 300, 150, True, 3)
    assert cpu.ours_spread == 1
    assert (memory.peer, memory.ratio, memory.met) == (None, None, None)


def test_nothing_of_ours_is_infinitely_less_and_nothing_of_both_is_no_ratio():
    first, second = lines(run_with(idle_bytes=([0.0], [5.0]), idle_lists=([0.0], [0.0])))
    by_metric = {line.row.metric: line.ratio for line in (first, second)}
    assert by_metric == {"idle.bytes": float("inf"), "idle.lists": None}


def test_a_target_for_big_sizes_is_not_asked_of_small_ones():
    run = run_with(churn_cpu=([1.0], [2.0]))
    run.add("churn.cpu", 10_000, "ours", 1.0)
    run.add("churn.cpu", 10_000, "peer", 2.0)
    small, big = lines(run)
    assert (small.met, str(small.target)) == (None, "–")
    assert (big.met, str(big.target)) == (False, "≥ 3×")


def test_what_failed_is_a_line_of_the_table_without_figures():
    run = run_with(idle_cpu=([], [100.0]))
    run.fail(("idle.", "churn."), 1000, "ours", "it hung")
    by_metric = {line.row.metric: line for line in lines(run)}
    assert set(by_metric) == {
        row.metric for row in ROWS if row.metric.startswith(("idle", "churn"))
    }
    cpu, stall = by_metric["idle.cpu"], by_metric["churn.stall"]
    assert (cpu.ours, cpu.ours_failed, cpu.peer, cpu.ratio, cpu.met) == (
        None,
        True,
        100,
        None,
        None,
    )
    assert (stall.ours_failed, stall.peer_failed) == (True, False)
    assert (cpu.verdict, stall.verdict) == ("not measured", "")


def test_nothing_done_costs_infinitely_much_each():
    run = run_with()
    for side, value in (("ours", 5.0), ("peer", float("inf")), ("peer", float("inf"))):
        run.add("events.cpu.each", 35_000, side, value)
    (line,) = lines(run)
    assert (line.ratio, line.peer_spread) == (float("inf"), 0)


def test_every_row_is_of_another_metric():
    metrics = [row.metric for row in ROWS]
    assert len(set(metrics)) == len(metrics)


def test_a_run_is_read_as_it_was_written(tmp_path):
    run = run_with(idle_cpu=([1.5], [2.5]))
    run.requests["start-plain ours"] = {"create pods": 500}
    run.fail(("idle.",), 1000, "peer", "it hung")
    run.add("events.cpu.each", 1000, "peer", float("inf"))
    run.save(tmp_path / "run.json")
    assert Run.load(tmp_path / "run.json") == run


def test_what_is_measured_anew_takes_the_place_of_the_scenario():
    old = run_with(idle_cpu=([1.0], [2.0]), memory=([3.0], [4.0]))
    old.fail(("idle.",), 1000, "peer", "it hung")
    new = run_with(idle_stall=([5.0], [6.0]))
    run = old.renewed(new)
    assert {sample.metric for sample in run.samples} == {"memory", "idle.stall"}
    assert run.failures == []


# ---- plans ---------------------------------------------------------------------------------


def test_the_dearest_step_comes_first_at_its_full_size():
    run = Run("full")
    run.add("make.cpu", 10_000, "ours", 300)
    run.add("make.cpu", 30_000, "ours", 600)
    run.add("plain.start.cpu", 500, "ours", 8)
    run.add("plain.start.cpu", 500, "peer", 800)
    first, second = costs(run)
    assert (first.step, first.seconds) == ("start-plain", 4)
    assert (second.step, second.seconds, second.what) == ("make", 3, "10,000 spawners made")


def test_a_profile_does_only_what_its_steps_need():
    plan = profiled(FULL, {"make", "start-claims"})
    assert [p.size for p in plan.populations] == [10_000]
    assert [spawns.kind for spawns in plan.kinds] == ["claims"]
    assert plan.events == ()


def test_every_part_of_the_plan_can_be_left_out():
    assert FULL.only(PARTS) == FULL
    nothing = FULL.only(())
    assert (nothing.populations, nothing.kinds, nothing.events) == ((), (), ())


def test_what_fails_is_noted_and_kept_and_the_rest_goes_on(tmp_path):
    kept = []
    bench = Bench(FULL, tmp_path, lambda text: None, lambda run: kept.append(len(run.failures)))
    with bench._attempt(("idle.",), 1000, "ours"):
        raise ChildFailed("it hung")
    with bench._attempt(("events.",), 3500, "ours", "peer"):
        pass
    assert kept == [1, 1]
    assert bench.run.failed("idle.cpu", 1000, "ours")
    assert not bench.run.failed("events.cpu", 3500, "ours")


# ---- table and plots -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("inf"), "∞"),
        (0.0, "0"),
        (0.000176, "0.000176"),
        (0.00000176, "0.000002"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
    ],
)
def test_figures_are_short_and_without_exponents(value, text):
    assert report.figure(value) == text
    assert report.figure(value, "ms").startswith(text)


def test_the_page_tells_figures_verdicts_and_circumstances(tmp_path):
    run = run_with(idle_cpu=([1, 2], [150, 170]), memory=([10.0], [20.0]))
    run.about["peer"] = {"kubespawner": "7.1.0"}
    run.requests["start-plain ours"] = {"create pods": 500}
    run.fail(("churn.",), 1000, "peer", "it hung\nand this is its log")
    report.write(run, tmp_path)
    page = (tmp_path / "quick.md").read_text()
    assert "| 1.5 s ± 33 % | 160 s ± 6 % | 107× | ≥ 50× | met |" in page
    assert "| 10 KiB | 20 KiB | 2× | ≥ 5× | missed |" in page
    assert run.about["date"] in page and "7.1.0" in page
    assert "500 × create pods" in page
    assert "churn. at 1,000, peer: it hung\n" in page
    assert "a minute with 1,000 idle servers: 1.5 s" in page
    assert Run.load(tmp_path / "quick.json") == run


def test_the_plots_are_drawn(tmp_path):
    run = run_with(idle_cpu=([1], [100]), memory=([1], [7]))
    for row in ROWS:
        for side in ("ours", "peer"):
            run.add(row.metric, 3000, side, 2.0)
    paths = plots.draw(run, tmp_path)
    assert [path.name for path in paths] == ["quick-growth.png", "quick-ratios.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


# ---- accounts ------------------------------------------------------------------------------


def test_the_audit_counts_one_users_requests_since_it_was_made(tmp_path):
    log = tmp_path / "audit.log"

    def wrote(user, verb, resource, subresource="", millis=0):
        about = {"resource": resource, **({"subresource": subresource} if subresource else {})}
        entry = {
            "user": {"username": user},
            "verb": verb,
            "requestURI": "/",
            "objectRef": about,
            "stage": "ResponseComplete",
            "requestReceivedTimestamp": "2026-11-25T21:59:59.900000Z",
            "stageTimestamp": f"2026-11-25T22:00:00.{millis:03}000Z",
        }
        with log.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    wrote("ours", "list", "pods")
    audit = Audit(log)
    wrote("ours", "list", "pods")
    wrote("ours", "create", "pods")
    wrote("ours", "create", "pods", "binding")
    wrote("peer", "list", "pods")
    assert audit.requests("ours") == {"list pods": 1, "create pods": 1, "create pods/binding": 1}
    assert audit.requests("peer") == {"list pods": 1}
    wrote("kubelet", "delete", "pods", millis=50)
    wrote("kubelet", "patch", "pods", "status", millis=70)
    assert audit.durations("kubelet", "delete pods") == [pytest.approx(0.15)]


async def test_the_wire_counts_bytes_and_can_be_cut():
    async def answer(reader, writer):
        while data := await reader.read(100):
            writer.write(data * 2)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    wire = Wire(server.sockets[0].getsockname()[1])
    await wire.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(b"12345")
    assert await reader.readexactly(10) == b"1234512345"
    assert await wire.count() == {"to_server": 5, "to_hub": 10}
    assert (await wire.cut())["connections"] == 1
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    await wire.refuse(True)
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    assert await wire.count() == {"to_server": 5, "to_hub": 10}
    server.close()


async def test_events_of_a_watch_are_timed_when_they_are_complete():
    def line(kind, name, status):
        item = {"kind": "Pod", "metadata": {"name": name}, "status": status}
        return json.dumps({"type": kind, "object": item}, separators=(",", ":")).encode() + b"\n"

    ready = line("MODIFIED", "a", {"conditions": [{"type": "Ready", "status": "True"}]})
    gone = line("DELETED", "b", {})
    stream = aiohttp.StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**16)
    with Arrivals() as arrivals:
        stream.feed_data(b'{"kind":"PodList"}\n' + line("ADDED", "a", {}) + ready[:50])
        before = time.monotonic()
        stream.feed_data(ready[50:] + gone[:-1])
        between = time.monotonic()
        stream.feed_data(gone[-1:])
    stream.feed_data(line("DELETED", "c", {}))
    became_ready, went = arrivals.of_pods()
    assert set(became_ready) == {"a"} and before <= became_ready["a"] <= between
    assert set(went) == {"b"} and went["b"] >= between


def test_a_turn_of_the_loop_is_timed_from_wait_to_wait():
    turns = Turns()
    loop = asyncio.SelectorEventLoop(turns)

    async def work():
        with Measured(turns) as measured:
            await asyncio.sleep(0)
            busy = sum(n * n for n in range(200_000))
            await asyncio.sleep(0.01)
        return measured.figures, busy

    figures, _ = loop.run_until_complete(work())
    loop.close()
    # The wait of a hundredth of a second is none of it.
    assert 0 < figures["stall"] <= figures["seconds"]
    assert figures["cpu"] > 0


# ---- processes -----------------------------------------------------------------------------


def test_a_child_answers_in_order_and_tells_why_it_ended(tmp_path):
    script = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    job = json.loads(line)\n"
        "    if job['do'] == 'fail': sys.exit('no such thing')\n"
        "    print(json.dumps(job), flush=True)\n"
    )
    with Child([sys.executable, "-c", script], log=tmp_path / "log") as child:
        child.tell("one", number=1)
        child.tell("two")
        assert child.hear() == {"do": "one", "number": 1}
        assert child.hear() == {"do": "two"}
        with pytest.raises(ChildFailed, match="no such thing"):
            child.ask("fail")


def test_a_child_that_does_not_answer_is_ended(tmp_path):
    with Child(["sleep", "600"], log=tmp_path / "log") as child:
        with pytest.raises(ChildFailed, match=r"did not answer within 0\.1 seconds"):
            child.ask("anything", within=0.1)
        with pytest.raises(ProcessLookupError):
            os.kill(child.pid, 0)


# ---- population ----------------------------------------------------------------------------


def test_the_objects_are_valid():
    manifest = pod(user_name(7), "running", "bench-node")
    assert_valid(manifest)
    assert_valid({**manifest, "status": ready_status(70_000)})


def test_no_two_pods_have_the_same_address():
    addresses = {ready_status(number)["podIP"] for number in range(0, 80_000, 7)}
    assert len(addresses) == len(range(0, 80_000, 7))


# ---- all of it, on the embedded cluster ----------------------------------------------------


async def test_a_hub_starts_polls_and_stops_servers_on_command(local_cluster, tmp_path):
    environment = {**os.environ, "KUBECONFIG": str(local_cluster.kubeconfig_path)}
    argv = [sys.executable, "-I", str(Path(report.__file__).with_name("hub.py"))]
    with Child(argv, log=tmp_path / "hub.log", env=environment) as hub:

        async def ask(do, **arguments):
            return await asyncio.to_thread(hub.ask, do, **arguments)

        users = ["alice", "bob"]
        settings = {"namespace": "default", "image": "local/server:1", "cmd": ANSWERING}
        settings["start_timeout"] = 60
        await ask("make", users=users, settings=settings)
        started = await ask("start", users=users, readers=1)
        assert set(started["returned"]) == set(users) and not started["failed"]
        assert started["told"] > 0 and started["cpu"] > 0
        pods = {"jupyter-alice", "jupyter-bob"}
        assert set(started["ready"]) == pods
        polled = await ask("poll")
        assert (polled["running"], polled["held"]) == (2, 2)
        stopped = await ask("stop", users=users)
        assert set(stopped["returned"]) == set(users) and set(stopped["gone"]) == pods
        assert (await ask("poll"))["running"] == 0
