"""The policy that keeps pods from metadata services, as the API server would check it."""

import pytest

from kubespawner.isolation import METADATA_SERVICES, METADATA_SERVICES_V6, make_metadata_block
from tests.support.schemas import ALL, assert_valid, serialised

# NetworkPolicy has not changed since 1.7 in what is used here; its older schemas are not at hand.
VERSIONS = [version for version in ALL if tuple(map(int, version.split("."))) >= (1, 25)]


@pytest.mark.parametrize("version", VERSIONS)
def test_is_valid(version):
    policy = make_metadata_block("x", "singleuser-server", {"app": "jupyterhub"})
    assert_valid(serialised(policy), [version])


def test_is_for_one_hubs_pods_and_excludes_what_it_says():
    spec = serialised(make_metadata_block("x", "mine"))["spec"]
    assert spec["podSelector"] == {"matchLabels": {"component": "mine"}}
    excluded = [
        address
        for rule in spec["egress"]
        for peer in rule["to"]
        for address in peer.get("ipBlock", {}).get("except", [])
    ]
    assert excluded == [*METADATA_SERVICES, *METADATA_SERVICES_V6]
