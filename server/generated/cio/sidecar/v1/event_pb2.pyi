from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Event(_message.Message):
    __slots__ = ("message_id", "timestamp", "original_timestamp", "user_id", "anonymous_id", "context", "identify", "track", "page", "screen", "group", "alias")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    IDENTIFY_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    SCREEN_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    timestamp: str
    original_timestamp: str
    user_id: str
    anonymous_id: str
    context: Object
    identify: Identify
    track: Track
    page: Page
    screen: Screen
    group: Group
    alias: Alias
    def __init__(self, message_id: _Optional[str] = ..., timestamp: _Optional[str] = ..., original_timestamp: _Optional[str] = ..., user_id: _Optional[str] = ..., anonymous_id: _Optional[str] = ..., context: _Optional[_Union[Object, _Mapping]] = ..., identify: _Optional[_Union[Identify, _Mapping]] = ..., track: _Optional[_Union[Track, _Mapping]] = ..., page: _Optional[_Union[Page, _Mapping]] = ..., screen: _Optional[_Union[Screen, _Mapping]] = ..., group: _Optional[_Union[Group, _Mapping]] = ..., alias: _Optional[_Union[Alias, _Mapping]] = ...) -> None: ...

class Object(_message.Message):
    __slots__ = ("struct", "json")
    STRUCT_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    struct: _struct_pb2.Struct
    json: bytes
    def __init__(self, struct: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., json: _Optional[bytes] = ...) -> None: ...

class Identify(_message.Message):
    __slots__ = ("traits", "group_id")
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    traits: Object
    group_id: str
    def __init__(self, traits: _Optional[_Union[Object, _Mapping]] = ..., group_id: _Optional[str] = ...) -> None: ...

class Track(_message.Message):
    __slots__ = ("event", "properties")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    event: str
    properties: Object
    def __init__(self, event: _Optional[str] = ..., properties: _Optional[_Union[Object, _Mapping]] = ...) -> None: ...

class Page(_message.Message):
    __slots__ = ("name", "category", "properties")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    category: str
    properties: Object
    def __init__(self, name: _Optional[str] = ..., category: _Optional[str] = ..., properties: _Optional[_Union[Object, _Mapping]] = ...) -> None: ...

class Screen(_message.Message):
    __slots__ = ("name", "category", "properties")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    category: str
    properties: Object
    def __init__(self, name: _Optional[str] = ..., category: _Optional[str] = ..., properties: _Optional[_Union[Object, _Mapping]] = ...) -> None: ...

class Group(_message.Message):
    __slots__ = ("group_id", "traits")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    group_id: str
    traits: Object
    def __init__(self, group_id: _Optional[str] = ..., traits: _Optional[_Union[Object, _Mapping]] = ...) -> None: ...

class Alias(_message.Message):
    __slots__ = ("previous_id",)
    PREVIOUS_ID_FIELD_NUMBER: _ClassVar[int]
    previous_id: str
    def __init__(self, previous_id: _Optional[str] = ...) -> None: ...
