"""Images of the embedded cluster: names only, since containers are local processes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

_NAME = re.compile(
    r"(?:[a-zA-Z0-9.-]+(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)


class PullError(Exception):
    """An image can't be had; ``reason`` is the kubelet's."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


@dataclass
class Images:
    """Which images exist.

    Args:
        available: patterns of names that can be pulled; default: all but those of a registry in
            the reserved domain ``.invalid``.
        present: names that are on the node from the beginning.
        denied: patterns of names whose registry refuses to give them.
        pull_seconds: how long a pull takes.
        commands: pattern of names to the command that such an image would start by itself, for
            containers that have neither command nor arguments.
        default_command: of images that match none of these.
    """

    available: Sequence[str] | None = None
    present: set[str] = field(default_factory=set)
    denied: Sequence[str] = ()
    pull_seconds: float = 0.0
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # What single-user images start; others are unknown here.
    default_command: Sequence[str] = ("jupyterhub-singleuser",)

    def command(self, image: str) -> Sequence[str]:
        """Return what ``image`` starts by itself."""
        for pattern, command in self.commands.items():
            if fnmatchcase(image, pattern):
                return command
        return self.default_command

    def is_present(self, image: str) -> bool:
        return image in self.present

    def check_name(self, image: str) -> None:
        """Raise PullError for a name that no image can have."""
        if not _NAME.fullmatch(image):
            raise PullError(
                "InvalidImageName",
                f'Failed to apply default image tag "{image}": couldn\'t parse image reference '
                f'"{image}": invalid reference format',
            )

    def pull(self, image: str) -> None:
        """Make ``image`` present.

        Raises:
            PullError: worded as by containerd.
        """
        failed = (
            f'rpc error: code = {{code}} desc = failed to pull and unpack image "{image}": '
            f'failed to resolve reference "{image}": '
        )
        if any(fnmatchcase(image, pattern) for pattern in self.denied):
            raise PullError(
                "ErrImagePull",
                failed.format(code="Unknown")
                + "pull access denied, repository does not exist or may require authorization: "
                "server message: insufficient_scope: authorization failed",
            )
        if self.available is None:
            missing = image.split("/")[0].split(":")[0].endswith(".invalid")
        else:
            missing = not any(fnmatchcase(image, pattern) for pattern in self.available)
        if missing:
            raise PullError("ErrImagePull", failed.format(code="NotFound") + f"{image}: not found")
        self.present.add(image)
