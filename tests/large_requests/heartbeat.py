"""A process that asks /livez without a pause, and tells the longest time without an answer.

``python -m tests.large_requests.heartbeat HOST PORT``: each line on standard input is answered with
the longest wait since the line before, in seconds.
"""

import http.client
import select
import sys
import time


def main(host: str, port: str) -> None:
    """Ask until standard input ends."""
    connection = http.client.HTTPConnection(host, int(port), timeout=120)
    longest = 0.0
    while True:
        started = time.monotonic()
        connection.request("GET", "/livez")
        connection.getresponse().read()
        longest = max(longest, time.monotonic() - started)
        if select.select([sys.stdin], [], [], 0.002)[0]:
            if not sys.stdin.readline():
                return
            print(longest, flush=True)
            longest = 0.0


if __name__ == "__main__":
    main(*sys.argv[1:])
