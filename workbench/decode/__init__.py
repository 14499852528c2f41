"""Between bytes and typed columns: decoding, inferring schemas, encoding.

Pure but for `registry`, which asks for schemas.
"""

from workbench.decode.choice import Choice, Settled, choose_format, settle
from workbench.decode.codebook import Codebook
from workbench.decode.encode import encode_rows
from workbench.decode.formats import ASKED as DECODERS
from workbench.decode.formats import PLAIN as PLAIN_FORMATS
from workbench.decode.formats import Format, decoder
from workbench.decode.infer import infer_schema
from workbench.decode.json import decode_json
from workbench.decode.protocol import Decoded, Decoder
from workbench.decode.records import KeyMode, decode_records
from workbench.decode.registries import open_registry
from workbench.decode.registry import Registry

__all__ = [
    "DECODERS",
    "PLAIN_FORMATS",
    "Choice",
    "Codebook",
    "Decoded",
    "Decoder",
    "Format",
    "KeyMode",
    "Registry",
    "Settled",
    "choose_format",
    "decode_json",
    "decode_records",
    "decoder",
    "encode_rows",
    "infer_schema",
    "open_registry",
    "settle",
]
