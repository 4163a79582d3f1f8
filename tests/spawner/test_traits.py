"""Every setting, and every old name, has its effect in what reaches the API server."""

import pytest
import pytest_asyncio

from kubespawner import KubeSpawner
from kubespawner.legacy import RENAMED, resolve_name

from . import test_behaviour, test_connection, test_leftovers, test_security, test_telling  # noqa: F401 - fill BEHAVIOURS
from ._cases import BEHAVIOURS, MANIFESTS, OF_JUPYTERHUB, SEED
from ._stage import settled, staged

pytestmark = pytest.mark.filterwarnings("ignore:.*hub_connect:DeprecationWarning")
with_stage = pytest.mark.asyncio(loop_scope="module")

CASES = {**MANIFESTS, **OF_JUPYTERHUB}


def own_traits(cls):
    """Return the names of the settings that are KubeSpawner's, not JupyterHub's."""
    return {
        name
        for name, trait in cls.class_traits(config=True).items()
        if trait.this_class.__module__.split(".")[0] != "jupyterhub"
    }


def without_case(cls):
    return own_traits(cls) - set(MANIFESTS) - set(BEHAVIOURS)


def test_every_setting_has_a_case():
    assert len(own_traits(KubeSpawner)) > 90
    assert without_case(KubeSpawner) == set()


def test_a_setting_without_a_case_is_noticed():
    class Extended(KubeSpawner):
        forgotten = type(KubeSpawner.class_traits()["image"])("x", help="Without a case.")

    assert without_case(Extended) == {"forgotten"}


def test_no_case_is_of_a_setting_that_is_gone():
    names = KubeSpawner.class_trait_names(config=True)
    assert {*CASES, *BEHAVIOURS} <= set(names)


def test_every_name_of_the_seed_documentation_has_a_case():
    assert {old for old, new in SEED.items() if resolve_name(old) != new} == set()
    assert set(SEED.values()) - set(CASES) - set(BEHAVIOURS) == set()


# ---- one spawn per setting and way -------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stage")
    async with staged(directory) as stage:
        classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
        await stage.request("POST", classes, {"metadata": {"name": "users"}, "value": 5})
        await stage.request("POST", "/api/v1/namespaces", {"metadata": {"name": "elsewhere"}})
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        await stage.request("POST", accounts, {"metadata": {"name": "for-alice"}})
        stage.certificates = directory
        stage.results = {}
        yield stage


async def result(stage, case, name, way):
    """Return the objects of a spawn, the same ones if it has been made already."""
    key = (name, way, repr(sorted(case.beside.items())), case.username, case.servername, case.tls)
    if key not in stage.results:
        stage.results[key] = await stage.result_of(case, name, way, stage.certificates)
    return stage.results[key]


@with_stage
@pytest.mark.parametrize(
    ("name", "way"), [(name, way) for name, case in CASES.items() for way in case.ways]
)
async def test_setting_reaches_the_api_server(stage, name, way):
    case = CASES[name]
    objects = await result(stage, case, name, way)
    assert case.see(objects) == case.expected
    assert case.see(await result(stage, case, None, "config")) != case.expected


@with_stage
@pytest.mark.parametrize(
    ("old", "way"),
    [(old, way) for old, (new, _) in RENAMED.items() for way in CASES[new].ways],
)
async def test_old_name_has_the_effect_of_the_new_one(stage, old, way):
    new = RENAMED[old][0]
    objects = await result(stage, CASES[new], old, way)
    assert CASES[new].see(objects) == CASES[new].expected
    assert settled(objects) == settled(await result(stage, CASES[new], new, way))
