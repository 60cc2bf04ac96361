import datetime

from cio.sidecar.v1 import ingest_pb2 as _ingest_pb2
from cio.sidecar.v1 import mapping_pb2 as _mapping_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HoldReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOLD_REASON_UNSPECIFIED: _ClassVar[HoldReason]
    HOLD_REASON_CREDENTIALS: _ClassVar[HoldReason]
    HOLD_REASON_WRONG_ADDRESS: _ClassVar[HoldReason]
    HOLD_REASON_CIRCUIT_BREAKER: _ClassVar[HoldReason]
    HOLD_REASON_RETRY_AFTER: _ClassVar[HoldReason]
    HOLD_REASON_OUTAGE: _ClassVar[HoldReason]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_DELIVERED: _ClassVar[Outcome]
    OUTCOME_RETRIED: _ClassVar[Outcome]
    OUTCOME_DEAD_LETTERED: _ClassVar[Outcome]
HOLD_REASON_UNSPECIFIED: HoldReason
HOLD_REASON_CREDENTIALS: HoldReason
HOLD_REASON_WRONG_ADDRESS: HoldReason
HOLD_REASON_CIRCUIT_BREAKER: HoldReason
HOLD_REASON_RETRY_AFTER: HoldReason
HOLD_REASON_OUTAGE: HoldReason
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_DELIVERED: Outcome
OUTCOME_RETRIED: Outcome
OUTCOME_DEAD_LETTERED: Outcome

class GetStatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatsResponse(_message.Message):
    __slots__ = ("waiting_events", "waiting_bytes", "oldest_accepted_at", "dead_letters", "dead_letter_bytes", "requests_in_flight", "delivered", "retried", "dead_lettered", "pause", "hold", "max_waiting_events", "max_waiting_bytes", "full_because", "accepts_rejections")
    WAITING_EVENTS_FIELD_NUMBER: _ClassVar[int]
    WAITING_BYTES_FIELD_NUMBER: _ClassVar[int]
    OLDEST_ACCEPTED_AT_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_BYTES_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    RETRIED_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTERED_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    MAX_WAITING_EVENTS_FIELD_NUMBER: _ClassVar[int]
    MAX_WAITING_BYTES_FIELD_NUMBER: _ClassVar[int]
    FULL_BECAUSE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTS_REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    waiting_events: int
    waiting_bytes: int
    oldest_accepted_at: _timestamp_pb2.Timestamp
    dead_letters: int
    dead_letter_bytes: int
    requests_in_flight: int
    delivered: int
    retried: int
    dead_lettered: int
    pause: DeliveryPause
    hold: DeliveryHold
    max_waiting_events: int
    max_waiting_bytes: int
    full_because: str
    accepts_rejections: bool
    def __init__(self, waiting_events: _Optional[int] = ..., waiting_bytes: _Optional[int] = ..., oldest_accepted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., dead_letters: _Optional[int] = ..., dead_letter_bytes: _Optional[int] = ..., requests_in_flight: _Optional[int] = ..., delivered: _Optional[int] = ..., retried: _Optional[int] = ..., dead_lettered: _Optional[int] = ..., pause: _Optional[_Union[DeliveryPause, _Mapping]] = ..., hold: _Optional[_Union[DeliveryHold, _Mapping]] = ..., max_waiting_events: _Optional[int] = ..., max_waiting_bytes: _Optional[int] = ..., full_because: _Optional[str] = ..., accepts_rejections: _Optional[bool] = ...) -> None: ...

class DeliveryPause(_message.Message):
    __slots__ = ("since",)
    SINCE_FIELD_NUMBER: _ClassVar[int]
    since: _timestamp_pb2.Timestamp
    def __init__(self, since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DeliveryHold(_message.Message):
    __slots__ = ("reason", "description", "since", "failures", "next_attempt_in")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_IN_FIELD_NUMBER: _ClassVar[int]
    reason: HoldReason
    description: str
    since: _timestamp_pb2.Timestamp
    failures: int
    next_attempt_in: _duration_pb2.Duration
    def __init__(self, reason: _Optional[_Union[HoldReason, str]] = ..., description: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., failures: _Optional[int] = ..., next_attempt_in: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DeadLetterFilter(_message.Message):
    __slots__ = ("reason", "statuses", "died_after", "died_before", "message_ids", "event_types", "event_names")
    REASON_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    DIED_AFTER_FIELD_NUMBER: _ClassVar[int]
    DIED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    EVENT_NAMES_FIELD_NUMBER: _ClassVar[int]
    reason: str
    statuses: _containers.RepeatedScalarFieldContainer[int]
    died_after: _timestamp_pb2.Timestamp
    died_before: _timestamp_pb2.Timestamp
    message_ids: _containers.RepeatedScalarFieldContainer[str]
    event_types: _containers.RepeatedScalarFieldContainer[str]
    event_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, reason: _Optional[str] = ..., statuses: _Optional[_Iterable[int]] = ..., died_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., died_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., message_ids: _Optional[_Iterable[str]] = ..., event_types: _Optional[_Iterable[str]] = ..., event_names: _Optional[_Iterable[str]] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("number", "message_id", "event_type", "event_name", "reason", "status", "attempts", "accepted_at", "died_at")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_AT_FIELD_NUMBER: _ClassVar[int]
    DIED_AT_FIELD_NUMBER: _ClassVar[int]
    number: int
    message_id: str
    event_type: str
    event_name: str
    reason: str
    status: int
    attempts: int
    accepted_at: _timestamp_pb2.Timestamp
    died_at: _timestamp_pb2.Timestamp
    def __init__(self, number: _Optional[int] = ..., message_id: _Optional[str] = ..., event_type: _Optional[str] = ..., event_name: _Optional[str] = ..., reason: _Optional[str] = ..., status: _Optional[int] = ..., attempts: _Optional[int] = ..., accepted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., died_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListDeadLettersRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token", "reveal")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REVEAL_FIELD_NUMBER: _ClassVar[int]
    filter: DeadLetterFilter
    page_size: int
    page_token: str
    reveal: bool
    def __init__(self, filter: _Optional[_Union[DeadLetterFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., reveal: _Optional[bool] = ...) -> None: ...

class ListDeadLettersResponse(_message.Message):
    __slots__ = ("dead_letters", "next_page_token")
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    dead_letters: _containers.RepeatedCompositeFieldContainer[DeadLetter]
    next_page_token: str
    def __init__(self, dead_letters: _Optional[_Iterable[_Union[DeadLetter, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetDeadLetterRequest(_message.Message):
    __slots__ = ("message_id", "reveal")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    REVEAL_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    reveal: bool
    def __init__(self, message_id: _Optional[str] = ..., reveal: _Optional[bool] = ...) -> None: ...

class GetDeadLetterResponse(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: DeadLetterRecord
    def __init__(self, record: _Optional[_Union[DeadLetterRecord, _Mapping]] = ...) -> None: ...

class DeadLetterRecord(_message.Message):
    __slots__ = ("dead_letter", "event", "request", "response")
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    dead_letter: DeadLetter
    event: bytes
    request: _mapping_pb2.HttpRequest
    response: bytes
    def __init__(self, dead_letter: _Optional[_Union[DeadLetter, _Mapping]] = ..., event: _Optional[bytes] = ..., request: _Optional[_Union[_mapping_pb2.HttpRequest, _Mapping]] = ..., response: _Optional[bytes] = ...) -> None: ...

class ReplayDeadLettersRequest(_message.Message):
    __slots__ = ("filter", "all", "reveal")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    REVEAL_FIELD_NUMBER: _ClassVar[int]
    filter: DeadLetterFilter
    all: bool
    reveal: bool
    def __init__(self, filter: _Optional[_Union[DeadLetterFilter, _Mapping]] = ..., all: _Optional[bool] = ..., reveal: _Optional[bool] = ...) -> None: ...

class ReplayDeadLettersResponse(_message.Message):
    __slots__ = ("replayed", "dropped", "rejected", "rejections", "not_found")
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    NOT_FOUND_FIELD_NUMBER: _ClassVar[int]
    replayed: int
    dropped: int
    rejected: int
    rejections: _containers.RepeatedCompositeFieldContainer[RejectedReplay]
    not_found: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, replayed: _Optional[int] = ..., dropped: _Optional[int] = ..., rejected: _Optional[int] = ..., rejections: _Optional[_Iterable[_Union[RejectedReplay, _Mapping]]] = ..., not_found: _Optional[_Iterable[str]] = ...) -> None: ...

class RejectedReplay(_message.Message):
    __slots__ = ("message_id", "violations")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    violations: _containers.RepeatedCompositeFieldContainer[_ingest_pb2.FieldViolation]
    def __init__(self, message_id: _Optional[str] = ..., violations: _Optional[_Iterable[_Union[_ingest_pb2.FieldViolation, _Mapping]]] = ...) -> None: ...

class PurgeDeadLettersRequest(_message.Message):
    __slots__ = ("filter", "all")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    filter: DeadLetterFilter
    all: bool
    def __init__(self, filter: _Optional[_Union[DeadLetterFilter, _Mapping]] = ..., all: _Optional[bool] = ...) -> None: ...

class PurgeDeadLettersResponse(_message.Message):
    __slots__ = ("purged",)
    PURGED_FIELD_NUMBER: _ClassVar[int]
    purged: int
    def __init__(self, purged: _Optional[int] = ...) -> None: ...

class ExportDeadLettersRequest(_message.Message):
    __slots__ = ("filter", "reveal")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    REVEAL_FIELD_NUMBER: _ClassVar[int]
    filter: DeadLetterFilter
    reveal: bool
    def __init__(self, filter: _Optional[_Union[DeadLetterFilter, _Mapping]] = ..., reveal: _Optional[bool] = ...) -> None: ...

class ExportDeadLettersResponse(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: DeadLetterRecord
    def __init__(self, record: _Optional[_Union[DeadLetterRecord, _Mapping]] = ...) -> None: ...

class PauseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PauseResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ("accept_rejections",)
    ACCEPT_REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    accept_rejections: bool
    def __init__(self, accept_rejections: _Optional[bool] = ...) -> None: ...

class ResumeResponse(_message.Message):
    __slots__ = ("pause", "hold")
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    pause: DeliveryPause
    hold: DeliveryHold
    def __init__(self, pause: _Optional[_Union[DeliveryPause, _Mapping]] = ..., hold: _Optional[_Union[DeliveryHold, _Mapping]] = ...) -> None: ...

class WatchOutcomesRequest(_message.Message):
    __slots__ = ("reveal",)
    REVEAL_FIELD_NUMBER: _ClassVar[int]
    reveal: bool
    def __init__(self, reveal: _Optional[bool] = ...) -> None: ...

class WatchOutcomesResponse(_message.Message):
    __slots__ = ("outcomes", "dropped")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[EventOutcome]
    dropped: int
    def __init__(self, outcomes: _Optional[_Iterable[_Union[EventOutcome, _Mapping]]] = ..., dropped: _Optional[int] = ...) -> None: ...

class EventOutcome(_message.Message):
    __slots__ = ("message_id", "outcome", "status", "reason", "attempts")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    outcome: Outcome
    status: int
    reason: str
    attempts: int
    def __init__(self, message_id: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., status: _Optional[int] = ..., reason: _Optional[str] = ..., attempts: _Optional[int] = ...) -> None: ...
