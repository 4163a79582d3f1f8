"""What a diagnosis consists of, and how long each condition may last."""

from __future__ import annotations

from dataclasses import dataclass

# Seconds that a condition may last before a spawn is given up; 0 = at once, -1 = until the
# start timeout. What heals by itself, or when another server stops, waits.
DEFAULT_PATIENCE: dict[str, float] = {
    "InvalidImageName": 0,
    "ErrImageNeverPull": 0,
    "ImageNotFound": 0,
    "ImagePullDenied": 0,
    "RegistryUnreachable": 120,
    "ImagePullFailed": 120,
    # The object may be on its way.
    "CreateContainerConfigError": 15,
    "CreateContainerError": 15,
    "RunContainerError": 15,
    # The kubelet tries again; from `crash_loop_restarts` on it is CrashLoopBackOff.
    "Restarting": -1,
    "CrashLoopBackOff": 0,
    "InitContainerFailed": 0,
    "ServerExited": 0,
    "PodFailed": 0,
    "PodDeleted": 0,
    "NodeUnreachable": 120,
    "Unschedulable": -1,
    "ClaimPending": -1,
    "ClaimProvisioningFailed": -1,
    "ClaimLost": 0,
    "ClaimMissing": 15,
    # A volume that is attached elsewhere comes free after minutes.
    "VolumeMountFailed": -1,
    # The kubelet tries again at growing intervals of up to two minutes.
    "MountSourceMissing": 120,
    "SandboxFailed": -1,
}


@dataclass(frozen=True)
class Diagnosis:
    """What is going on with a pod that starts, or why an object was refused.

    Attributes:
        phase: step on the way to a running server: ``Scheduling`` (looking for a node),
            ``Volumes``, ``Preparing`` (on its node; no container yet), ``Pulling``,
            ``Initializing`` (init containers), ``Starting``, ``Running`` (ready); or
            ``Failed``, ``Gone``.
        reason: CamelCase name of what keeps it from going on; None if nothing does.
        user: a sentence for the person who waits; may be empty if there is no reason.
        admin: the technical facts, with the cluster's own text.
        patience: seconds that ``reason`` may last unless configured otherwise: 0 = end at once,
            -1 = never end early; None without a reason.
        container: name of the container it is about, or empty.
        patience_key: entry of :data:`DEFAULT_PATIENCE` that ``patience`` comes from. It is
            ``reason`` itself, or ``PodFailed`` and ``ServerExited`` for reasons that stand for
            a failed pod (such as ``Evicted``) or an ended server (``OOMKilled``).
    """

    phase: str
    reason: str | None = None
    user: str = ""
    admin: str = ""
    patience: float | None = None
    container: str = ""
    patience_key: str | None = None

    @property
    def waiting_helps(self) -> bool:
        """Whether the condition may go away without anybody's doing."""
        return self.patience is None or self.patience != 0


@dataclass(frozen=True)
class ServerStatus:
    """Whether a server runs, as ``poll()`` has to answer.

    Attributes:
        running: it runs, or may yet start.
        exit_code: of the notebook container, 1 if unknown; None while it runs.
        reason: CamelCase name of why it ended; empty while it runs.
        message: the facts, for the log.
        user: a sentence for the server's user.
    """

    running: bool
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    user: str = ""


def problem(
    phase: str, reason: str, user: str, admin: str, container: str = "", key: str = ""
) -> Diagnosis:
    """Return the diagnosis of ``reason`` with its default patience (that of ``key``, if given)."""
    key = key or reason
    return Diagnosis(phase, reason, user, admin, DEFAULT_PATIENCE[key], container, key)
