c.KubeSpawner.enable_user_namespaces = True
c.KubeSpawner.user_namespace_template = "lab-{username}"
c.KubeSpawner.user_namespace_labels = {"pod-security.kubernetes.io/enforce": "baseline"}
c.KubeSpawner.user_namespace_annotations = {"example.org/owner": "{unescaped_username}"}
