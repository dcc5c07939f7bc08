"""Strings that were not intended: corrupted by a tool, or a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = [
    *("DAMAGED", "DAMAGED_IDS", "DAMAGED_STARTS"),
    *("damage", "damage_of_id", "holds_key", "holds_secret", "is_secret", "is_suspicious"),
]

_MONTH = (
    "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mrz|Mai|Okt|Dez"
    "|janv|avr|juin|juil|sept|ene|abr|dic)"
)
_EXPONENT = "wrote a long number with an exponent; store such values as text"
_AS_TEXT = "format the column as text before entering values"
#: What a tool writes in place of a value, and how to avoid it. Each pattern matches whole strings
#: and their JSON: a quantified group keeps characters of several bytes together, and a run of
#: backslashes matches twice as many as well.
_DAMAGES = {
    r"@\{[^\x00-\x1f]*\}"
    r"|System\.(?:Object|String|Byte|Char|Boolean|Double|Decimal|DateTime|U?Int(?:16|32|64))(?:\[\])?"
    r"|System\.(?:Collections|Management\.Automation|Data|Xml|Linq|Text|Dynamic)"
    r"\.[A-Za-z0-9_.`+,\[\] ]+"
    r"|Microsoft\.Azure\.Commands\.[A-Za-z0-9_.]+": (
        "PowerShell wrote a type instead of the value; use ConvertTo-Json -Depth 20"
    ),
    r"Newtonsoft\.Json\.Linq\.J[A-Za-z]+": (
        "Json.NET wrote a type instead of the value; use JsonConvert.SerializeObject"
    ),
    r"\[object [A-Z][a-z]+\]|undefined": (
        "JavaScript converted an object to a string; use JSON.stringify"
    ),
    r"(?:\[L)?(?:javax?|com|org)(?:\.[A-Za-z0-9_$]+)+;?@[0-9a-f]{5,8}|\[[BCDFIJSZ]@[0-9a-f]{5,8}": (
        "Java wrote the name of an object instead of its value; use a JSON library"
    ),
    r"<[A-Za-z_][A-Za-z0-9_.]* object at 0x[0-9A-Fa-f]+>": (
        "Python wrote the name of an object instead of its value; use json.dumps"
    ),
    # In English, German, French, Spanish, Italian, Portuguese and Dutch.
    r"#(?:REF!|N/A|NAME\?|VALUE!|DIV/0!|NUM!|NULL!|SPILL!|CALC!|FIELD!|BLOCKED!|GETTING_DATA|ERROR!"
    r"|BEZUG!?|NV|WERT!?|ZAHL!?|ÜBERLAUF!|NOM\?|VALEUR!|NOMBRE!|NUL!|PROPAGATION!"
    r"|¡REF!|¡VALOR!|¡DIV/0!|¡NUM!|¡NULO!|¿NOMBRE\?|RIF!|N/D|NOME\?|VALORE!|NULLO!"
    r"|VALOR!|NÚM!|NULO!|VERW!|N/B|NAAM\?|WAARDE!|DEEL/0!|GETAL!|LEEG!)|#{3,}": (
        "a spreadsheet wrote an error instead of the value; correct its formula or widen its column"
    ),
    r"-?[0-9](?:[.,][0-9]+)?E\+[0-9]{1,3}": f"a spreadsheet rounded a long number; {_AS_TEXT}",
    r"-?[0-9](?:[.,][0-9]+)?e\+[0-9]{1,3}": f"pandas, R or JavaScript {_EXPONENT}",
    # At least four digits: shorter ones may be intended.
    r"-?[0-9]\.[0-9]{3,}E[0-9]{1,3}": f"Java {_EXPONENT}",
    r"NULL|null|\(null\)|<null>|nan|NaN|NaT|None|<NA>|nil|<nil>|\\+N": (
        "an export wrote a missing value as a string; leave it empty"
    ),
}
#: For ids only: other strings may be intended.
_DAMAGES_OF_IDS = {
    rf"[0-9]{{1,2}}(?:-|\. ?){_MONTH}(?:[- ](?:[0-9]{{2}}){{1,2}})?|{_MONTH}-[0-9]{{2,4}}"
    r"|[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}": f"a spreadsheet read the id as a date; {_AS_TEXT}",
    r"[0-9]+\.0": "a spreadsheet or pandas read the id as a number; read the column as text",
    r"TRUE|FALSE|WAHR|FALSCH|VRAI|FAUX": f"a spreadsheet read the id as a boolean; {_AS_TEXT}",
}
#: A member of a connection string or of a shared access signature.
_NAMED_SECRET = re.compile(
    r"(?:^|[;?& ])(?:SharedAccessSignature\s|(?:SharedAccessKey|AccountKey|sig)\s*=\s*[\w+/%-]{8}"
    r"|key\s*=\s*[\w+/%-]{20})",
    re.IGNORECASE,
)
DAMAGED = "|".join(_DAMAGES)
DAMAGED_IDS = "|".join(_DAMAGES_OF_IDS)
#: The start of a damaged string. It consumes the first character, by which most others fail.
DAMAGED_STARTS = (
    r"[-#(0-9<@MNS\[\\cjnou](?<=(?=[-#(<@\\]|[0-9][.,]?[0-9]*[Ee]|\[[oLBCDFIJSZ]"
    r"|Sys|Mic|New|NUL|Na[NT]|None|nul|nan|nil|und|java|com\.|org\.).)"
)

_is_damaged = re.compile(DAMAGED).fullmatch
_is_damaged_id = re.compile(f"{DAMAGED}|{DAMAGED_IDS}").fullmatch
_starts_damaged = re.compile(DAMAGED_STARTS).match
#: A device key: padded base64 of 32 or 64 bytes. Hexadecimal strings and GUIDs are serial numbers.
_is_key = re.compile("[A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{86}==").fullmatch
#: A key of 32 bytes or more whatever follows, or one of 16 bytes or more that ends there.
_PADDED = re.compile(r"[A-Za-z0-9+/]{43,}=|[A-Za-z0-9+/]{22,}={1,2}(?![A-Za-z0-9+/=])")
_MAYBE_PADDED = re.compile(r"[A-Za-z0-9+/]{22,}=")
#: Characters of a name that are searched.
_LONGEST_NAME = 1024
#: Every key is longer.
_SHORT = 43


def is_suspicious(text: str) -> bool:
    """Whether a string may be damaged or a secret; fast, since nearly none is."""
    return _starts_damaged(text) is not None or (len(text) > _SHORT and "=" in text)


def damage(text: str) -> str:
    """Describe which tool damaged a string and how to avoid it; "" if none did."""
    return _cause(text, _DAMAGES) if _is_damaged(text) else ""


def damage_of_id(text: str) -> str:
    return _cause(text, {**_DAMAGES, **_DAMAGES_OF_IDS}) if _is_damaged_id(text) else ""


def _cause(text: str, causes: Mapping[str, str]) -> str:
    return next(cause for pattern, cause in causes.items() if re.fullmatch(pattern, text))


def is_secret(text: str) -> bool:
    """Whether a string is a device key, a connection string or a shared access signature."""
    if _is_key(text.strip()):
        return True
    return len(text) > _SHORT and "=" in text and _NAMED_SECRET.search(text) is not None


def holds_key(text: str) -> bool:
    """Whether a name may contain padded base64 of 16 bytes and must not be shown."""
    return "=" in text and _MAYBE_PADDED.search(text[:_LONGEST_NAME]) is not None


def holds_secret(text: str) -> bool:
    """Whether an id is a secret or contains a key, as a whole CSV row in one cell does."""
    return is_secret(text) or ("=" in text and _PADDED.search(text[:_LONGEST_NAME]) is not None)
