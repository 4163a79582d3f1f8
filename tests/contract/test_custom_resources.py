"""Custom resources: a kind that comes and goes with its definition."""

from __future__ import annotations

import asyncio
import json

import pytest

from .conftest import MERGE

ROOT = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer"},
                "parts": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string"},
                            "weight": {"type": "integer", "default": 1},
                        },
                    },
                },
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        },
        "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
    },
}


class Gadgets:
    """A kind of its own for one test."""

    def __init__(self, backend):
        self.backend = backend
        self.group = f"{backend.namespace}.example.com"

    @property
    def definition(self):
        names = {"plural": "gadgets", "kind": "Gadget", "singular": "gadget"}
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": SCHEMA},
        }
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"gadgets.{self.group}"},
            "spec": {
                "group": self.group,
                "scope": "Namespaced",
                "names": names,
                "versions": [version],
            },
        }

    def path(self, name=""):
        return self.backend.path("gadgets", name, self.group)

    async def define(self):
        await self.backend.ok("POST", ROOT, self.definition)
        await self.settle(200)

    async def settle(self, status):
        """Wait until the collection answers with ``status``."""
        for _ in range(600):
            if (await self.backend.request("GET", self.path())).status == status:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{self.path()} does not answer with {status}")

    async def remove(self):
        return await self.backend.request("DELETE", f"{ROOT}/gadgets.{self.group}")

    def gadget(self, spec):
        return {
            "apiVersion": f"{self.group}/v1",
            "kind": "Gadget",
            "metadata": {"name": "one"},
            "spec": spec,
        }

    async def create(self, spec):
        return await self.backend.ok("POST", self.path(), self.gadget(spec))


@pytest.fixture
async def gadgets(backend):
    kind = Gadgets(backend)
    yield kind
    await kind.remove()


async def test_a_kind_is_unknown_until_it_is_defined_and_after(gadgets):
    assert (await gadgets.backend.request("GET", gadgets.path())).status == 404
    await gadgets.define()
    await gadgets.create({"size": 1})
    listed = await gadgets.backend.ok("GET", gadgets.path())
    assert (listed["kind"], listed["apiVersion"]) == ("GadgetList", f"{gadgets.group}/v1")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["one"]
    assert (await gadgets.remove()).status == 200
    await gadgets.settle(404)


async def test_a_defined_kind_is_discovered(gadgets):
    await gadgets.define()
    found = await gadgets.backend.ok("GET", f"/apis/{gadgets.group}/v1")
    assert {"gadgets", "gadgets/status"} <= {entry["name"] for entry in found["resources"]}
    groups = await gadgets.backend.ok("GET", "/apis")
    (group,) = [each for each in groups["groups"] if each["name"] == gadgets.group]
    assert group["preferredVersion"] == {"groupVersion": f"{gadgets.group}/v1", "version": "v1"}


async def test_objects_are_what_the_schema_says(gadgets):
    await gadgets.define()
    made = await gadgets.create(
        {"size": 1, "parts": [{"name": "a"}, {"name": "b", "weight": 2}], "free": {"x": [1]}}
    )
    assert made["spec"] == {
        "size": 1,
        "parts": [{"name": "a", "weight": 1}, {"name": "b", "weight": 2}],
        "free": {"x": [1]},
    }
    for spec in ({"size": "1"}, {}):
        wrong = gadgets.gadget(spec)
        wrong["metadata"]["name"] = "wrong"
        answer = await gadgets.backend.request("POST", gadgets.path(), wrong)
        assert answer.status in (400, 422)


async def test_status_has_an_endpoint_of_its_own_and_does_not_count_as_a_generation(gadgets):
    await gadgets.define()
    made = await gadgets.create({"size": 1})
    assert made["metadata"]["generation"] == 1

    async def patch(name, body):
        return await gadgets.backend.ok("PATCH", gadgets.path(name), body, content_type=MERGE)

    reported = await patch("one/status", {"status": {"ready": True}, "spec": {"size": 9}})
    assert (reported["spec"], reported["status"]) == ({"size": 1}, {"ready": True})
    assert reported["metadata"]["generation"] == 1
    labelled = await patch("one", {"metadata": {"labels": {"a": "b"}}, "status": {"ready": False}})
    assert labelled["status"] == {"ready": True}
    assert labelled["metadata"]["generation"] == 1
    changed = await patch("one", {"spec": {"size": 2, "free": {"y": 1}}})
    assert changed["metadata"]["generation"] == 2
    removed = await patch("one", {"spec": {"free": None}})
    assert removed["spec"] == {"size": 2}
    assert removed["metadata"]["generation"] == 3


async def test_changes_are_watched(gadgets):
    await gadgets.define()
    made = await gadgets.create({"size": 1})
    parameters = {"watch": "1", "resourceVersion": made["metadata"]["resourceVersion"]}
    await gadgets.backend.ok(
        "PATCH", gadgets.path("one"), {"spec": {"size": 2}}, content_type=MERGE
    )
    await gadgets.backend.ok("DELETE", gadgets.path("one"))
    seen = []
    async with gadgets.backend.session.get(
        gadgets.backend.url + gadgets.path(), params=parameters
    ) as response:
        async for line in response.content:
            event = json.loads(line)
            seen.append((event["type"], event["object"]["spec"]["size"]))
            if event["type"] == "DELETED":
                break
    assert seen == [("MODIFIED", 2), ("DELETED", 2)]
