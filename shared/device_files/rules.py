"""Every rule that a device file is held to: what it means, what to do, and who says so.

`docs/validation.md` lists the same for people; a test holds the two together.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import NamedTuple

__all__ = ["MAX_FINDINGS", "Finding", "Rule", "Severity", "add_finding"]

#: Warnings that are told of one line, and as many errors: a file may put a million into one.
MAX_FINDINGS = 1000


class Severity(StrEnum):
    ERROR = "error"  # the hub will refuse the line, or it cannot be told what is meant
    WARNING = "warning"  # the hub accepts it, but it is probably not what was meant
    INFO = "info"  # good to know


_BULK = "Import and export IoT Hub device identities in bulk"
_REGISTRY = "Understand the identity registry in your IoT hub"
_TWIN = "Understand and use device twins in IoT Hub"
_REST = "IoT Hub service REST API 2021-04-12, ExportImportDevice"
_SDK = "Azure IoT SDK for .NET, argument checks"
_HUB = "observed on a hub"
_JSON = "RFC 8259, JSON"
_GZIP = "RFC 1952, gzip"
_CSV = "docs/validation.md, CSV"
_FORMATS = "docs/validation.md, Formats"
_BLOB = "Understanding block blobs, append blobs, and page blobs"
_LIMIT = "docs/validation.md, Bounds"
_VALUES = "docs/validation.md, Values"
_METADATA = "Json.NET 13, metadata properties"

_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO


class Rule(Enum):
    """A rule, named by its code: stable, in kebab case. Meaning and remedy are for people."""

    def __init__(self, severity: Severity, meaning: str, remedy: str, source: str) -> None:
        self.code = self.name.lower().replace("_", "-")
        self.severity = severity
        self.meaning = meaning
        self.remedy = remedy
        self.source = source

    # The file
    FILE_EMPTY = (
        _E,
        "the file holds no device",
        "write one JSON object a line, one a device",
        _BULK,
    )
    FILE_ENCODING = (
        *(_E, "the file is not UTF-8 but UTF-16 or UTF-32"),
        *("save it as UTF-8", _BULK),
    )
    FILE_FORMAT = (
        *(_E, "the format of the file is not supported"),
        *("upload NDJSON, a JSON array or CSV, plain or gzipped", _BULK),
    )
    FILE_BOM = (
        *(_W, "the file begins with a byte order mark, which is left out"),
        *("save it as UTF-8 without a byte order mark", _BULK),
    )
    FILE_TOO_LARGE = (
        *(_E, "the file is too large"),
        *("split it, or raise MAX_FILE_BYTES", _LIMIT),
    )
    FILE_TOO_MANY_DEVICES = (
        *(_E, "the file has too many devices"),
        *("split it, or raise MAX_DEVICES", _LIMIT),
    )
    FILE_COMPRESSION = (
        *(_E, "the gzip file is damaged or not complete"),
        *("compress it anew and upload it again", _GZIP),
    )
    FILE_EXPANSION = (
        *(_E, "the gzip file expands too much"),
        *("upload it uncompressed, or raise MAX_EXPANSION", _LIMIT),
    )
    FILE_EXPORT_WITHOUT_KEYS = (
        *(_E, "the file begins with a note, as exports without keys do"),
        *("export with keys; or remove the line, and the hub generates new keys", _HUB),
    )
    FILE_FOREIGN = (
        *(_E, "the file is not a device file"),
        *("upload the devices as NDJSON, a JSON array or CSV", _BULK),
    )
    FILE_LINE_ENDS = (
        *(_E, "the lines of the file end in CR alone"),
        *("save the file with LF or CRLF line ends", _BULK),
    )
    FILE_PADDING = (
        *(_W, "the file ends in NUL bytes, as page blobs do; they are skipped"),
        *("upload it as a block blob", _BLOB),
    )
    FILE_WRAPPER = (
        *(_I, "the devices are read from the array inside the JSON object"),
        *("nothing to do", _FORMATS),
    )
    FILE_WRAPPER_MEMBERS = (
        *(_E, "the JSON object around the array of devices has other properties"),
        *("upload all devices as one JSON array", _FORMATS),
    )
    FILE_WRAPPER_COUNT = (
        *(_W, "the number in the JSON object around the array is not that of its elements"),
        *("check that the file is complete", _FORMATS),
    )
    BLANK_LINES = (_I, "blank lines were left out", "nothing to do", _BULK)
    TOO_MANY_DELETES = (
        *(_E, "the file deletes more devices than allowed without confirmation"),
        *("if that is meant, confirm it by the blob's metadata confirmDeletes", _LIMIT),
    )

    # Lines
    LINE_TOO_LONG = (
        *(_E, "the line is too long"),
        *("write each device on a line of its own, or raise MAX_LINE_BYTES", _LIMIT),
    )
    LINE_ENCODING = (_E, "the line is not UTF-8", "save the file as UTF-8", _BULK)
    LINE_NUL = (
        *(_E, "the line holds a NUL character"),
        *("remove it; the file may be damaged or not UTF-8", _JSON),
    )
    LINE_END = (
        *(_E, "the line contains line ends that are not LF or CRLF"),
        *("save the file with LF or CRLF line ends", _BULK),
    )
    LINE_INVISIBLE = (
        *(_W, "the line begins or ends with a character that is not visible; it is skipped"),
        *("remove the character", _JSON),
    )
    JSON_COMMENT = (
        *(_E, "JSON does not allow comments"),
        *("remove the comment", _JSON),
    )
    JSON_INVALID = (_E, "the line is not JSON", "write one complete JSON object", _JSON)
    JSON_NOT_AN_OBJECT = (
        *(_E, "the line is not a JSON object"),
        *("write { ... } for each device", _BULK),
    )
    JSON_TRAILING_DATA = (
        *(_E, "something follows after the JSON object"),
        *("write one object a line and nothing between them", _JSON),
    )
    JSON_PRETTY_PRINTED = (
        *(_E, "the JSON object goes on over several lines"),
        *("write it on one line, or upload all devices as one JSON array", _BULK),
    )
    JSON_NESTING = (_E, "the JSON nests more than 64 levels deep", "nest less", _TWIN)
    JSON_DUPLICATE_MEMBER = (
        *(_E, "the member occurs twice in its object"),
        *("keep one of them", _JSON),
    )
    JSON_NUMBER = (
        *(_E, "the number is NaN, infinite or too large"),
        *("write a finite number, or leave it out", _JSON),
    )
    JSON_SURROGATE = (
        *(_E, "the text holds half of a surrogate pair"),
        *("write the whole pair or the character itself", _JSON),
    )
    ARRAY_COMMA = (
        *(_E, "the elements of the array are not separated by one comma each"),
        *("write one comma between two elements and none after the last", _JSON),
    )
    ARRAY_NOT_CLOSED = (
        *(_E, "the JSON array has no end"),
        *("upload the whole file; it may have been cut off", _JSON),
    )

    # CSV
    CSV_HEADER = (_E, "the header is not right", "name each column after a member", _CSV)
    CSV_BEFORE_HEADER = (
        *(_E, "the first line is not the header"),
        *("delete the lines in front of the header", _CSV),
    )
    CSV_QUOTED_LINES = (
        *(_E, "each line is a single quoted cell"),
        *("remove the quotes around the lines", _CSV),
    )
    CSV_SEP_LINE = (
        *(_I, "the sep= line sets the separator and is skipped"),
        *("nothing to do", _CSV),
    )
    CSV_TYPE_LINE = (
        *(_I, "the #TYPE line of PowerShell is skipped"),
        *("use Export-Csv -NoTypeInformation to leave it out", _CSV),
    )
    CSV_PIPES = (_I, "the cells are separated by pipes", "nothing to do", _CSV)
    CSV_BLANKS = (
        *(_I, "each separator is followed by a blank; blanks in front of cells are removed"),
        *("nothing to do", _CSV),
    )
    CSV_COMMENT = (_E, "the row is a comment", "remove the comment", _CSV)
    CSV_COMMENTED_OUT = (
        *(_W, "the row begins with # and may be commented out, but its device is imported"),
        *("remove the row if it is a comment", _CSV),
    )
    CSV_HEADER_AGAIN = (
        *(_W, "the header occurs again; it is skipped"),
        *("remove it; check that the joined files are meant to be imported together", _CSV),
    )
    CSV_SWALLOWED_LINE = (
        *(_W, "a quoted cell contains a line that looks like a row of its own"),
        *("close the quote on its line, or double a quote inside the cell", _CSV),
    )
    CSV_CELLS = (
        *(_E, "the row has more cells than the header"),
        *("put a cell that holds the separator into double quotes", _CSV),
    )
    CSV_QUOTE = (
        *(_E, "the quotes of the row are not right"),
        *("put the whole cell into double quotes and double those inside", _CSV),
    )
    CSV_NUMBER = (_E, "the cell is not a number", "write 12, -0.5 or 1e3, or leave it empty", _CSV)
    CSV_BOOLEAN = (_E, "the cell is not a boolean", "write true or false, or leave it empty", _CSV)
    CSV_JSON = (_E, "the cell is not JSON", "write a JSON value, or leave it empty", _CSV)

    # Members
    MEMBER_TYPE = (_E, "the member is of the wrong type", "give it the type named", _REST)
    MEMBER_UNKNOWN = (
        *(_W, "the hub knows no such member and ignores it"),
        *("remove it or correct its name", _REST),
    )
    MEMBER_CASE = (
        *(_W, "the member's name is in another case; it was taken for the one that is meant"),
        *("write it as documented", _REST),
    )
    MEMBER_OF_THE_HUB = (
        *(_W, "the hub sets this member itself and ignores it here"),
        *("remove it", _REST),
    )
    MEMBER_DOTTED = (
        *(_I, "dotted names were read as the properties that they stand for"),
        *("no action needed", _VALUES),
    )
    JSON_METADATA = (
        *(_E, "the hub's JSON reader takes this property for a reference or a type"),
        *("remove it", _METADATA),
    )
    SECRET_MISPLACED = (
        *(_E, "a key, connection string or signature is in the wrong place; it is not shown"),
        *("put keys in authentication.symmetricKey, and rotate the key if others saw it", _VALUES),
    )
    VALUE_DAMAGED = (
        *(_W, "a tool seems to have damaged the value"),
        *("correct the value at its source and write the file again", _VALUES),
    )
    VALUE_CASE = (
        *(_W, "the value is in another case; it was taken for the one that is meant"),
        *("write it as documented", _REST),
    )
    ID_MISSING = (_E, "id is missing", "give the device's id", _REST)
    ID_LENGTH = (_E, "id is not 1 to 128 characters long", "shorten it or fill it in", _REGISTRY)
    ID_CHARACTERS = (
        *(_E, "id holds a character that is not allowed"),
        *("use A-Z a-z 0-9 - . + % _ # * ? ! ( ) , : ; = @ $ '", _REGISTRY),
    )
    ID_UNUSUAL = (
        *(_W, "id holds a character that not all of IoT Hub or its device SDKs take"),
        *("avoid : ; + #", _REGISTRY),
    )
    ID_DUPLICATE = (
        *(_E, "the device occurs twice in the file, and the hub would take the two in any order"),
        *("keep one of them", _BULK),
    )
    MODULE_ID_LENGTH = (
        *(_E, "moduleId is not 1 to 128 characters long"),
        *("shorten it, or leave it out for a device", _REGISTRY),
    )
    MODULE_ID_CHARACTERS = (
        *(_E, "moduleId holds a character that is not allowed"),
        *("use A-Z a-z 0-9 - . + % _ # * ? ! ( ) , : ; = @ $ '", _REGISTRY),
    )
    MODULE_ID_UNUSUAL = (
        *(_W, "moduleId holds a character that not all of IoT Hub or its device SDKs take"),
        *("avoid : ; + #", _REGISTRY),
    )
    MODULE_ID_RESERVED = (
        *(_E, "modules whose names begin with $ belong to the hub and cannot be imported"),
        *("remove the line; the hub makes them for each edge device", _HUB),
    )
    SYSTEM_MODULES = (
        *(_I, "lines of $edgeAgent and $edgeHub were left out: hubs export but do not import them"),
        *("no action needed; the hub creates both for each edge device", _HUB),
    )
    MODULE_WITHOUT_DEVICE = (
        *(_W, "no earlier line of the file is the module's device"),
        *("make sure that the hub has the device already, or put its line first", _BULK),
    )
    STATUS_MISSING = (
        *(_E, "status is missing, which every line needs, also one that deletes"),
        *("add enabled or disabled", _HUB),
    )
    STATUS_INVALID = (
        _E,
        "status is neither enabled nor disabled",
        "write enabled or disabled",
        _REST,
    )
    STATUS_REASON_LENGTH = (
        *(_E, "statusReason is longer than 128 characters"),
        *("shorten it", _REGISTRY),
    )
    IMPORT_MODE_INVALID = (
        *(_E, "importMode is not a value that the hub knows"),
        *(
            "write createOrUpdate, create, update, updateIfMatchETag, "
            "createOrUpdateIfMatchETag, delete, deleteIfMatchETag, updateTwin or "
            "updateTwinIfMatchETag, or leave it out for createOrUpdate",
            _BULK,
        ),
    )
    ETAG_MISSING = (
        *(_E, "the import mode compares the device's eTag, but the line has none"),
        *("add the eTag of an export, or use the mode without IfMatchETag", _BULK),
    )
    TWIN_ETAG_MISSING = (
        *(_E, "the import mode compares the twin's ETag, but the line has no twinETag"),
        *("add the twinETag of an export, or use updateTwin", _BULK),
    )
    TWIN_MISSING = (
        *(_E, "the line is to update a twin, but has neither tags nor properties.desired"),
        *("add what is to change, or remove the line", _BULK),
    )

    # Authentication
    AUTHENTICATION_MISSING = (
        *(_W, "without keys or certificates a device that exists gets new keys"),
        *("give authentication; for new devices alone use importMode create", _BULK),
    )
    CREDENTIALS_MISPLACED = (
        *(_E, "the hub ignores keys and certificates here and would set other keys"),
        *("move them to the property named", _REST),
    )
    AUTHENTICATION_TYPE_INVALID = (
        *(_E, "authentication.type is not a value that the hub knows"),
        *("write sas, selfSigned or certificateAuthority", _REST),
    )
    AUTHENTICATION_TYPE_NONE = (
        *(_E, "the hub refuses devices of the type none"),
        *("write sas, selfSigned or certificateAuthority", _HUB),
    )
    MODULE_AUTHENTICATION_NONE = (
        *(_W, "the hub gives modules of the type none keys, as if it were sas"),
        *("write sas", _HUB),
    )
    AUTHENTICATION_CONFLICT = (
        *(_E, "keys, thumbprints and authentication.type contradict each other"),
        *("keep keys with sas, thumbprints with selfSigned, neither otherwise", _SDK),
    )
    KEY_MISSING = (
        *(_E, "one of the two symmetric keys is missing"),
        *("give both, or neither to have them generated", _SDK),
    )
    KEY_ENCODING = (_E, "the key is not base64", "write it in standard base64 with padding", _SDK)
    KEY_LENGTH = (
        *(_E, "the key is not 16 to 64 bytes long, base64 decoded"),
        *("use a key of 32 bytes", _SDK),
    )
    THUMBPRINT_INVALID = (
        *(_E, "the thumbprint is not 40 (SHA-1) or 64 (SHA-256) hexadecimal digits"),
        *("write the digits alone, without colons, blanks or other signs", _SDK),
    )
    THUMBPRINT_LENGTHS = (
        *(_E, "the two thumbprints are of different lengths"),
        *("use SHA-1 for both or SHA-256 for both", _SDK),
    )
    THUMBPRINT_PRIMARY_MISSING = (
        *(_E, "there is a secondary thumbprint, but no primary one"),
        *("give the primary one", _SDK),
    )
    THUMBPRINT_MISSING = (
        *(_W, "a selfSigned device without a thumbprint can never connect"),
        *("give the primary thumbprint", _HUB),
    )

    # Edge
    DEVICE_SCOPE_FORM = (
        *(_W, "the scope does not look like one that a hub made"),
        *("copy the parent's, ms-azure-iot-edge://<id>-<number>, or leave it out", _REST),
    )
    PARENT_SCOPES_COUNT = (_E, "parentScopes names more than one parent", "keep one", _REST)
    PARENT_SCOPES_IGNORED = (
        *(_W, "the hub ignores parentScopes of a device that is no edge device"),
        *("name its parent in deviceScope", _HUB),
    )

    # Twins
    TWIN_KEY_CHARACTERS = (
        *(_E, "the name holds a character that twins do not allow"),
        *("avoid . $ # blanks and control characters", _TWIN),
    )
    TWIN_KEY_LENGTH = (_E, "the name is longer than 1,024 bytes", "shorten it", _TWIN)
    TWIN_VALUE_LENGTH = (_E, "the text is longer than 4,096 bytes", "shorten it", _TWIN)
    TWIN_INTEGER_RANGE = (
        *(_E, "the integer is not within -4503599627370496 to 4503599627370495"),
        *("write it as a text, or make it smaller", _TWIN),
    )
    TWIN_NULL_IN_ARRAY = (_E, "the array holds null", "remove it", _HUB)
    TWIN_NULL = (
        *(_W, "null removes a property of a twin that exists; on other lines it says nothing"),
        *("leave the property out, or use importMode updateTwin", _TWIN),
    )
    TWIN_DEPTH = (_E, "the twin nests more than 10 levels deep", "nest less", _TWIN)
    TWIN_TAGS_SIZE = (_E, "tags are larger than 8 KB", "shorten them", _TWIN)
    TWIN_DESIRED_SIZE = (_E, "properties.desired are larger than 32 KB", "shorten them", _TWIN)


class Finding(NamedTuple):
    """A broken rule within a line."""

    #: Dotted path of the member; "" for the line as a whole.
    field: str
    rule: Rule
    #: What the rule's own words leave open; never what the file says.
    detail: str = ""


def add_finding(findings: list[Finding], finding: Finding) -> None:
    """Add to the findings of a line, unless there are many: but no warnings hide an error."""
    more = finding.rule.severity is Severity.ERROR
    if len(findings) < MAX_FINDINGS * (1 + more):
        findings.append(finding)
