from cio.sidecar.v1 import event_pb2 as _event_pb2
from cio.sidecar.v1 import ingest_pb2 as _ingest_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RowLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROW_LEVEL_UNSPECIFIED: _ClassVar[RowLevel]
    ROW_LEVEL_REQUIRED: _ClassVar[RowLevel]
    ROW_LEVEL_HIGHLY_RECOMMENDED: _ClassVar[RowLevel]
    ROW_LEVEL_OPTIONAL: _ClassVar[RowLevel]

class Api(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    API_UNSPECIFIED: _ClassVar[Api]
    API_V1: _ClassVar[Api]
    API_V2: _ClassVar[Api]
ROW_LEVEL_UNSPECIFIED: RowLevel
ROW_LEVEL_REQUIRED: RowLevel
ROW_LEVEL_HIGHLY_RECOMMENDED: RowLevel
ROW_LEVEL_OPTIONAL: RowLevel
API_UNSPECIFIED: Api
API_V1: Api
API_V2: Api

class ListTablesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTablesResponse(_message.Message):
    __slots__ = ("profile", "tables")
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    TABLES_FIELD_NUMBER: _ClassVar[int]
    profile: str
    tables: _containers.RepeatedCompositeFieldContainer[TableSummary]
    def __init__(self, profile: _Optional[str] = ..., tables: _Optional[_Iterable[_Union[TableSummary, _Mapping]]] = ...) -> None: ...

class TableSummary(_message.Message):
    __slots__ = ("name", "doc", "applies_to", "row_count", "operation")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    APPLIES_TO_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    doc: str
    applies_to: _containers.RepeatedScalarFieldContainer[str]
    row_count: int
    operation: str
    def __init__(self, name: _Optional[str] = ..., doc: _Optional[str] = ..., applies_to: _Optional[_Iterable[str]] = ..., row_count: _Optional[int] = ..., operation: _Optional[str] = ...) -> None: ...

class GetTableRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetTableResponse(_message.Message):
    __slots__ = ("table",)
    TABLE_FIELD_NUMBER: _ClassVar[int]
    table: Table
    def __init__(self, table: _Optional[_Union[Table, _Mapping]] = ...) -> None: ...

class Table(_message.Message):
    __slots__ = ("name", "doc", "applies_to", "rows", "operation", "when", "otherwise", "also", "drop", "extends")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    APPLIES_TO_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    OTHERWISE_FIELD_NUMBER: _ClassVar[int]
    ALSO_FIELD_NUMBER: _ClassVar[int]
    DROP_FIELD_NUMBER: _ClassVar[int]
    EXTENDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    doc: str
    applies_to: _containers.RepeatedScalarFieldContainer[str]
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    operation: str
    when: When
    otherwise: str
    also: _containers.RepeatedScalarFieldContainer[str]
    drop: bool
    extends: str
    def __init__(self, name: _Optional[str] = ..., doc: _Optional[str] = ..., applies_to: _Optional[_Iterable[str]] = ..., rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ..., operation: _Optional[str] = ..., when: _Optional[_Union[When, _Mapping]] = ..., otherwise: _Optional[str] = ..., also: _Optional[_Iterable[str]] = ..., drop: _Optional[bool] = ..., extends: _Optional[str] = ...) -> None: ...

class When(_message.Message):
    __slots__ = ("expr", "values")
    EXPR_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    expr: str
    values: _containers.RepeatedCompositeFieldContainer[PathValues]
    def __init__(self, expr: _Optional[str] = ..., values: _Optional[_Iterable[_Union[PathValues, _Mapping]]] = ...) -> None: ...

class PathValues(_message.Message):
    __slots__ = ("path", "values")
    PATH_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    path: str
    values: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Value]
    def __init__(self, path: _Optional[str] = ..., values: _Optional[_Iterable[_Union[_struct_pb2.Value, _Mapping]]] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("key", "level", "inputs", "value", "doc", "origin", "when", "table")
    KEY_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    key: str
    level: RowLevel
    inputs: _containers.RepeatedCompositeFieldContainer[Input]
    value: _struct_pb2.Value
    doc: str
    origin: str
    when: When
    table: str
    def __init__(self, key: _Optional[str] = ..., level: _Optional[_Union[RowLevel, str]] = ..., inputs: _Optional[_Iterable[_Union[Input, _Mapping]]] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., doc: _Optional[str] = ..., origin: _Optional[str] = ..., when: _Optional[_Union[When, _Mapping]] = ..., table: _Optional[str] = ..., **kwargs) -> None: ...

class Input(_message.Message):
    __slots__ = ("path", "transforms", "expr", "value")
    PATH_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMS_FIELD_NUMBER: _ClassVar[int]
    EXPR_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    path: str
    transforms: _containers.RepeatedScalarFieldContainer[str]
    expr: str
    value: _struct_pb2.Value
    def __init__(self, path: _Optional[str] = ..., transforms: _Optional[_Iterable[str]] = ..., expr: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class RenderRequest(_message.Message):
    __slots__ = ("event", "api")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    API_FIELD_NUMBER: _ClassVar[int]
    event: _event_pb2.Event
    api: Api
    def __init__(self, event: _Optional[_Union[_event_pb2.Event, _Mapping]] = ..., api: _Optional[_Union[Api, str]] = ...) -> None: ...

class RenderResponse(_message.Message):
    __slots__ = ("requests", "warnings", "explanations")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[HttpRequest]
    warnings: _containers.RepeatedCompositeFieldContainer[_ingest_pb2.FieldWarning]
    explanations: _containers.RepeatedCompositeFieldContainer[Explanation]
    def __init__(self, requests: _Optional[_Iterable[_Union[HttpRequest, _Mapping]]] = ..., warnings: _Optional[_Iterable[_Union[_ingest_pb2.FieldWarning, _Mapping]]] = ..., explanations: _Optional[_Iterable[_Union[Explanation, _Mapping]]] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("operation", "key", "row", "origin", "field")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    operation: str
    key: str
    row: str
    origin: str
    field: str
    def __init__(self, operation: _Optional[str] = ..., key: _Optional[str] = ..., row: _Optional[str] = ..., origin: _Optional[str] = ..., field: _Optional[str] = ...) -> None: ...

class HttpRequest(_message.Message):
    __slots__ = ("method", "path", "body")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    method: str
    path: str
    body: str
    def __init__(self, method: _Optional[str] = ..., path: _Optional[str] = ..., body: _Optional[str] = ...) -> None: ...
