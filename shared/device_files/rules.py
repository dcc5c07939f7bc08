"""The rules for device files: severity, source, meaning and remedy of each.

`docs/validation.md` has the same table; `tests/device_files/test_rules.py` compares the two.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import NamedTuple

__all__ = ["MAX_FINDINGS", "Finding", "Rule", "Severity", "add_finding"]

#: Warnings reported per line, and as many errors: a file may put a million into one line.
MAX_FINDINGS = 1000


class Severity(StrEnum):
    ERROR = "error"  # the hub rejects the line, or its intent is ambiguous
    WARNING = "warning"  # the hub accepts the line, but it is probably not what was intended
    INFO = "info"


_BULK = "Import and export IoT Hub device identities in bulk"
_REGISTRY = "Understand the identity registry in your IoT hub"
_TWIN = "Understand and use device twins in IoT Hub"
_REST = "IoT Hub service REST API 2021-04-12, ExportImportDevice"
_SDK = "Azure IoT SDK for .NET, argument checks"
_HUB = "observed on a hub"
_JSON = "RFC 8259, JSON"
_GZIP = "RFC 1952, gzip"
_CSV = "docs/validation.md, CSV"
_MAPPINGS = "docs/validation.md, Files of others"
_FORMATS = "docs/validation.md, Formats"
_BLOB = "Understanding block blobs, append blobs, and page blobs"
_LIMITS = "docs/validation.md, Limits"
_VALUES = "docs/validation.md, Values"
_METADATA = "Json.NET 13, metadata properties"

_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO


class Rule(Enum):
    """A rule. Its name in kebab case is its code, which never changes."""

    def __init__(self, severity: Severity, source: str, meaning: str, remedy: str) -> None:
        self.code = self.name.lower().replace("_", "-")
        self.severity = severity
        self.source = source
        self.meaning = meaning
        self.remedy = remedy

    # fmt: off
    # The file
    FILE_EMPTY = (_E, _BULK, "the file contains no devices",
                  "write one JSON object per device, each on its own line; in CSV, one row below "
                  "the header")
    FILE_ENCODING = (_E, _BULK, "the file is UTF-16 or UTF-32, not UTF-8", "save it as UTF-8")
    FILE_FORMAT = (_E, _BULK, "the file format is not supported",
                   "upload NDJSON, a JSON array or CSV, optionally gzipped")
    FILE_BOM = (_W, _BULK, "the file begins with a byte order mark, which is skipped",
                "save it as UTF-8 without a byte order mark")
    FILE_TOO_LARGE = (_E, _LIMITS, "the file is too large", "split it, or raise MAX_FILE_BYTES")
    FILE_TOO_MANY_DEVICES = (_E, _LIMITS, "the file contains too many devices",
                             "split it, or raise MAX_DEVICES")
    FILE_COMPRESSION = (_E, _GZIP, "the gzip file is corrupt or incomplete",
                        "compress the file again and upload it again")
    FILE_EXPANSION = (_E, _LIMITS, "the gzip file expands too much",
                      "upload it uncompressed, or raise MAX_EXPANSION")
    FILE_EXPORT_WITHOUT_KEYS = (_E, _HUB, "the first line marks an export without keys",
                                "export with keys, or delete the line to generate new keys")
    FILE_FOREIGN = (_E, _BULK, "the file is not a device file",
                    "upload the devices as NDJSON, a JSON array or CSV")
    FILE_LINE_ENDS = (_E, _BULK, "the lines of the file end in CR only",
                      "save the file with LF or CRLF line endings")
    FILE_PADDING = (_W, _BLOB, "the file ends in NUL bytes, which are skipped",
                    "upload it as a block blob, not a page blob")
    MAPPING_INVALID = (_E, _MAPPINGS, "the mapping is invalid",
                       "correct it; the dashboard and device-importer check --mapping FILE "
                       "check it before the upload")
    FILE_WRAPPER = (_I, _FORMATS, "the devices are read from the array in the JSON object",
                    "no action needed")
    FILE_WRAPPER_MEMBERS = (_E, _FORMATS,
                            "the JSON object around the array of devices has other properties",
                            "upload all devices as one JSON array")
    FILE_WRAPPER_COUNT = (_W, _FORMATS,
                          "the count in the JSON object does not match the number of devices",
                          "check that the file is complete")
    BLANK_LINES = (_I, _BULK, "blank lines were skipped", "no action needed")
    TOO_MANY_DELETES = (_E, _LIMITS,
                        "the file deletes more devices than allowed without confirmation",
                        "to confirm, set the blob's metadata confirmDeletes")
    DELETES_TO_APPROVE = (_W, _LIMITS,
                          "the file deletes more devices than allowed without approval",
                          "approve the import when it is held")

    # Lines
    LINE_TOO_LONG = (_E, _LIMITS, "the line is too long",
                     "write each device on its own line, or raise MAX_LINE_BYTES")
    LINE_ENCODING = (_E, _BULK, "the line is not valid UTF-8", "save the file as UTF-8")
    LINE_NUL = (_E, _JSON, "the line contains a NUL character",
                "remove it; the file may be corrupt or not UTF-8")
    LINE_END = (_E, _BULK, "the line contains line endings other than LF and CRLF",
                "save the file with LF or CRLF line endings")
    LINE_INVISIBLE = (_W, _JSON,
                      "the line begins or ends with an invisible character, which is skipped",
                      "remove the character")
    JSON_COMMENT = (_E, _JSON, "JSON does not allow comments", "remove the comment")
    JSON_INVALID = (_E, _JSON, "the line is not valid JSON", "write one complete JSON object")
    JSON_NOT_AN_OBJECT = (_E, _BULK, "the line is not a JSON object",
                          "write { ... } for each device")
    JSON_TRAILING_DATA = (_E, _JSON, "unexpected data after the JSON object",
                          "write one object per line and nothing else")
    JSON_PRETTY_PRINTED = (_E, _BULK, "the JSON object spans several lines",
                           "write it on one line, or upload all devices as one JSON array")
    JSON_NESTING = (_E, _TWIN, "the JSON is nested more than 64 levels deep",
                    "reduce the nesting")
    JSON_DUPLICATE_MEMBER = (_E, _JSON, "the property occurs twice in its object",
                             "keep one of the two")
    JSON_NUMBER = (_E, _JSON, "the number is NaN, infinite or too large",
                   "write a finite number, or omit the property")
    JSON_SURROGATE = (_E, _JSON, "the string contains half of a surrogate pair",
                      "write the whole pair or the character itself")
    ARRAY_COMMA = (_E, _JSON, "the elements of the array are not separated by exactly one comma",
                   "write one comma between two elements and none after the last")
    ARRAY_NOT_CLOSED = (_E, _JSON, "the JSON array is not closed",
                        "upload the whole file; it may be truncated")

    # CSV
    CSV_HEADER = (_E, _CSV, "the header is invalid",
                  "name each column after a property, or map the columns in a _mapping.json of the "
                  "folder; device-importer template --from FILE writes one")
    CSV_COLUMN_UNMAPPED = (_E, _MAPPINGS,
                           "the column is neither a property nor named in the mapping",
                           "add it to columns or ignore in the mapping")
    CSV_COLUMN_MISSING = (_E, _MAPPINGS, "the file does not have a column of the mapping",
                          "add the column to the file, or remove it from the mapping")
    CSV_COLUMN_REPEATED = (_E, _MAPPINGS, "the file has a column of the mapping more than once",
                           "keep or rename one of the columns")
    CSV_EMPTY_CELL = (_E, _MAPPINGS, "a cell that the value is made of is empty or blank",
                      "fill it in")
    CSV_BEFORE_HEADER = (_E, _CSV, "the first line is not the header",
                         "delete the lines before the header")
    CSV_QUOTED_LINES = (_E, _CSV, "each line is a single quoted cell",
                        "remove the quotes around the lines")
    CSV_SEP_LINE = (_I, _CSV, "the sep= line sets the separator and is skipped",
                    "no action needed")
    CSV_TYPE_LINE = (_I, _CSV, "the #TYPE line of PowerShell is skipped",
                     "use Export-Csv -NoTypeInformation to omit it")
    CSV_PIPES = (_I, _CSV, "the cells are separated by pipes", "no action needed")
    CSV_BLANKS = (_I, _CSV, "each separator is followed by a space; leading spaces are removed",
                  "no action needed")
    CSV_COMMENT = (_E, _CSV, "the row is a comment", "remove the comment")
    CSV_COMMENTED_OUT = (_W, _CSV, "the row begins with #, but its device is imported",
                         "remove the row if it is a comment")
    CSV_HEADER_AGAIN = (_W, _CSV, "the header occurs again; it is skipped",
                        "remove it, and check that the joined files belong together")
    CSV_SWALLOWED_LINE = (_W, _CSV, "a quoted cell contains a line that looks like a row",
                          "close the quote on its line, or double a quote inside the cell")
    CSV_CELLS = (_E, _CSV, "the row has more cells than the header",
                 "enclose cells that contain the separator in double quotes")
    CSV_QUOTE = (_E, _CSV, "the row is not quoted correctly",
                 "enclose the whole cell in double quotes and double the quotes inside")
    CSV_NUMBER = (_E, _CSV, "the cell is not a number",
                  "write a number such as 12, -0.5 or 1e3, or leave it empty")
    CSV_BOOLEAN = (_E, _CSV, "the cell is not a boolean", "write true or false, or leave it empty")
    CSV_JSON = (_E, _CSV, "the cell is not valid JSON", "write a JSON value, or leave it empty")

    # Properties
    MEMBER_TYPE = (_E, _REST, "the property has the wrong type", "use the type shown")
    MEMBER_UNKNOWN = (_W, _REST, "unknown property; the hub ignores it",
                      "remove it or correct its name")
    MEMBER_CASE = (_W, _REST, "wrong case in the property name; read as the documented name",
                   "write the name as documented")
    MEMBER_OF_THE_HUB = (_W, _REST, "the hub sets this property itself and ignores it here",
                         "remove it")
    MEMBER_DOTTED = (_I, _VALUES, "dotted names were read as paths of nested properties",
                     "no action needed")
    JSON_METADATA = (_E, _METADATA,
                     "the hub's JSON reader treats this property as a reference or type",
                     "remove it")
    SECRET_MISPLACED = (_E, _VALUES,
                        "a key, connection string or signature is in the wrong place (not shown)",
                        "move it to authentication.symmetricKey; rotate it if it was exposed")
    VALUE_DAMAGED = (_W, _VALUES, "a tool has probably corrupted the value",
                     "correct the value at its source and write the file again")
    VALUE_CASE = (_W, _REST, "wrong case in the value; read as the documented value",
                  "write the value as documented")
    ID_MISSING = (_E, _REST, "id is required", "add the id of the device")
    ID_LENGTH = (_E, _REGISTRY, "id must be 1 to 128 characters long", "shorten it or fill it in")
    ID_CHARACTERS = (_E, _REGISTRY, "id contains a character that is not allowed",
                     "use A-Z a-z 0-9 - . + % _ # * ? ! ( ) , : ; = @ $ '")
    ID_UNUSUAL = (_W, _REGISTRY, "id contains a character that some device SDKs do not support",
                  "avoid : ; + #")
    ID_DUPLICATE = (_E, _BULK,
                    "the device occurs twice; the hub applies the two lines in no defined order",
                    "keep one of the two lines")
    MODULE_ID_LENGTH = (_E, _REGISTRY, "moduleId must be 1 to 128 characters long",
                        "shorten it, or omit it for a device")
    MODULE_ID_CHARACTERS = (_E, _REGISTRY, "moduleId contains a character that is not allowed",
                            "use A-Z a-z 0-9 - . + % _ # * ? ! ( ) , : ; = @ $ '")
    MODULE_ID_UNUSUAL = (_W, _REGISTRY,
                         "moduleId contains a character that some device SDKs do not support",
                         "avoid : ; + #")
    MODULE_ID_RESERVED = (_E, _HUB,
                          "modules whose names begin with $ are reserved and cannot be imported",
                          "remove the line; the hub creates them for each edge device")
    SYSTEM_MODULES = (_I, _HUB, "lines of $edgeAgent and $edgeHub were skipped",
                      "no action needed; the hub creates both for each edge device")
    MODULE_WITHOUT_DEVICE = (_W, _BULK, "no earlier line creates the device of the module",
                             "put the line of the device first, unless the hub has the device")
    STATUS_MISSING = (_E, _HUB, "status is required on every line, including deletes",
                      "add enabled or disabled")
    STATUS_INVALID = (_E, _REST, "status must be enabled or disabled",
                      "write enabled or disabled")
    STATUS_REASON_LENGTH = (_E, _REGISTRY, "statusReason is longer than 128 characters",
                            "shorten it")
    IMPORT_MODE_INVALID = (_E, _BULK, "unknown importMode",
                           "use create, update, updateIfMatchETag, createOrUpdateIfMatchETag, "
                           "delete, deleteIfMatchETag, updateTwin or updateTwinIfMatchETag, "
                           "or omit it for createOrUpdate")
    ETAG_MISSING = (_E, _BULK, "eTag is required by this importMode",
                    "add the eTag of an export, or use a mode without IfMatchETag")
    TWIN_ETAG_MISSING = (_E, _BULK, "twinETag is required by this importMode",
                         "add the twinETag of an export, or use updateTwin")
    TWIN_MISSING = (_E, _BULK, "tags or properties.desired are required to update a twin",
                    "add what is to change, or remove the line")

    # Authentication
    AUTHENTICATION_MISSING = (_W, _BULK,
                              "no valid key or certificate is given: the hub generates keys, which "
                              "replace those of an existing device",
                              "add authentication, or use importMode create for new devices")
    CREDENTIALS_MISPLACED = (_E, _REST,
                             "the hub ignores keys and certificates here and sets other keys",
                             "move them to the property shown")
    AUTHENTICATION_TYPE_INVALID = (_E, _REST, "unknown authentication.type",
                                   "use sas, selfSigned or certificateAuthority")
    AUTHENTICATION_TYPE_NONE = (_E, _HUB, "the hub rejects devices of type none",
                                "use sas, selfSigned or certificateAuthority")
    MODULE_AUTHENTICATION_NONE = (_W, _HUB, "the hub treats modules of type none as sas",
                                  "use sas")
    AUTHENTICATION_CONFLICT = (_E, _SDK,
                               "keys, thumbprints and authentication.type contradict each other",
                               "use keys with sas, thumbprints with selfSigned, otherwise neither")
    KEY_MISSING = (_E, _SDK, "one of the two symmetric keys is missing",
                   "give both, or neither to have them generated")
    KEY_ENCODING = (_E, _SDK, "the key is not base64", "use standard base64 with padding")
    KEY_LENGTH = (_E, _SDK, "the key must be 16 to 64 bytes long after decoding",
                  "use a key of 32 bytes")
    THUMBPRINT_INVALID = (_E, _SDK,
                          "the thumbprint must be 40 (SHA-1) or 64 (SHA-256) hexadecimal digits",
                          "write digits only; in CSV, colons, hyphens or spaces may separate the "
                          "bytes")
    THUMBPRINT_LENGTHS = (_E, _SDK, "the two thumbprints have different lengths",
                          "use SHA-1 for both or SHA-256 for both")
    THUMBPRINT_PRIMARY_MISSING = (_E, _SDK,
                                  "a secondary thumbprint is given without a primary thumbprint",
                                  "add the primary thumbprint")
    THUMBPRINT_MISSING = (_W, _HUB, "a selfSigned device without a thumbprint cannot connect",
                          "add the primary thumbprint")

    # Edge devices
    DEVICE_SCOPE_FORM = (_W, _REST, "the scope does not have the form that hubs use",
                         "copy the parent's, ms-azure-iot-edge://<id>-<number>, or omit it")
    PARENT_SCOPES_COUNT = (_E, _REST, "parentScopes contains more than one parent", "keep one")
    PARENT_SCOPES_IGNORED = (_W, _HUB, "the hub ignores parentScopes unless iotEdge is true",
                             "write the parent to deviceScope")

    # Twins
    TWIN_KEY_CHARACTERS = (_E, _TWIN, "the name contains a character that twins do not allow",
                           "avoid . $ # spaces and control characters")
    TWIN_KEY_LENGTH = (_E, _TWIN, "the name is longer than 1,024 bytes", "shorten it")
    TWIN_VALUE_LENGTH = (_E, _TWIN, "the string is longer than 4,096 bytes", "shorten it")
    TWIN_INTEGER_RANGE = (_E, _TWIN,
                          "the integer is not within -4503599627370496 to 4503599627370495",
                          "write it as a string, or use a smaller number")
    TWIN_NULL_IN_ARRAY = (_E, _HUB, "the array contains null", "remove it")
    TWIN_NULL = (_W, _TWIN,
                 "null removes the property from an existing twin and otherwise has no effect",
                 "omit the property, or use importMode updateTwin")
    TWIN_DEPTH = (_E, _TWIN, "the twin is nested more than 10 levels deep", "reduce the nesting")
    TWIN_TAGS_SIZE = (_E, _TWIN, "tags are larger than 8 KB", "shorten them")
    TWIN_DESIRED_SIZE = (_E, _TWIN, "properties.desired is larger than 32 KB", "shorten it")
    # fmt: on


class Finding(NamedTuple):
    """A broken rule within a line."""

    #: Dotted path of the property; "" for the line as a whole.
    field: str
    rule: Rule
    #: Details of the case; never content of the file.
    detail: str = ""


def add_finding(findings: list[Finding], finding: Finding) -> None:
    """Add to the findings of a line, up to the limit; warnings never displace errors."""
    if len(findings) < MAX_FINDINGS * (1 + (finding.rule.severity is Severity.ERROR)):
        findings.append(finding)
