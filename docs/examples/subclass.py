from kubespawner import KubeSpawner
from traitlets import Unicode


class CourseSpawner(KubeSpawner):
    """A spawner with a setting of its own, which profiles can override as well."""

    course = Unicode("none", config=True, help="Course whose material is mounted.")

    async def get_pod_manifest(self):
        pod = await super().get_pod_manifest()
        pod.metadata.labels["course"] = self.course
        return pod


c.JupyterHub.spawner_class = CourseSpawner
c.CourseSpawner.profile_list = [
    {"display_name": "Statistics", "kubespawner_override": {"course": "statistics"}},
]
