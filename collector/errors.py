"""The root of our own errors."""


class CollectorError(Exception):
    """Something the operator is told in a sentence, never as a traceback; ends a command with exit code 1."""

    exit_code = 1


class UsageError(CollectorError):
    """The operator asked for something that cannot be; ends a command with exit code 2."""

    exit_code = 2
