"""``python -m kubespawner.cli role``: the Role of a configuration file."""

from __future__ import annotations

import pytest
import yaml
from click.testing import CliRunner

from kubespawner.cli.__main__ import main
from kubespawner.permissions import roles, table

BASE = 'c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"\n'
DEFAULTS = {"events_enabled": True, "delete_pvc": True, "storage_expand": True}


def run(*words):
    return CliRunner().invoke(main, ["role", *words])


@pytest.fixture
def printed(tmp_path):
    """Return a function: what is printed for a configuration's text."""

    def of(text, *words):
        path = tmp_path / "jupyterhub_config.py"
        path.write_text(BASE + text)
        result = run(str(path), *words)
        assert result.exit_code == 0, result.output
        return list(yaml.safe_load_all(result.stdout))

    return of


@pytest.mark.parametrize(
    "text, settings",
    [
        ("", {}),
        ("c.KubeSpawner.events_enabled = False", {"events_enabled": False}),
        ("c.KubeSpawner.storage_pvc_ensure = True", {"storage_pvc_ensure": True}),
        ("c.KubeSpawner.user_storage_pvc_ensure = True", {"storage_pvc_ensure": True}),
        ("c.Spawner.http_timeout = 3\nc.JupyterHub.internal_ssl = True", {"internal_ssl": True}),
        ("c.KubeSpawner.enable_user_namespaces = True", {"enable_user_namespaces": True}),
        ('c.JupyterHub.proxy_class = "kube-ingress"', {"ingress_proxy": True}),
        ('c.JupyterHub.proxy_class = "kube-gateway"', {"gateway_proxy": True}),
        (
            'c.JupyterHub.proxy_class = "kubespawner.proxy.KubeIngressProxy"\n'
            'c.KubeIngressProxy.ingress_class_name = "nginx"',
            {"ingress_proxy": True, "ingress_class_name": True},
        ),
        (
            "c.KubeSpawner.leftovers_interval = 60\nc.KubeSpawner.leftovers_delete = ['secrets']",
            {"leftovers_interval": True, "leftovers_delete_secrets": True},
        ),
        (
            "c.KubeSpawner.profile_list = [{'display_name': 'a', 'profile_options': {'x': {"
            "'display_name': 'x', 'choices': {'y': {'display_name': 'y', 'kubespawner_override': "
            "{'services_enabled': True}}}}}}]",
            {"services_enabled": True},
        ),
    ],
)
def test_the_role_has_what_the_configuration_turns_on(printed, text, settings):
    assert printed(text) == roles({**DEFAULTS, **settings}, namespace="jupyterhub")


def test_namespace_and_service_account_are_said(printed):
    words = ("--namespace", "hubs", "--service-account", "boss")
    made = printed("", *words)
    assert made == roles(DEFAULTS, namespace="hubs", service_account="boss")


GPU = "{'display_name': 'GPU', 'kubespawner_override': {'namespace': 'gpu', 'image': 'g:1'}}"


@pytest.mark.parametrize(
    "text, namespaces",
    [
        ("", ["jupyterhub"]),
        ("c.KubeSpawner.namespace = 'servers'", ["servers"]),
        (f"c.KubeSpawner.profile_list = [{GPU}]", ["jupyterhub", "gpu"]),
        (f"c.KubeSpawner.namespace = 'gpu'\nc.KubeSpawner.profile_list = [{GPU}]", ["gpu"]),
    ],
)
def test_each_namespace_of_servers_has_a_role(printed, text, namespaces):
    made = [item for item in printed(text) if item["kind"] == "Role"]
    assert [item["metadata"]["namespace"] for item in made] == namespaces
    assert all(item["rules"] == made[0]["rules"] for item in made)


def test_routes_are_in_the_hubs_namespace(printed):
    text = "c.JupyterHub.proxy_class = 'kube-ingress'\nc.KubeSpawner.namespace = 'servers'"
    of = {i["metadata"]["namespace"]: i for i in printed(text) if i["kind"] == "Role"}
    assert set(of) == {"jupyterhub", "servers"}
    assert "pods" not in str(of["jupyterhub"]["rules"])
    assert "ingresses" not in str(of["servers"]["rules"])
    assert "pods" in str(of["servers"]["rules"])


@pytest.mark.parametrize("text", ["c.KubeSpawner.services_enabled = True", ""])
def test_owners_need_a_permission_where_the_cluster_asks_for_it(printed, text):
    """As seen on an API server with that admission plugin."""
    wanted = {"apiGroups": [""], "resources": ["pods/finalizers"], "verbs": ["update"]}
    assert wanted not in printed(text)[0]["rules"]
    made = printed(text, "--owner-references-enforced")
    assert (wanted in made[0]["rules"]) is bool(text)


def test_the_table_needs_no_file():
    result = run("--table")
    assert result.exit_code == 0
    assert result.stdout == table()


def test_what_to_give_is_told():
    result = run()
    assert result.exit_code == 2
    assert "Name a configuration file" in result.output
