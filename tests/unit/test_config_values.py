"""Wrong values of settings: refused when the configuration is loaded, in words that help."""

from __future__ import annotations

import warnings

import pytest
from kubernetes_asyncio.client.models import V1Container, V1Toleration, V1Volume
from traitlets import TraitError, validate
from traitlets.config import Config

from ._settings import KubeSpawner, configured, make

MOUNT = {"name": "home", "mountPath": "/home/jovyan"}

# Setting, value, and what the error must name beside setting and value.
WRONG = [
    ("k8s_api_host", "10.0.0.1:6443", "https://"),
    ("k8s_api_request_timeout", 0, "above 0"),
    ("k8s_api_request_timeout", -3, "above 0"),
    ("k8s_api_request_retry_timeout", -1, "not be negative"),
    ("pod_name_template", "jupyter-{usrname}", "{username}"),
    ("pod_name_template", "jupyter-{", "written twice"),
    ("pod_name_template", "jupyter-{}", "without a name"),
    ("pod_name_template", "jupyter-{username.slug}", "no attribute 'slug'"),
    ("pod_name_template", "jupyter-{username:d}", "format code 'd'"),
    ("pod_name_template", "", "not be empty"),
    ("pvc_name_template", "claim-{user}", "Valid fields"),
    ("secret_name_template", "{pod}", "pod_name"),
    ("user_namespace_template", "{hubnamspace}", "{hubnamespace}"),
    ("dns_name_template", "{pod_name}.{namespace}", "name, namespace"),
    ("dns_name_template", "{name.host}.{namespace}", "no attribute 'host'"),
    ("user_namespace_labels", {"a b": "c"}, "example.com/name"),
    ("user_namespace_annotations", {"a": 1}, "text"),
    ("slug_scheme", "unsafe", "safe"),
    ("component_label", "", "63 characters"),
    ("component_label", "my hub", "63 characters"),
    ("image", "", "not be empty"),
    ("image", "jupyter/base notebook", "white space"),
    ("image", "jupyter/base-notebook\n", "white space"),
    ("image_pull_policy", "always", "did you mean 'Always'?"),
    ("image_pull_policy", "Sometimes", "Always, IfNotPresent, Never"),
    ("image_pull_secrets", [{"nmae": "x"}], "{'name': ...}"),
    ("image_pull_secrets", [""], "a name"),
    ("working_dir", "/home/{user}", "unknown field {user}"),
    ("environment", {"A": '{"json": 1}'}, "unknown field"),
    ("environment", {"A=B": "c"}, "without '='"),
    ("port", 65536, "1 to 65535"),
    ("port", -1, "1 to 65535"),
    ("hub_connect_port", 70000, "1 to 65535"),
    ("init_containers", [{"image": "busybox"}], "needs the field 'name'"),
    ("init_containers", [{"name": "a", "imge": "busybox"}], "did you mean 'image'?"),
    ("extra_containers", {"a": "busybox"}, "a dict"),
    ("extra_containers", {"name": "a", "image": "busybox"}, "put it into a list"),
    ("extra_containers", [None], "a dict"),
    ("lifecycle_hooks", {"postStrat": {}}, "did you mean 'postStart'?"),
    ("lifecycle_hooks", {"postStart": {"command": ["true"]}}, "exec"),
    ("lifecycle_hooks", {"postStart": {"http_get": {}}}, "did you mean 'httpGet'?"),
    ("extra_container_config", {"envfrom": []}, "did you mean 'envFrom'?"),
    ("extra_pod_config", {"dnsPolcy": "None"}, "did you mean 'dnsPolicy'?"),
    ("extra_pod_config", {"hostname": "{who}"}, "unknown field {who}"),
    ("cpu_limit", -1.0, "not be negative"),
    ("mem_limit", "1Gi", "'1G'"),
    ("mem_guarantee", "", "'1G'"),
    ("mem_guarantee", "much", "'1G'"),
    ("extra_resource_limits", {"nvidia.com/gpu": "one"}, "quantity"),
    ("extra_resource_limits", {"memory": "1GB"}, "Gi"),
    ("extra_resource_guarantees", {"cpu": -1}, "not be negative"),
    ("extra_resource_guarantees", {"cpu": True}, "quantity"),
    ("uid", -1, "2147483647"),
    ("fs_gid", 2**31, "2147483647"),
    ("supplemental_gids", ["users"], "whole number"),
    ("supplemental_gids", [-5], "2147483647"),
    ("container_security_context", {"run_as_user": 1}, "'runAsUser'"),
    ("pod_security_context", {"fs_group": 1}, "'fsGroup'"),
    ("service_account", "sa-{group}", "unknown field {group}"),
    ("storage_capacity", "10 Gi", "quantity"),
    ("storage_capacity", "-10Gi", "quantity"),
    ("storage_access_modes", ["ReadWriteTwice"], "ReadWriteOnce"),
    ("storage_access_modes", [""], "ReadWriteOnce"),
    ("storage_selector", {"matchlabels": {}}, "did you mean 'matchLabels'?"),
    ("storage_extra_labels", {"a": "b c"}, "63 characters"),
    ("storage_extra_annotations", {"/a": "b"}, "example.com/name"),
    ("volumes", [{"persistentVolumeClaim": {}}], "needs the field 'name'"),
    ("volumes", [{"name": "x", "configmap": {}}], "did you mean 'configMap'?"),
    ("volumes", [{"name": "x", "secret": {"secretName": "{no}"}}], "unknown field {no}"),
    ("volume_mounts", MOUNT, "put it into a list"),
    ("volume_mounts", [{"name": "x"}], "needs the field 'mountPath'"),
    ("volume_mounts", ["home"], "a dict"),
    ("node_selector", {"gpu": True}, "'True'"),
    ("node_selector", {"gpu": "a/b"}, "63 characters"),
    ("tolerations", [{"key": "a", "efect": "NoSchedule"}], "did you mean 'effect'?"),
    ("node_affinity_preferred", [{"weight": 1}], "needs the field 'preference'"),
    ("node_affinity_required", [{"matchExpression": []}], "did you mean 'matchExpressions'?"),
    ("pod_affinity_preferred", [{"podAffinityTerm": {}}], "needs the field 'weight'"),
    ("pod_affinity_required", [{"labelSelector": {}}], "needs the field 'topologyKey'"),
    ("pod_anti_affinity_preferred", {"a": []}, "a dict"),
    ("pod_anti_affinity_required", [{"topologyKy": "a"}], "did you mean 'topologyKey'?"),
    ("common_labels", {"app": "{username}"}, "63 characters"),
    ("extra_labels", {"team": "a" * 64}, "63 characters"),
    ("extra_labels", {"team": "{tema}"}, "unknown field {tema}"),
    ("extra_labels", {"x" * 64: "a"}, "example.com/name"),
    ("extra_annotations", {"note": 5}, "text"),
    ("modify_pod_hook", "my_hook", "callable"),
    ("after_pod_created_hook", {}, "callable"),
    ("pod_connect_ip", "{name}.example.com", "unknown field {name}"),
    ("secret_mount_path", "ssl", "absolute"),
    ("profile_form_template", "{% for %}", "line 1"),
    ("profile_text_limit", 0, "above 0"),
    ("profile_list_timeout", -1.0, "above 0"),
    ("start_timeout", -1, "not be negative"),
    ("http_timeout", -1, "not be negative"),
    ("delete_grace_period", -1, "not be negative"),
    ("pod_readiness", "some", "notebook"),
    ("spawn_patience", {"Unschedulable": "long"}, "seconds"),
    ("spawn_patience", {"Unschedulable": -2}, "-1"),
    ("spawn_patience", {"UnSchedulable": 5}, "did you mean 'Unschedulable'?"),
    ("crash_loop_restarts", -1, "not be negative"),
    ("slow_spawn_message", "{second} s", "{seconds}"),
    ("slow_spawn_message", "{seconds.total} s", "no attribute 'total'"),
    ("slow_spawn_message", "{seconds:s} s", "format code 's'"),
    ("slow_spawn_message_threshold", -1, "not be negative"),
    ("slow_spawn_message_frequency", -1, "not be negative"),
]


def _shown(value: object) -> str:
    # Without addresses: parallel workers must find the same names.
    return "a callable" if callable(value) else str(value)[:40]


@pytest.mark.parametrize(("name", "value", "hint"), WRONG, ids=_shown)
def test_a_wrong_value_stops_the_hub_with_the_name_the_value_and_the_remedy(name, value, hint):
    with pytest.raises(TraitError) as error:
        configured(**{name: value})
    assert name in str(error.value)
    assert hint in str(error.value)


def test_the_error_shows_the_wrong_part_and_where_it_is():
    with pytest.raises(TraitError) as error:
        configured(extra_resource_limits={"cpu": 2, "memory": "1GB"})
    assert str(error.value).startswith("KubeSpawner.extra_resource_limits['memory'] is '1GB': ")


def test_a_wrong_value_is_refused_at_run_time_as_well():
    spawner = make()
    with pytest.raises(TraitError, match=r"KubeSpawner\.image is ''"):
        spawner.image = ""
    assert spawner.image == "quay.io/jupyterhub/singleuser:latest"


def hook(spawner, pod):
    return pod


# What works with KubeSpawner 7.1 and must go on working.
RIGHT = [
    ("k8s_api_host", "https://10.0.0.1"),
    ("pod_name_template", "jupyter-{safe_username}--{servername!s:>3}"),
    ("pvc_name_template", "claim-{legacy_escape_username}-{{x}}"),
    ("environment", {"A": "{username}", "B": hook, "C": 5, "D": "{{}}", "E": {"value": "x"}}),
    ("environment", {"F": {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}}),
    ("extra_labels", {"example.com/team": "{username}", "empty": "", "none": None}),
    ("extra_annotations", {"note": "any text, of any length " * 10}),
    ("extra_resource_limits", {"nvidia.com/gpu": 1, "cpu": "500m", "memory": "1.5Gi", "x": 0.5}),
    ("extra_resource_limits", {"a": "1e3", "b": "12E6", "c": "", "d": "+5", "e": ".5"}),
    ("storage_capacity", "10Gi"),
    ("storage_capacity", ""),
    ("storage_class", ""),
    ("storage_access_modes", ["ReadWriteMany", "ReadWriteOncePod"]),
    ("volumes", {"01": {"name": "a", "emptyDir": {}}, "02": V1Volume(name="b")}),
    ("volumes", [{"name": "c", "persistent_volume_claim": {"claimName": "{pvc_name}"}}]),
    ("volume_mounts", {"01": MOUNT}),
    ("volume_mounts", [{"name": "a", "mount_path": "/a", "subPath": "{username}"}]),
    ("init_containers", [{"name": "a", "image": "b"}, V1Container(name="c")]),
    ("tolerations", {"x": {"key": "a"}, "y": V1Toleration(key="b")}),
    ("extra_pod_config", {"dns_policy": "None", "terminationGracePeriodSeconds": 5}),
    ("extra_container_config", {"envFrom": [{"configMapRef": {"name": "{raw}"}}]}),
    ("lifecycle_hooks", {"postStart": {"exec": {"command": ["a"]}}, "pre_stop": {"sleep": {}}}),
    ("container_security_context", {"capabilities": {"drop": ["ALL"]}}),
    ("pod_security_context", lambda spawner: {"fsGroup": 1}),
    ("uid", 0),
    ("uid", lambda spawner: 5),
    ("supplemental_gids", lambda spawner: [5]),
    ("cmd", None),
    ("cmd", ["a", "--b"]),
    ("port", 65535),
    ("delete_grace_period", 0),
    ("mem_limit", None),
    ("service_account", None),
    ("image_pull_secrets", ["a", {"name": "b"}]),
    ("modify_pod_hook", None),
    ("profile_list", lambda spawner: []),
    ("profile_list", {"b": {"display_name": "B"}}),
    ("slow_spawn_message", "{seconds:.0f} s"),
    ("pvc_name_template", "claim-{username[3]}"),
    ("pod_connect_ip", "{userid:04d}.example"),
    ("slow_spawn_message_threshold", 0),
    ("spawn_patience", {"Unschedulable": -1, "Evicted": 0, "ImageNotFound": 1.5}),
    ("automount_service_account_token", True),
    ("k8s_api_verify_ssl", False),
]


@pytest.mark.parametrize(("name", "value"), RIGHT, ids=_shown)
def test_what_works_today_is_taken_as_it_is(name, value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spawner = configured(**{name: value})
    assert getattr(spawner, name) == value


def test_values_are_put_into_their_usual_form():
    spawner = configured(
        cmd="start.sh", mem_limit="1.5G", secret_mount_path="/ssl", image_pull_policy="", ip="[::]"
    )
    assert spawner.cmd == ["start.sh"]
    assert spawner.mem_limit == 3 * 2**29
    assert spawner.secret_mount_path == "/ssl/"
    assert spawner.image_pull_policy is None
    assert spawner.ip == "::"


@pytest.mark.parametrize("none", [None, "", []])
def test_no_pull_secrets(none):
    assert configured(image_pull_secrets=none).image_pull_secrets == []
    spawner = configured(image_pull_secrets=["a"])
    spawner.image_pull_secrets = none
    assert spawner.image_pull_secrets == []


def test_a_pull_secret_as_text_becomes_a_list_with_one_warning():
    with pytest.warns(DeprecationWarning, match=r"0\.14.*\[\{'name': 'reg'\}\]") as caught:
        spawner = configured(image_pull_secrets="reg")
    assert spawner.image_pull_secrets == [{"name": "reg"}]
    assert len(caught) == 1
    with pytest.warns(DeprecationWarning, match=r"0\.14"):
        spawner.image_pull_secrets = "other"
    assert spawner.image_pull_secrets == [{"name": "other"}]


def test_settings_can_be_built_up_in_steps_and_given_on_the_command_line():
    from traitlets.config.loader import DeferredConfigString

    config = Config()
    config.KubeSpawner.extra_labels.update({"a": "b"})
    config.KubeSpawner.volumes.append({"name": "x", "emptyDir": {}})
    config.KubeSpawner.uid = DeferredConfigString("7")
    config.KubeSpawner.port = DeferredConfigString("8080")
    spawner = make(config=config)
    assert spawner.extra_labels == {"a": "b"}
    assert spawner.volumes == [{"name": "x", "emptyDir": {}}]
    assert (spawner.uid, spawner.port) == (7, 8080)

    config = Config()
    config.KubeSpawner.volumes.extend([{"name": "x", "emptyDir": {}}, "y"])
    with pytest.raises(TraitError, match=r"volumes\[1\] is 'y'"):
        make(config=config)


def test_a_subclass_may_validate_settings_itself():
    class MySpawner(KubeSpawner):
        @validate("image")
        def _mine(self, proposal):
            return proposal.value + ":v1"

    assert make(MySpawner, {"KubeSpawner": {"image": "a"}}).image == "a:v1"
    with pytest.raises(TraitError, match=r"MySpawner\.image is ' '"):
        make(MySpawner, {"MySpawner": {"image": " "}})


def test_a_subclass_with_fields_of_its_own_is_left_alone():
    class MySpawner(KubeSpawner):
        def _expand_user_properties(self, template, slug_scheme=None):
            return template.format(team="a")

    spawner = make(MySpawner, {"KubeSpawner": {"pod_name_template": "{team}"}})
    assert spawner.pod_name_template == "{team}"
    with pytest.raises(TraitError, match="slow_spawn_message"):
        make(MySpawner, {"KubeSpawner": {"slow_spawn_message": "{team}"}})


def test_patience_takes_the_kubelets_reasons_and_the_more_exact_one_wins():
    patience = configured(
        spawn_patience={"ImageNotFound": 5, "ImagePullBackOff": 60}
    ).spawn_patience
    assert patience["ImageNotFound"] == 5
    assert patience["RegistryUnreachable"] == patience["ImagePullDenied"] == 60
    assert configured(spawn_patience={"FailedMount": 7}).spawn_patience["VolumeMountFailed"] == 7
