c.KubeSpawner.node_selector = {"pool": "users"}
c.KubeSpawner.tolerations = [{"key": "users", "operator": "Exists", "effect": "NoSchedule"}]
# Fill one node after the other, so that an empty one can be removed.
c.KubeSpawner.pod_affinity_preferred = [
    {
        "weight": 100,
        "podAffinityTerm": {
            "labelSelector": {"matchLabels": {"component": "singleuser-server"}},
            "topologyKey": "kubernetes.io/hostname",
        },
    }
]
