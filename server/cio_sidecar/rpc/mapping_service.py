"""MappingService: ListTables, GetTable and Render."""

from collections.abc import Callable
from typing import Any, Final

import grpc
import orjson
from cio.sidecar.v1 import mapping_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from cio_sidecar.customerio.requests import requests
from cio_sidecar.intake import Intake, complete, iso_time
from cio_sidecar.mapping.authoring.profiles import TableSet
from cio_sidecar.mapping.errors import Violation
from cio_sidecar.mapping.model import Input, Level, When
from cio_sidecar.renderer import Rejected
from cio_sidecar.rpc import internal_errors
from cio_sidecar.rpc.decode import InvalidRequest, decode, decode_event
from cio_sidecar.rpc.error_status import abort_invalid, abort_not_found, warning_messages
from cio_sidecar.rpc.event_json import to_event

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
                    internal_errors.unary(method), response_serializer=response.SerializeToString
                )
                for name, (method, response) in methods.items()
            },
        )

    async def list_tables(self, _: bytes, __: Context) -> mapping_pb2.ListTablesResponse:
        """List the current tables."""
        tables = self._intake.renderer.tables
        return mapping_pb2.ListTablesResponse(
            profile=tables.profile,
            tables=[
                mapping_pb2.TableSummary(
                    name=table.name,
                    doc=table.doc,
                    applies_to=table.events,
                    row_count=len(tables.effective_rows(table.name)),
                    operation=table.operation or "",
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
        tables = self._intake.renderer.tables
        if request.name not in tables.tables:
            known = ", ".join(sorted(tables.tables))
            await abort_not_found(
                context, "NO_SUCH_TABLE", f"no table {request.name[:80]!r}; there are {known}"
            )
        return mapping_pb2.GetTableResponse(table=_table(tables, request.name))

    async def render(self, data: bytes, context: Context) -> mapping_pb2.RenderResponse:
        """Show what Customer.io would be asked for an event."""
        try:
            request = decode_event(mapping_pb2.RenderRequest, data, self._intake.limits)
        except InvalidRequest as error:
            await abort_invalid(context, error.reason, error.violations)
        if not request.HasField("event"):
            await abort_invalid(
                context, "INVALID_REQUEST", [Violation("event", "REQUIRED", "give an event")]
            )
        event, violations = to_event(request.event)
        if violations:
            await abort_invalid(context, "EVENT_REJECTED", violations)
        complete(event, iso_time(self._clock()), self._intake.new_message_id)
        renderer = self._intake.renderer
        rendered = renderer.render(event)
        if isinstance(rendered, Rejected):
            await abort_invalid(context, "EVENT_REJECTED", rendered.violations)
        return mapping_pb2.RenderResponse(
            requests=[
                mapping_pb2.HttpRequest(
                    method=shown.method, path=shown.path, body=shown.body.decode()
                )
                for shown in requests(rendered.operations, v1=request.api == mapping_pb2.API_V1)
            ],
            warnings=warning_messages(rendered.warnings),
            explanations=[
                mapping_pb2.Explanation(
                    operation=each.operation,
                    key=each.key,
                    row=each.row.name,
                    origin=each.row.origin,
                    field=each.field,
                )
                for each in renderer.explain(event)
            ],
        )


def _table(tables: TableSet, name: str) -> mapping_pb2.Table:
    table = tables.tables[name]
    message = mapping_pb2.Table(
        name=table.name,
        doc=table.doc,
        applies_to=table.events,
        operation=table.operation or "",
        when=_when(table.when),
        otherwise=table.otherwise or "",
        also=table.also,
        drop=table.drop,
        extends=table.extends or "",
    )
    for row in tables.effective_rows(name):
        shown = message.rows.add(
            key=row.key,
            level=_LEVELS[row.level],
            doc=row.doc,
            origin=row.origin,
            table=row.home,
            when=_when(row.when),
            inputs=[_input(source) for source in row.inputs],
        )
        shown.__getattribute__("except").extend(row.except_)
        if not row.inputs:
            json_format.ParseDict(row.value, shown.value)
    return message


def _input(source: Input) -> mapping_pb2.Input:
    message = mapping_pb2.Input(path=source.path, expr=source.expr, transforms=source.apply)
    if not (source.path or source.expr):
        json_format.ParseDict(source.value, message.value)
    return message


def _when(when: When | None) -> mapping_pb2.When | None:
    if when is None:
        return None
    message = mapping_pb2.When(expr=when.expr)
    for path, values in when.values:
        shown = message.values.add(path=path)
        for value in values:
            json_format.Parse(orjson.dumps(value), shown.values.add())
    return message
