# One claim, `shared`, made by the administrator with the access mode ReadWriteMany: everybody
# reads `data`, and has a directory in `homes`.
c.KubeSpawner.volumes = {
    "shared": {"name": "shared", "persistentVolumeClaim": {"claimName": "shared"}},
}
c.KubeSpawner.volume_mounts = {
    "data": {"name": "shared", "mountPath": "/data", "subPath": "data", "readOnly": True},
    "home": {"name": "shared", "mountPath": "/home/jovyan", "subPath": "homes/{username}"},
}
