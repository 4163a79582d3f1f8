"""The proxy's names, settings and comparison; no cluster."""

from __future__ import annotations

import pytest
from traitlets import TraitError
from traitlets.config import Config

from kubespawner.kube.informer import Health
from kubespawner.proxy import KubeGatewayProxy, KubeIngressProxy
from kubespawner.proxy.marks import APPLIED
from kubespawner.proxy.objects import RouteObjects, change, difference, with_record
from kubespawner.proxy.settings import GatewayConfig, IngressConfig, ProxyConfig


@pytest.mark.parametrize(
    ("routespec", "name"),
    [
        ("/", "jupyter--2f-route"),
        ("/user/foo/", "jupyter--2fuser-2ffoo-2f-route"),
        ("/user/Foo/", "jupyter--2fuser-2f-46oo-2f-route"),
        ("/user/foo%40bar/srv/", "jupyter--2fuser-2ffoo-2540bar-2fsrv-2f-route"),
        ("/services/abc/", "jupyter--2fservices-2fabc-2f-route"),
        ("foo.hub.example.com/", "jupyter-foo-2ehub-2eexample-2ecom-2f-route"),
        (f"/user/{'x' * 60}/", f"jupyter--2fuser-2f{'x' * 38}-32f432"),
    ],
)
def test_names_are_those_of_earlier_versions(routespec, name):
    assert KubeIngressProxy._name_of(routespec).lower() == name


def test_escaped_bytes_keep_their_case_in_the_template_field():
    assert KubeIngressProxy._name_of("/é/") == "jupyter--2F-C3-A9-2F-route"


# ---- settings --------------------------------------------------------------------------


class Settings(IngressConfig, ProxyConfig):
    """The settings without what needs a cluster."""


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("ingress_specifications", [{"tlsSecret": "x"}], r"ingress_specifications\[0\].*'host'"),
        (
            "ingress_specifications",
            [{"host": "a"}, {"host": "b", "tlssecret": "x"}],
            r"specifications\[1\].*did you mean 'tlsSecret'",
        ),
        ("ingress_specifications", ["a.example.com"], r"specifications\[0\].*dict"),
        ("ingress_specifications", [{"host": ""}], r"specifications\[0\]\['host'\]"),
        ("ingress_specifications", [{"host": "{user}.example.com"}], "user"),
        ("common_labels", {"team": "a b"}, r"common_labels\['team'\]"),
        ("common_labels", {"of": "{username}!"}, r"common_labels\['of'\]"),
        # Valid for a named server, and not for the default one.
        ("common_labels", {"of": "team.{servername}"}, r"common_labels\['of'\]"),
        ("common_labels", {"of": "{usernme}"}, "usernme"),
        ("ingress_extra_labels", {"bad key": "x"}, "bad key"),
        ("ingress_extra_labels", {"component": "other"}, "component"),
        ("ingress_extra_annotations", {"hub.jupyter.org/proxy-target": "x"}, "proxy-target"),
        ("component_label", "", "component_label"),
        ("component_label", "a/b", "component_label"),
        ("namespace", "", "namespace"),
        ("k8s_api_host", "10.0.0.1", "k8s_api_host"),
        ("route_load_timeout", 0, "route_load_timeout"),
    ],
)
def test_mistakes_are_refused_when_they_are_made(setting, value, named):
    with pytest.raises(TraitError, match=named):
        Settings(**{setting: value})


class Gateway(GatewayConfig, ProxyConfig):
    """The settings of HTTPRoutes without what needs a cluster."""


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("gateway_parent_refs", ["web"], r"parent_refs\[0\] is 'web'.*dict"),
        ("gateway_parent_refs", [{"name": "a"}, {"namespace": "b"}], r"parent_refs\[1\].*'name'"),
        ("gateway_parent_refs", [{"name": "a", "section": "x"}], "did you mean 'sectionName'"),
        ("gateway_hostnames", ["{user}.example.com"], "user"),
        ("route_timeouts", {"requests": "0s"}, "requests"),
        ("route_timeouts", {"request": "1 minute"}, r"route_timeouts\['request'\].*duration"),
        ("route_filters", [{"requestMirror": {}}], r"route_filters\[0\].*'type'"),
        ("route_extra_labels", {"hub.jupyter.org/proxy-route": "x"}, "proxy-route"),
        ("route_extra_annotations", {"hub.jupyter.org/proxy-applied": "x"}, "proxy-applied"),
        ("route_status_timeout", -1, "route_status_timeout"),
    ],
)
def test_mistakes_about_gateways_are_refused_when_they_are_made(setting, value, named):
    with pytest.raises(TraitError, match=named):
        Gateway(**{setting: value})


def test_a_proxy_of_gateways_has_no_setting_of_ingresses():
    names = set(KubeGatewayProxy.class_own_traits(config=True))
    assert {"gateway_parent_refs", "common_labels", "k8s_api_host"} <= names
    assert not {name for name in names if name.startswith("ingress")}
    assert all(
        trait.help.strip() for trait in KubeGatewayProxy.class_own_traits(config=True).values()
    )


def test_defaults_are_those_of_earlier_versions():
    config = Settings()
    assert config.component_label == "singleuser-server"
    assert config.namespace == "default"
    assert config.ingress_class_name == ""
    assert config.reuse_existing_services is False
    assert config.k8s_api_verify_ssl is None
    assert config.common_labels == {
        "app.kubernetes.io/name": "jupyterhub",
        "app.kubernetes.io/managed-by": "kubespawner",
        "app": "jupyterhub",
        "heritage": "jupyterhub",
    }


def test_every_setting_has_a_help_text_and_can_be_configured():
    traits = KubeIngressProxy.class_own_traits(config=True)
    assert {"namespace", "ingress_specifications", "k8s_api_ssl_ca_cert"} <= set(traits)
    assert [name for name, trait in traits.items() if not trait.help.strip()] == []
    assert "should_start" not in KubeIngressProxy.class_traits(config=True)


def test_help_shows_the_settings_as_the_proxys():
    assert "--KubeIngressProxy.component_label=" in KubeIngressProxy.class_get_help()
    assert "c.KubeIngressProxy.namespace = " in KubeIngressProxy.class_config_section()


async def test_a_mistake_in_the_configuration_stops_the_hub_before_it_asks_the_cluster():
    config = Config()
    config.KubeIngressProxy.ingress_specifications = [{"hots": "x"}]
    with pytest.raises(TraitError, match="hots"):
        KubeIngressProxy(config=config)


# ---- comparison ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "present", "patch"),
    [
        ({"a": 1}, {"a": 1, "others": 2}, {}),
        ({"a": {"b": 1}}, {"a": {"b": 2, "others": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {}, {"a": {"b": 1}}),
        # Defaults that the API server filled in.
        ({"ports": [{"port": 1}]}, {"ports": [{"port": 1, "protocol": "TCP"}]}, {}),
        ({"ports": [{"port": 1}]}, {"ports": [{"port": 2}]}, {"ports": [{"port": 1}]}),
        ({"ports": [{"port": 1}]}, {"ports": [{"port": 1}, {"port": 2}]}, {"ports": [{"port": 1}]}),
        ({"externalName": ""}, {}, {}),
        ({"externalName": ""}, {"externalName": "x"}, {"externalName": ""}),
        ({"tls": []}, {"tls": [{"hosts": ["a"]}]}, {"tls": []}),
    ],
)
def test_only_what_differs_is_written(wanted, present, patch):
    assert difference(wanted, present) == patch


@pytest.mark.parametrize(
    ("before", "wanted", "present", "patch"),
    [
        ({"a": 1}, {}, {"a": 1, "others": 2}, {"a": None}),
        ({"a": 1}, {}, {"others": 2}, {}),
        ({"a": {"b": True}}, {"a": {"c": 1}}, {"a": {"b": 1, "c": 1}}, {"a": {"b": None}}),
        # What was wanted to be nothing is not taken away when others filled it in.
        ({"a": ""}, {}, {"a": "others"}, {}),
        # What others changed in a list of ours stays, until we want another list.
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, {}),
        (
            {"a": [{"b": 1, "c": 2}]},
            {"a": [{"b": 1}]},
            {"a": [{"b": 1, "c": 2}]},
            {"a": [{"b": 1}]},
        ),
    ],
)
def test_what_is_wanted_no_more_is_taken_away(before, wanted, present, patch):
    assert difference(wanted, present, before) == patch


@pytest.mark.parametrize("record", [None, "{", "[]", '{"metadata": {"labels": 1}}'])
def test_an_object_without_a_readable_record_loses_nothing(record):
    annotations = {} if record is None else {APPLIED: record}
    present = {"metadata": {"labels": {"old": "x"}, "annotations": annotations}}
    patch = change(with_record({"metadata": {"labels": {"a": "b"}}}), present)
    assert patch["metadata"]["labels"] == {"a": "b"}


# ---- ahead of the watch ----------------------------------------------------------------


class Watch:
    """An informer whose events are told by hand, and requests that are answered at once."""

    health = Health.FRESH
    resource_version = "1"

    def __init__(self):
        self.items = {}
        self.version = 1

    def subscribe_all(self, listener):
        self.listener = listener

    def on_load(self, listener):
        pass

    def get(self, key):
        return self.items.get(key)

    def keys(self):
        return list(self.items)

    def show(self, event, version, item):
        self.resource_version = str(version)
        if event == "DELETED":
            self.items.pop("ns/x", None)
        else:
            self.items["ns/x"] = item
        self.listener(event, "ns/x", None if event == "DELETED" else item)

    async def create(self, api, kind, manifest, namespace, *, deadline):
        self.version += 1
        meta = {"name": "x", "uid": f"u{self.version}", "resourceVersion": str(self.version)}
        return {"metadata": meta}

    async def delete(self, *args, **kwargs):
        self.version += 1
        return True


async def test_a_watch_that_lags_brings_back_nothing_that_was_deleted():
    watch = Watch()
    objects = RouteObjects("service", None, watch, watch, "ns", lambda item: True)
    manifest = {"metadata": {"name": "x"}}
    made = []
    for _ in range(2):
        await objects.put(manifest, None, None)
        made.append(objects.known("ns/x"))
        await objects.delete(made[-1], None)
        assert objects.known("ns/x") is None
    first, second = made
    for event, version, item in [
        ("ADDED", 2, first),
        ("DELETED", 3, first),
        ("ADDED", 4, second),
        ("DELETED", 5, second),
    ]:
        watch.show(event, version, item)
        assert objects.known("ns/x") is None, (event, version)
        assert await objects.all("", None) == []
    # And what somebody else makes after that is seen.
    other = {"metadata": {"name": "x", "uid": "o", "resourceVersion": "6"}}
    watch.show("ADDED", 6, other)
    assert objects.known("ns/x") == other
    assert not objects._deleted
    assert not objects._written
