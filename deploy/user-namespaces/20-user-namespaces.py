"""One namespace per user."""

# ruff: noqa: F821  (JupyterHub provides `c`)

c.KubeSpawner.enable_user_namespaces = True
# The cluster itself refuses what is not "restricted" there:
# https://kubernetes.io/docs/concepts/security/pod-security-admission/
c.KubeSpawner.user_namespace_labels = {"pod-security.kubernetes.io/enforce": "restricted"}
