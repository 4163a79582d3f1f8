c.KubeSpawner.volumes = {"work": {"name": "work", "emptyDir": {}}}
c.KubeSpawner.volume_mounts = {"work": {"name": "work", "mountPath": "/home/jovyan/work"}}
c.KubeSpawner.init_containers = {
    "material": {
        "name": "material",
        "image": "alpine/git:2",
        "command": ["git", "clone", "--depth=1", "https://example.org/course.git", "/work/course"],
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
    },
}
