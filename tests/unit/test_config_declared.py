"""What KubeSpawner's settings are called, default to, and say of themselves."""

from __future__ import annotations

import json

import pytest
from jupyterhub.spawner import Spawner
from traitlets import Unicode
from traitlets.config import Config

from kubespawner.config import _sorted_dict_values, check_config_names, unknown_names
from kubespawner.errors import ConfigurationError

from ._settings import KubeSpawner, configured, make

OWN = KubeSpawner.class_own_traits(config=True)

# Section 4.3 of the configuration reference.
EXPANDED = [
    "pod_name_template",
    "pvc_name_template",
    "secret_name_template",
    "user_namespace_template",
    "user_namespace_labels",
    "user_namespace_annotations",
    "working_dir",
    "service_account",
    "pod_connect_ip",
    "environment",
    "extra_labels",
    "extra_annotations",
    "storage_extra_labels",
    "storage_extra_annotations",
    "storage_selector",
    "volumes",
    "volume_mounts",
    "init_containers",
    "extra_containers",
    "extra_pod_config",
]

DEFAULTS = {
    "additional_profile_form_template_paths": [],
    "after_pod_created_hook": None,
    "allow_privilege_escalation": False,
    "args": [],
    "automount_service_account_token": None,
    "block_cloud_metadata": False,
    "cmd": None,
    "common_labels": {
        "app.kubernetes.io/name": "jupyterhub",
        "app.kubernetes.io/managed-by": "kubespawner",
        "app": "jupyterhub",
        "heritage": "jupyterhub",
    },
    "component_label": "singleuser-server",
    "container_security_context": {},
    "cpu_guarantee": None,
    "cpu_limit": None,
    "crash_loop_restarts": 3,
    "delete_grace_period": 1,
    "delete_pvc": True,
    "delete_stopped_pods": True,
    "dns_name_template": "{name}.{namespace}.svc.cluster.local",
    "enable_user_namespaces": False,
    "env_keep": [],
    "environment": {},
    "events_enabled": True,
    "extra_annotations": {},
    "extra_container_config": {},
    "extra_containers": [],
    "extra_labels": {},
    "extra_pod_config": {},
    "extra_resource_guarantees": {},
    "extra_resource_limits": {},
    "fs_gid": None,
    "get_pod_url": None,
    "gid": None,
    "handle_legacy_names": True,
    "http_timeout": 30,
    "hub_connect_ip": "",
    "hub_connect_port": 0,
    "image": "quay.io/jupyterhub/singleuser:latest",
    "image_pull_policy": None,
    "image_pull_secrets": [],
    "init_containers": [],
    "ip": "0.0.0.0",
    "k8s_api_host": "",
    "k8s_api_request_retry_timeout": 30,
    "k8s_api_request_timeout": 3,
    "k8s_api_ssl_ca_cert": "",
    "k8s_api_threadpool_workers": 0,
    "k8s_api_verify_ssl": None,
    "leftovers_delete": [],
    "leftovers_grace": 600,
    "leftovers_interval": 0,
    "lifecycle_hooks": {},
    "mem_guarantee": None,
    "mem_limit": None,
    "modify_pod_hook": None,
    "namespace": "default",
    "node_affinity_preferred": [],
    "node_affinity_required": [],
    "node_selector": {},
    "pod_affinity_preferred": [],
    "pod_affinity_required": [],
    "pod_anti_affinity_preferred": [],
    "pod_anti_affinity_required": [],
    "pod_connect_ip": "",
    "pod_name_template": "jupyter-{user_server}",
    "pod_readiness": "notebook",
    "pod_security": "",
    "pod_security_context": {},
    "port": 0,
    "priority_class_name": "",
    "privileged": False,
    "profile_form_template": "",
    "profile_list": [],
    "profile_list_timeout": 30.0,
    "profile_text_limit": 1000,
    "progress_message_hook": None,
    "pvc_name_template": "claim-{user_server}",
    "remember_pvc_name": True,
    "scheduler_name": None,
    "secret_mount_path": "/etc/jupyterhub/ssl/",
    "secret_name_template": "{pod_name}",
    "service_account": None,
    "services_enabled": False,
    "slow_spawn_message_frequency": 5,
    "slow_spawn_message_threshold": 60,
    "slug_scheme": "safe",
    "spawn_patience": {},
    "ssl_alt_names": ["DNS:pod.ns.svc.cluster.local", "DNS:pod", "DNS:pod.ns", "DNS:pod.ns.svc"],
    "ssl_alt_names_include_local": False,
    "start_timeout": 60,
    "storage_access_modes": ["ReadWriteOnce"],
    "storage_capacity": None,
    "storage_class": None,
    "storage_expand": True,
    "storage_extra_annotations": {},
    "storage_extra_labels": {},
    "storage_pvc_ensure": False,
    "storage_selector": {},
    "supplemental_gids": [],
    "tolerations": [],
    "uid": None,
    "user_namespace_annotations": {},
    "user_namespace_labels": {},
    "user_namespace_template": "{hubnamespace}-{username}",
    "volume_mounts": [],
    "volumes": [],
    "working_dir": None,
}


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_default(name, monkeypatch):
    monkeypatch.setattr("kubespawner.config.names.hub_namespace", lambda: "default")
    spawner = make()
    if name == "ssl_alt_names":
        spawner.namespace = "ns"
    assert getattr(spawner, name) == DEFAULTS[name]


def test_what_a_hook_changes_in_place_is_its_spawners_alone():
    """Hooks write ``spawner.environment["A"] = …`` and ``spawner.volumes.append(…)``."""
    settings = {"environment": {"A": {"value": "1"}}, "volumes": [{"name": "a", "emptyDir": {}}]}
    config = Config({"KubeSpawner": settings})
    before = make(config=config)
    changed = make(config=config)
    for name in OWN:
        value = getattr(changed, name)
        if isinstance(value, dict):
            value["changed"] = "in place"
        elif isinstance(value, list):
            value.append("changed in place")
    changed.environment["A"]["value"] = "2"
    changed.volumes[0]["emptyDir"]["medium"] = "Memory"
    untouched = make(config=Config({"KubeSpawner": settings}))
    for other in (before, make(config=config)):
        assert {n: getattr(other, n) for n in OWN} == {n: getattr(untouched, n) for n in OWN}
        assert other.environment == {"A": {"value": "1"}}
        assert other.volumes == [{"name": "a", "emptyDir": {}}]


def test_every_setting_is_listed_here():
    assert {*OWN} == {*DEFAULTS, "slow_spawn_message"}


@pytest.mark.parametrize("name", sorted(OWN))
def test_help_says_something_and_whether_templates_are_expanded(name):
    help = OWN[name].help
    assert len(help.strip()) > 40
    if name in EXPANDED:
        assert "xpanded" in help and "Not expanded" not in help


def test_templates_are_checked_exactly_where_they_are_expanded():
    assert {name for name, trait in OWN.items() if getattr(trait, "expanded", None) is True} == {
        *EXPANDED
    }


def test_help_and_generated_configuration_list_the_settings_as_kubespawners():
    page = KubeSpawner.class_config_section([Spawner, KubeSpawner])
    for name in OWN:
        assert f"# c.KubeSpawner.{name} = " in page
    # In full, not as "See also" of some mixin.
    assert "See also: SpawnerConfig" not in page
    assert "See also: ContainerConfig" not in page
    assert "powers of\n#  1024" in page or "powers of 1024" in page
    assert "--KubeSpawner.image=<Unicode>" in KubeSpawner.class_get_help()


def test_the_mixins_add_no_section():
    assert KubeSpawner.section_names() == [
        "Configurable",
        "LoggingConfigurable",
        "Spawner",
        "KubeSpawner",
    ]


def test_a_subclass_owns_what_it_adds():
    class MySpawner(KubeSpawner):
        team = Unicode().tag(config=True)

    assert [*MySpawner.class_own_traits(config=True)] == ["team"]


def test_an_empty_namespace_is_the_hubs(monkeypatch):
    monkeypatch.setattr("kubespawner.config.names.hub_namespace", lambda: "hub")
    assert configured(namespace="").namespace == "hub"


def test_values_of_a_dict_are_in_the_order_of_its_sorted_keys():
    assert _sorted_dict_values({"b": 1, "a": 2}) == [2, 1]
    assert _sorted_dict_values([3, 1]) == [3, 1]


def test_spawners_do_not_share_values():
    config = Config({"KubeSpawner": {"extra_labels": {"a": "b"}}})
    one, other = make(config=config), make(config=config)
    one.extra_labels["a"] = "c"
    one.common_labels["app"] = "x"
    one.volumes.append({})
    assert other.extra_labels == {"a": "b"}
    assert other.common_labels["app"] == "jupyterhub"
    assert other.volumes == []


# ---- misspelt names --------------------------------------------------------------------


def test_a_misspelt_setting_is_named_with_its_section_and_the_nearest_one():
    config = Config({"KubeSpawner": {"imgae": "x"}, "Spawner": {"mem_limits": "1G"}})
    with pytest.raises(ConfigurationError) as error:
        check_config_names(KubeSpawner, config)
    assert "KubeSpawner.imgae does not exist; did you mean 'image'?" in str(error.value)
    assert "Spawner.mem_limits does not exist; did you mean 'mem_limit'?" in str(error.value)


def test_names_that_mean_something_are_understood():
    class MySpawner(KubeSpawner):
        team = Unicode().tag(config=True)

    config = Config(
        {
            "KubeSpawner": {"singleuser_uid": 1, "image": "x", "team": "a"},
            "MySpawner": {"image_spec": "x", "team": "b"},
            "Spawner": {"shell_cmd": ["sh"], "cmd": "a"},
            "JupyterHub": {"nonsense": 1},
        }
    )
    config.KubeSpawner.Nested.thing = 1
    assert unknown_names(MySpawner, config) == []
    # The subclass may be another section's class: the hub uses KubeSpawner itself here.
    assert unknown_names(KubeSpawner, config) == []


def test_looking_for_names_leaves_the_configuration_as_it_is():
    config = Config({"KubeSpawner": {"image": "x"}})
    unknown_names(KubeSpawner, config)
    assert json.dumps(config) == '{"KubeSpawner": {"image": "x"}}'


# ---- deprecated settings ---------------------------------------------------------------


def test_threadpool_workers_are_accepted_with_a_warning():
    with pytest.warns(DeprecationWarning, match=r"k8s_api_threadpool_workers.*no effect"):
        assert configured(k8s_api_threadpool_workers=40).k8s_api_threadpool_workers == 40


def test_hub_connect_settings_go_to_the_hub():
    with pytest.warns(DeprecationWarning) as caught:
        spawner = configured(hub_connect_ip="10.0.0.1", hub_connect_port=8081)
    assert (spawner.hub.connect_ip, spawner.hub.connect_port) == ("10.0.0.1", 8081)
    assert ["since 0.8" in str(w.message) for w in caught].count(True) == 1
    assert len(caught) == 2
    assert all("JupyterHub.hub_connect_url" in str(w.message) for w in caught)


def test_hub_connect_settings_wait_for_a_hub():
    config = {"KubeSpawner": {"hub_connect_ip": "10.0.0.1"}}
    with pytest.warns(DeprecationWarning):
        spawner = make(config=config, hub=None)
    spawner.hub = hub = make().hub
    assert (hub.connect_ip, hub.connect_port) == ("10.0.0.1", 0)
