"""Ctrl-C between two steps, never in the middle of one."""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[list[int]]:
    """Collect the first Ctrl-C in the list that is yielded; the second one raises KeyboardInterrupt at once.

    Only where Python's own handler is in charge, in the main thread: elsewhere (worker threads of widgets) nothing is
    changed and the list stays empty.
    """
    pending: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield pending
        return

    def handler(number, frame):
        if pending:
            signal.default_int_handler(number, frame)
        pending.append(number)

    signal.signal(signal.SIGINT, handler)
    try:
        yield pending
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
