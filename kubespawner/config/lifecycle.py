"""Settings: starting, waiting, stopping."""

from __future__ import annotations

from traitlets import HasTraits

from ..diagnosis import DEFAULT_PATIENCE
from . import _checks as checks
from ._types import Bool, Callable, Dict, Enum, Integer, Unicode

_PATIENCE = ", ".join(f"`{reason}` {seconds:g}" for reason, seconds in DEFAULT_PATIENCE.items())


class LifecycleConfig(HasTraits):
    """Starting, waiting, stopping."""

    start_timeout = Integer(
        60,
        check=checks.not_negative,
        help="""Seconds that a start may take, from the click until the pod is ready.

        Pulling a large image or adding a node to the cluster takes minutes: 300 to 600 are
        usual then. Also the time that `stop` waits for the pod to go.
        """,
    )
    http_timeout = Integer(
        30,
        check=checks.not_negative,
        help="""Seconds that a server has to answer over HTTP, from when its pod is ready.""",
    )
    events_enabled = Bool(
        True,
        help="""Watch the events of starting pods, to tell their users what happens.

        Needs the permission to list and watch events. Without, progress is told from the pod's
        status alone.
        """,
    )
    delete_grace_period = Integer(
        1,
        check=checks.not_negative,
        help="""Seconds that a server gets to end by itself when it is stopped.

        Raise it where servers need time to save, as with `preStop` hooks.
        https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
        """,
    )
    delete_stopped_pods = Bool(
        True,
        help="""Delete a pod whose server ended or failed to start.

        `False` keeps it, for `kubectl describe` and `kubectl logs`, until its next start. A pod
        whose start was cancelled, or took longer than `start_timeout`, is deleted in any case: it
        could still come up, and would be nobody's.
        """,
    )
    pod_readiness = Enum(
        ["notebook", "all"],
        default_value="notebook",
        help="""Which containers must be ready before a server counts as started.

        `notebook` (the default): the notebook container; `all`: every container of the pod, as
        in versions before 8.
        https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes
        """,
    )
    spawn_patience = Dict(
        check=checks.patience,
        help=f"""How long a condition that prevents a start may last: reason to seconds.

        0 ends the spawn at once, -1 waits until `start_timeout`. The time counts from when the
        condition was first seen, and anew if it went away. Reasons, and their patience unless it
        is set here: {_PATIENCE}. Other reasons, such as `Evicted`: 0.

        `ImagePullBackOff` and `ErrImagePull` stand for all four reasons of a failed pull,
        `FailedMount` and `FailedAttachVolume` for `VolumeMountFailed`. Example::

            c.KubeSpawner.spawn_patience = {{"Unschedulable": 120, "ImagePullBackOff": 300}}
        """,
    )
    crash_loop_restarts = Integer(
        3,
        check=checks.not_negative,
        help="""Restarts of a crashing container after which its server counts as failed.

        Applies while its pod has the condition `CrashLoopBackOff`.
        https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
        """,
    )
    slow_spawn_message_threshold = Integer(
        60,
        check=checks.not_negative,
        help="""Seconds after which the progress page says that a start takes long; 0: never.""",
    )
    slow_spawn_message_frequency = Integer(
        5,
        check=checks.not_negative,
        help="""Seconds between two messages about a start that takes long.""",
    )
    slow_spawn_message = Unicode(
        "Server launch is taking longer than expected. Please be patient! "
        "Current time spent waiting: {seconds} seconds.",
        expanded={"seconds": 0},
        help="""What the progress page says when a start takes long.

        Its one field is `{seconds}`, the time since the start.
        """,
    )
    progress_message_hook = Callable(
        None,
        allow_none=True,
        help="""Called with the spawner and each message of a start; returns the one to show.

        For other words or another language. A message is a dict with `kind` (`phase`, `event`,
        `notice`, `last_exit`, `failure`), `message`, `progress` (0 to 99) and, by kind, `phase`,
        `reason`, `waiting_helps`, `values` (`image`, `bytes`, `container`, …), `html_message` and
        `raw_event`; see `kubespawner.feed.ProgressEvent`. What the hook returns replaces parts of
        it; None hides it. May be async. It is called for every page that shows the start; if it
        fails, that is logged and the default is shown. Example::

            GERMAN = {"Scheduling": "Ein freier Rechner wird gesucht",
                      "Pulling": "Das Image {image} wird geladen"}

            def progress_message_hook(spawner, event):
                if event["kind"] == "event":
                    return None
                if event["kind"] == "phase" and not event["reason"] and event["phase"] in GERMAN:
                    return {"message": GERMAN[event["phase"]].format(**event["values"])}
                return event

            c.KubeSpawner.progress_message_hook = progress_message_hook
        """,
    )
