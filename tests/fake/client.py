"""A caller of the fake without HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from cio_fake import FakeCustomerIO, Request, Response, admin

NOW = 1_700_000_000.5
AUTHORIZATION = "Basic c2l0ZTprZXk="  # site:key
ULID = "01HB4HBDKTPDE3GGFBKQ41C9RZ"


@dataclass
class Api:
    fake: FakeCustomerIO
    now: float = NOW

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        path, _, query = path.partition("?")
        request = Request(method, path, {"authorization": AUTHORIZATION, **headers}, raw, query)
        return admin.respond(self.fake, request, self.now)

    def ok(self, method: str, path: str, body: Any = None) -> None:
        response = self.call(method, path, body)
        assert response == Response(200), response.body

    def errors(self, method: str, path: str, body: Any = None) -> list[str]:
        response = self.call(method, path, body)
        assert response.status == 400, response
        errors: list[str] = orjson.loads(response.body)["meta"]["errors"]
        return errors

    def entity(self, item: Any) -> list[tuple[str, str]]:
        """Send one v2 operation; gives what was wrong as (reason, field)."""
        response = self.call("POST", "/api/v2/entity", item)
        if response.status == 200:
            return []
        assert response.status == 400
        return [(e["reason"], e["field"]) for e in orjson.loads(response.body)["errors"]]

    def person(self, action: str, who: Any = None, **rest: Any) -> list[tuple[str, str]]:
        identifiers = {"id": "u"} if who is None else who
        item = {"type": "person", "action": action, "identifiers": identifiers, **rest}
        return self.entity(item)

    def batch(self, *items: Any) -> Response:
        return self.call("POST", "/api/v2/batch", {"batch": items})
