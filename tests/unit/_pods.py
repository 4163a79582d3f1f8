"""Pods and events as a real cluster words them, for tests of what they mean."""

from __future__ import annotations

IMAGE = "quay.io/jupyter/base-notebook:2026-10-01"


def pod(notebook=None, *, init=(), others=(), spec=None, metadata=None, **status):
    """A pod on a node; ``notebook`` and ``init`` are container statuses without names."""
    containers = [
        {
            "name": "notebook",
            "image": IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": "notebook-port", "containerPort": 8888, "protocol": "TCP"}],
        },
        *({"name": name, "image": "busybox:1"} for name, _ in others),
    ]
    statuses = [] if notebook is None else [{"name": "notebook", "image": IMAGE, **notebook}]
    statuses += [{"name": name, **status} for name, status in others]
    body = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}
    if statuses:
        body["containerStatuses"] = statuses
    if init:
        body["initContainerStatuses"] = [{"name": name, **status} for name, status in init]
    body.update(status)
    return {
        "metadata": {"name": "jupyter-ann", "namespace": "hub", "uid": "u1", **(metadata or {})},
        "spec": {
            "containers": containers,
            "initContainers": [{"name": name, "image": "alpine/git:2"} for name, _ in init],
            "restartPolicy": "OnFailure",
            "nodeName": "node-1",
            **(spec or {}),
        },
        "status": {key: value for key, value in body.items() if value is not None},
    }


def waiting(reason, message="", **more):
    return {"state": {"waiting": {"reason": reason, "message": message}}, "restartCount": 0, **more}


def ended(code, reason="Error", **more):
    return {"state": {"terminated": {"exitCode": code, "reason": reason, **more}}}


def running(ready=False):
    return {"state": {"running": {"startedAt": "2026-11-25T09:00:05Z"}}, "ready": ready}


def crash_loop(restarts, code=1, reason="Error"):
    message = "back-off 40s restarting failed container=notebook pod=jupyter-ann_hub(u1)"
    return {
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": message}},
        "lastState": {"terminated": {"exitCode": code, "reason": reason}},
        "restartCount": restarts,
        "ready": False,
    }


def unscheduled(message, **more):
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        **more,
    }
    return pod(conditions=[condition], spec={"nodeName": None})


def event(reason, message, container="", kind="Pod", name="jupyter-ann", type_="Normal", **more):
    about = {"kind": kind, "namespace": "hub", "name": name}
    if container:
        about["fieldPath"] = f"spec.{container}"
    return {
        "reason": reason,
        "message": message,
        "type": type_,
        "involvedObject": about,
        "lastTimestamp": "2026-11-25T09:00:01Z",
        "count": 1,
        **more,
    }


def pulling(image=IMAGE, container="containers{notebook}"):
    return event("Pulling", f'Pulling image "{image}"', container)


def claim_event(reason, message, name="claim-ann"):
    return event(reason, message, kind="PersistentVolumeClaim", name=name, type_="Warning")
