def modify_pod_hook(spawner, pod):
    """Put the department that pays on the pod."""
    groups = sorted(group.name for group in spawner.user.groups)
    pod.metadata.labels["cost-centre"] = groups[0] if groups else "none"
    return pod


async def after_pod_created_hook(spawner, pod):
    """Give the pod a configuration of its own, which goes when the pod goes."""
    meta = pod["metadata"]
    await spawner.api.create_namespaced_config_map(
        meta["namespace"],
        {
            "metadata": {
                "name": meta["name"],
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
                ],
            },
            "data": {"user": spawner.user.name},
        },
    )


c.KubeSpawner.modify_pod_hook = modify_pod_hook
c.KubeSpawner.after_pod_created_hook = after_pod_created_hook
