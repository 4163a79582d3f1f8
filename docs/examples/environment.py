c.KubeSpawner.environment = {
    # Templates; a brace that is meant literally is written twice.
    "GIT_AUTHOR_NAME": "{unescaped_username}",
    "GREETING": "Hello {{you}}",
    # From a secret of the namespace, which the hub itself need not read.
    "API_KEY": {"valueFrom": {"secretKeyRef": {"name": "keys", "key": "api", "optional": True}}},
    # Whatever Python can find out.
    "USER_GROUPS": lambda spawner: ",".join(sorted(group.name for group in spawner.user.groups)),
}
