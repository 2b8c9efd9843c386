"""Why a request is not taken. `retry`: the same request may be taken later."""

from __future__ import annotations


class RefusedError(Exception):
    """The answer to a request that cannot be taken: HTTP status, name of the gRPC status, and a line for people."""

    def __init__(self, status: int, grpc: str, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.grpc = grpc
        self.retry = retry


def malformed(message: str) -> RefusedError:
    """The sender must not send it again."""
    return RefusedError(400, "INVALID_ARGUMENT", message)


def too_large(message: str) -> RefusedError:
    """Neither this."""
    return RefusedError(413, "RESOURCE_EXHAUSTED", message)


def busy(message: str) -> RefusedError:
    """The sender keeps it and comes again."""
    return RefusedError(503, "UNAVAILABLE", message, retry=True)
