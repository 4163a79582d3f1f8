"""Settings: starting, waiting, stopping."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, Dict, Enum, HasTraits, Integer, Unicode, validate

from ._common import check_not_negative, check_template, fail


class LifecycleConfig(HasTraits):
    """Starting, waiting, stopping."""

    events_enabled = Bool(
        True,
        config=True,
        help="""Watch the events of starting pods, to tell their users what happens.

        Needs the permission to list and watch events.
        """,
    )
    delete_grace_period = Integer(
        1,
        config=True,
        help="""Seconds that a server gets to end by itself when it is stopped.

        https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
        """,
    )
    delete_stopped_pods = Bool(
        True,
        config=True,
        help="""Delete a pod whose server ended or failed; `False` keeps it for inspection.""",
    )
    pod_readiness = Enum(
        ["notebook", "all"],
        default_value="notebook",
        config=True,
        help="""Which containers must be ready before a server counts as started.

        `notebook`: the notebook container; `all`: every container, as in versions before 8.
        """,
    )
    spawn_patience = Dict(
        config=True,
        help="""How long a condition that prevents a start may last: reason to seconds.

        0 ends the spawn at once, -1 waits until `start_timeout`. Reasons are those in messages
        and log, such as `ImageNotFound`, `Unschedulable` or `CrashLoopBackOff`; those that are
        missing here keep their built-in patience.
        """,
    )
    crash_loop_restarts = Integer(
        3,
        config=True,
        help="Restarts of a crashing notebook container after which its server counts as ended.",
    )
    slow_spawn_message_threshold = Integer(
        60, config=True, help="Seconds until the message about a slow start; 0: never."
    )
    slow_spawn_message_frequency = Integer(
        5, config=True, help="Seconds between two messages about a slow start."
    )
    slow_spawn_message = Unicode(
        "Server launch is taking longer than expected. Please be patient! "
        "Current time spent waiting: {seconds} seconds.",
        config=True,
        help="Message about a slow start; `{seconds}` is the time so far.",
    )

    @validate(
        "delete_grace_period",
        "slow_spawn_message_threshold",
        "slow_spawn_message_frequency",
        "crash_loop_restarts",
    )
    def _check_times(self, proposal: Any) -> Any:
        return check_not_negative(self, proposal.trait.name, proposal.value)

    @validate("slow_spawn_message")
    def _check_slow_spawn_message(self, proposal: Any) -> Any:
        return check_template(self, "slow_spawn_message", proposal.value, {"seconds"})

    @validate("spawn_patience")
    def _check_patience(self, proposal: Any) -> Any:
        for reason, seconds in proposal.value.items():
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < -1:
                raise fail(
                    self, f"spawn_patience[{reason!r}]", seconds, "it must be seconds, 0, or -1"
                )
        return proposal.value
