"""Memory that is free inside the process goes back to the machine, which glibc does not do for it by itself."""

import ctypes


def give_back() -> None:
    """Give free memory back, where the C library can do it. It takes some milliseconds: call it in a thread."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
