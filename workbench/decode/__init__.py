"""Between bytes and typed columns: decoding, inferring schemas, encoding.  Pure, no I/O."""

from workbench.decode.encode import encode_rows
from workbench.decode.formats import Choice, Format, choose_format, decoder
from workbench.decode.infer import infer_schema
from workbench.decode.json import decode_json
from workbench.decode.protocol import Decoded, Decoder
from workbench.decode.records import KeyMode, decode_records

__all__ = [
    "Choice",
    "Decoded",
    "Decoder",
    "Format",
    "KeyMode",
    "choose_format",
    "decode_json",
    "decode_records",
    "decoder",
    "encode_rows",
    "infer_schema",
]
