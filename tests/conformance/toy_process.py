"""A toy as a process of its own: ``python -m tests.conformance.toy_process LOCK [MANNER]``.

It holds the lock of a file for as long as it lives, and does what the variables say. Manners:
``stubborn`` honours no SIGTERM, ``mute`` never serves, ``wrong`` misspells what it sends.
"""

import fcntl
import os
import signal
import sys
import threading
from pathlib import Path

from tests.conformance.toy import Request, Toy, serving


def misspelled(requests: list[Request]) -> list[Request]:
    print("misspelling on purpose", flush=True)
    return [(method, path, {**body, "name": "Wrong"}) for method, path, body in requests]


def main() -> None:
    manner = sys.argv[2] if len(sys.argv) > 2 else ""
    ended = threading.Event()
    if manner == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with Path(sys.argv[1]).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("locked")
        lock.flush()
        toy = Toy(os.environ["CIO_BASE_URL"], requests=misspelled if manner == "wrong" else list)
        if manner == "mute":
            ended.wait()
        else:
            with serving(toy, os.environ["CIO_LISTEN"]):
                ended.wait()


if __name__ == "__main__":
    main()
