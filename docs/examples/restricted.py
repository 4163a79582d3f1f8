c.KubeSpawner.pod_security = "restricted"
c.KubeSpawner.uid = 1000
c.KubeSpawner.fs_gid = 1000
