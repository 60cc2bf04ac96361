"""MappingService: ListTables, GetTable and Render."""

from collections.abc import Callable
from typing import Any, Final

import grpc
from cio.sidecar.v1 import mapping_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from cio_sidecar.customerio import track_v1, track_v2
from cio_sidecar.customerio.operation import V1_ONLY
from cio_sidecar.customerio.request import Request
from cio_sidecar.mapping.errors import Violation
from cio_sidecar.mapping.table import Level, Table
from cio_sidecar.renderer import Refused, Rendered
from cio_sidecar.rpc.decode import InvalidRequest, decode
from cio_sidecar.rpc.event_message import to_event
from cio_sidecar.rpc.intake import Intake, complete, iso_time
from cio_sidecar.rpc.status import abort_invalid, abort_not_found, warning_messages

Context = grpc.aio.ServicerContext[Any, Any]

SERVICE: Final = "cio.sidecar.v1.MappingService"

_LEVELS: Final = {
    Level.REQUIRED: mapping_pb2.ROW_LEVEL_REQUIRED,
    Level.HIGHLY_RECOMMENDED: mapping_pb2.ROW_LEVEL_HIGHLY_RECOMMENDED,
    Level.OPTIONAL: mapping_pb2.ROW_LEVEL_OPTIONAL,
}


class MappingService:
    """The service's methods. Requests come as bytes, as in IngestService."""

    def __init__(self, intake: Intake, *, clock: Callable[[], float]) -> None:
        """``clock`` gives Unix seconds."""
        self._intake = intake
        self._clock = clock

    def handler(self) -> grpc.GenericRpcHandler:
        """The handler to add to a server."""
        methods: dict[str, tuple[Any, type[Message]]] = {
            "ListTables": (self.list_tables, mapping_pb2.ListTablesResponse),
            "GetTable": (self.get_table, mapping_pb2.GetTableResponse),
            "Render": (self.render, mapping_pb2.RenderResponse),
        }
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(
                    method, response_serializer=response.SerializeToString
                )
                for name, (method, response) in methods.items()
            },
        )

    async def list_tables(self, _: bytes, __: Context) -> mapping_pb2.ListTablesResponse:
        """List the tables in force."""
        tables = self._intake.renderer.tables
        return mapping_pb2.ListTablesResponse(
            profile=tables.profile,
            tables=[
                mapping_pb2.TableSummary(
                    name=table.name,
                    doc=table.doc,
                    applies_to=table.events,
                    row_count=len(table.rows),
                )
                for _, table in sorted(tables.tables.items())
            ],
        )

    async def get_table(self, data: bytes, context: Context) -> mapping_pb2.GetTableResponse:
        """Show one table."""
        try:
            request = decode(mapping_pb2.GetTableRequest, data)
        except InvalidRequest as error:
            await abort_invalid(context, "INVALID_REQUEST", error.violations)
        tables = self._intake.renderer.tables.tables
        if request.name not in tables:
            known = ", ".join(sorted(tables))
            await abort_not_found(
                context, "NO_SUCH_TABLE", f"no table {request.name[:80]!r}; there are {known}"
            )
        return mapping_pb2.GetTableResponse(table=_table(tables[request.name]))

    async def render(self, data: bytes, context: Context) -> mapping_pb2.RenderResponse:
        """Show what Customer.io would be asked for an event."""
        try:
            request = decode(mapping_pb2.RenderRequest, data)
        except InvalidRequest as error:
            await abort_invalid(context, "INVALID_REQUEST", error.violations)
        if not request.HasField("event"):
            await abort_invalid(
                context, "INVALID_REQUEST", [Violation("event", "REQUIRED", "give an event")]
            )
        event, violations = to_event(request.event)
        if violations:
            await abort_invalid(context, "EVENT_REFUSED", violations)
        complete(event, iso_time(self._clock()), self._intake.new_message_id)
        rendered = self._intake.renderer.render(event)
        if isinstance(rendered, Refused):
            await abort_invalid(context, "EVENT_REFUSED", rendered.violations)
        return mapping_pb2.RenderResponse(
            requests=[
                mapping_pb2.HttpRequest(
                    method=shown.method, path=shown.path, body=shown.body.decode()
                )
                for shown in requests(rendered, v1=request.api == mapping_pb2.API_V1)
            ],
            warnings=warning_messages(rendered.warnings),
        )


def requests(rendered: Rendered, *, v1: bool) -> list[Request]:
    """The requests of an event: by v1, or as items of a v2 batch where v2 can carry them."""
    return [
        track_v1.request(operation)
        if v1 or operation.marks & V1_ONLY
        else track_v2.single(operation)
        for operation in rendered.operations
    ]


def _table(table: Table) -> mapping_pb2.Table:
    message = mapping_pb2.Table(name=table.name, doc=table.doc, applies_to=table.events)
    for row in table.rows:
        shown = message.rows.add(
            key=row.key,
            level=_LEVELS[row.level],
            doc=row.doc,
            origin=row.origin,
            inputs=[
                mapping_pb2.Input(path=source.path, transforms=source.apply)
                for source in row.inputs
            ],
        )
        shown.__getattribute__("except").extend(row.except_)
        if not row.inputs:
            json_format.ParseDict(row.value, shown.value)
    return message
