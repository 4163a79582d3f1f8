"""What the README promises of the demo, over HTTP as a browser would do it."""

import asyncio

import pytest

from tests.support.hub import Browser

pytestmark = [pytest.mark.hub, pytest.mark.timeout(240)]


async def use_server(browser: Browser, server: str, **form: str) -> None:
    """Start, open JupyterLab, compute, write; stop, start again, read."""
    entries = await browser.spawn(server, **form)
    assert entries[-1].get("ready"), entries[-1]
    shown = [entry["progress"] for entry in entries if "progress" in entry]
    assert shown == sorted(shown)
    messages = " ".join(entry.get("message", "") for entry in entries)
    assert "Started container" in messages
    assert "JupyterLab" in await browser.open_lab(server)
    assert await browser.run_code("1+1", server) == "2"
    await browser.write_file("kept.txt", f"of {browser.name}/{server}", server)

    await browser.stop(server)
    entries = await browser.spawn(server, **form)
    assert entries[-1].get("ready"), entries[-1]
    await browser.open_lab(server)
    assert await browser.read_file("kept.txt", server) == f"of {browser.name}/{server}"


async def test_two_users_from_login_to_their_files_again_at_the_same_time(hub):
    async with Browser(hub, "alice") as alice, Browser(hub, "bob") as bob:
        await asyncio.gather(
            use_server(alice, "", profile="small"),
            use_server(bob, "lab2", profile="course", **{"profile-option-course--size": "two"}),
        )


async def test_servers_survive_the_hub(hub, cluster):
    async with Browser(hub, "carol") as carol:
        assert (await carol.spawn(profile="small"))[-1].get("ready")
        await carol.open_lab()
        pods = (await cluster.api.list_namespaced_pod("default")).items
        hub.kill()

        await hub.start()
        again = (await cluster.api.list_namespaced_pod("default")).items
        assert [(p.metadata.uid, p.status.pod_ip) for p in again] == [
            (p.metadata.uid, p.status.pod_ip) for p in pods
        ]
        assert (await carol.servers())[""]["ready"]
        assert "JupyterLab" in await carol.open_lab()
        await carol.stop()
        assert (await cluster.api.list_namespaced_pod("default")).items == []
