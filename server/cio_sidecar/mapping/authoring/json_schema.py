"""The JSON Schema of table files, by which editors complete and check them."""

from typing import Any

from cio_sidecar.mapping.authoring.file_format import TableFile
from cio_sidecar.mapping.event import EVENT_TYPES
from cio_sidecar.mapping.running.transforms import TRANSFORMS
from cio_sidecar.operations import OPERATIONS


def table_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of a table file.

    It knows the keys, the transforms and the operations. What only reading the file can tell
    (expressions, other tables, rows that don't fit), ``cio-sidecar tables check`` tells.
    """
    schema = TableFile.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    row, entry = definitions["RowFile"], definitions["InputFile"]
    transforms = {"enum": list(TRANSFORMS)}
    row["properties"]["apply"]["items"] = transforms
    entry["properties"]["apply"]["items"] = transforms
    entry["oneOf"] = [{"required": [source]} for source in ("path", "value", "expr")]
    entry["properties"]["expr"]["minLength"] = 1
    one = {"oneOf": [{"type": "string"}, {"$ref": "#/$defs/InputFile"}]}
    row["properties"]["from"] = {
        "description": row["properties"]["from"]["description"],
        "oneOf": [*one["oneOf"], {"type": "array", "items": one, "minItems": 1}],
    }
    stays = {"properties": {"remove": {"const": False}}}
    row["oneOf"] = [
        *({"required": [source], **stays} for source in ("from", "value", "expr")),
        {"required": ["remove"], "properties": {"remove": {"const": True}}, "maxProperties": 2},
    ]
    properties = schema["properties"]
    properties["events"]["items"] = {"enum": list(EVENT_TYPES)}
    properties["operation"] = {
        "description": properties["operation"]["description"],
        "enum": list(OPERATIONS),
    }
    properties["also"] = {
        "description": properties["also"]["description"],
        "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A mapping table of cio-sidecar",
        **{key: value for key, value in schema.items() if key != "title"},
    }
