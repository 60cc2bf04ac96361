"""Customer.io's own client in Python: ``bench.official ADDRESS one|batch SECONDS``.

Prints how many events a second it sends, as JSON.
"""

import json
import sys
import time
from typing import Any

from customerio import CustomerIO

from bench.events import filled_in

_BATCH = 500


class _Plain(CustomerIO):  # type: ignore[misc]
    """Without TLS, which nothing else of the benchmark speaks either."""

    def send_request(self, method: str, url: str, data: dict[str, Any]) -> Any:
        """Send a request."""
        return super().send_request(method, url.replace("https:", "http:", 1), data)


def _operation(event: dict[str, Any]) -> dict[str, Any]:
    """What ``batch()`` takes: it maps nothing."""
    return {
        "type": "person",
        "identifiers": {"id": event["userId"]},
        "action": "event",
        "name": event["event"],
        "id": event["messageId"],
        "timestamp": 1772443800,
        "attributes": event["properties"],
    }


def main(address: str, way: str, seconds: float) -> float:
    """Send orders by one of the two ways."""
    host, _, port = address.rpartition(":")
    client = _Plain("site", "key", host=host, port=int(port))
    orders = [filled_in(number) for number in range(1000)]
    ready = [_operation(order) for order in orders[:_BATCH]]

    def one(number: int) -> int:
        order = orders[number % len(orders)]
        client.track(
            order["userId"],
            order["event"],
            order["properties"],
            id=order["messageId"],
            timestamp=1772443800,
        )
        return 1

    def batch(_number: int) -> int:
        client.batch(ready)
        return len(ready)

    send = {"one": one, "batch": batch}[way]
    send(0)
    done, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        done += send(done)
    return done / took


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
