"""The heap of glibc: memory that is free inside the process goes back to the machine, and threads share one heap.

glibc does neither by itself. Another C library, which lacks the functions, is left as it is.
"""

from typing import Any

_M_ARENA_MAX = -8


def use_one_heap() -> None:
    """Let all threads share one heap; call it before the first thread starts.

    Each thread would else keep free memory of its own. Python runs one thread at a time, so they hardly ever wait.
    """
    set_option = _function("mallopt")
    if set_option is not None:
        set_option(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Give free memory back, where the C library can do it. It takes some milliseconds: call it in a thread."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _function(name: str) -> Any:
    """Return a function of the C library; None if it lacks the function."""
    import ctypes  # imported here because only a service needs it

    return getattr(ctypes.CDLL(None), name, None)
