async def pre_spawn_hook(spawner):
    """Set what depends on the user before the pod is made."""
    groups = {group.name for group in spawner.user.groups}
    if "staff" in groups:
        spawner.mem_limit = "8G"
        spawner.extra_annotations = {**spawner.extra_annotations, "example.org/class": "staff"}


c.KubeSpawner.pre_spawn_hook = pre_spawn_hook
