"""A fake Customer.io: the Track API's rules and a workspace's memory, for tests without a network.

`FakeCustomerIO` is pure; `host_aiohttp` and `host_httpserver` serve one over HTTP.
"""

from cio_fake.http_messages import NotJSONError, Problem, Received, Request, Response
from cio_fake.server import FakeCustomerIO

__all__ = ["FakeCustomerIO", "NotJSONError", "Problem", "Received", "Request", "Response"]
