# Of the second hub in a namespace: its pods, services and claims have names of their own, and it
# sees only what carries its label.
c.KubeSpawner.component_label = "staging-server"
c.KubeSpawner.pod_name_template = "staging-{user_server}"
c.KubeSpawner.pvc_name_template = "staging-claim-{user_server}"
