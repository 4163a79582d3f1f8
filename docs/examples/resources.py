c.KubeSpawner.cpu_guarantee = 0.2
c.KubeSpawner.cpu_limit = 2
c.KubeSpawner.mem_guarantee = "512M"
c.KubeSpawner.mem_limit = "2G"
# What has no setting of its own.
c.KubeSpawner.extra_resource_limits = {"ephemeral-storage": "5Gi"}
