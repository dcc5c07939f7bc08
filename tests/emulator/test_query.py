"""The query language, on documents as GET /twins/{id} shows them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iothub_emulator.errors import ErrorCode, HubError
from iothub_emulator.query import Source, parse_query

PUMP = {
    "deviceId": "pump",
    "status": "enabled",
    "lastActivityTime": "2021-05-07T00:50:38.0543092Z",
    "version": 7,
    "tags": {"site": "munich", "ring": 1, "group": "a", "spare": True, "owner": None},
    "properties": {
        "desired": {"period": 60, "$version": 3},
        "reported": {"fw": {"v": "1.2"}, "period": 60, "parts": [1]},
    },
    "capabilities": {"iotEdge": True},
}
VALVE = {
    "deviceId": "valve",
    "status": "disabled",
    "version": 2,
    "tags": {"site": "Ulm", "ring": "1", "fleet": {"name": 'it\'s "A\\B"'}},
    "properties": {"desired": {"period": 90}, "reported": {"period": 30.5}},
    "capabilities": {"iotEdge": False},
}
BARE = {"deviceId": "bare", "status": "enabled", "version": 1, "tags": {}}
TWINS = [PUMP, VALVE, BARE]
AGENT = {"deviceId": "pump", "moduleId": "agent", "version": 1, "tags": {"site": "munich"}}

MATCHES = [
    ("deviceId = 'pump'", "pump"),
    ('deviceId = "pump"', "pump"),
    ("'pump' = DEVICEID", "pump"),
    ("deviceId = 'Pump'", ""),
    ("devices.deviceId = 'pump'", "pump"),
    ("status != 'enabled'", "valve"),
    ("status <> 'enabled'", "valve"),
    ("version < 7", "valve bare"),
    ("version <= 2", "valve bare"),
    ("version > 2.5", "pump"),
    ("version >= 0x7", "pump"),
    ("version > -1 AND version < 5e0", "valve bare"),
    ("lastActivityTime > '2021-05-07'", "pump"),
    ("tags.spare = true", "pump"),
    ("tags.Spare = true", ""),
    ("tags.spare", "pump"),
    ("tags.spare >= FALSE", "pump"),
    ("tags.site", ""),
    ("capabilities.iotEdge = false", "valve"),
    # Absent members, and values of different types.
    ("tags.site != 'munich'", "valve"),
    ("NOT tags.site = 'munich'", "valve"),
    ("tags.site.deeper = 'munich'", ""),
    ("tags.ring = 1", "pump"),
    ("tags.ring = '1'", "valve"),
    ("tags.ring != 1", ""),
    ("tags.spare = 1", ""),
    ("tags.owner = null", "pump"),
    ("tags.owner <= null", ""),
    ("tags.site != null", ""),
    ("tags.nothing = undefined", ""),
    ("tags = tags", ""),
    ("properties.reported.parts = properties.reported.parts", ""),
    ("properties.desired.period = properties.reported.period", "pump"),
    ("tags.nothing = 1 OR version = 7", "pump"),
    ("NOT (tags.nothing = 1 AND version = 7)", "valve bare"),
    # Precedence and quoting.
    ("version = 1 OR version = 2 AND status = 'enabled'", "bare"),
    ("(version = 7 OR version = 2) and not status = 'enabled'", "valve"),
    ("NOT version = 1 AND NOT version = 2", "pump"),
    ("tags.[[group]] = 'a'", "pump"),
    ("properties.desired.$version = 3", "pump"),
    (r"tags.fleet.name = 'it\'s \"A\\\u0042\"'", "valve"),
    (r"""tags.fleet.name = "it's \"A\\B\"" """, "valve"),
    # Lists.
    ("deviceId IN ['pump', 'bare', 'other']", "pump bare"),
    ("deviceId NIN ['pump', 'bare']", "valve"),
    ("tags.ring IN [1, true]", "pump"),
    ("tags.spare IN [1]", ""),
    ("tags.site NIN ['munich']", "valve"),
    ("tags.site NIN ['munich', 1]", ""),
    # Arithmetic.
    ("version + 1 = 8", "pump"),
    ("version - 1 * 2 = 0", "valve"),
    ("(version - 1) * 2 = 2", "valve"),
    ("version-1=6", "pump"),
    ("version / 2 = 3.5", "pump"),
    ("version % 2 = 1", "pump bare"),
    ("-1 * version % 4 = -3", "pump"),
    ("version / (version - 1) >= 0", "pump valve"),
    ("version % 0 = 0", ""),
    ("1e308 * 10 * version > 0", ""),
    ("tags.site + 'x' = 'munichx'", ""),
    # Functions.
    ("IS_DEFINED(tags.site)", "pump valve"),
    ("NOT is_defined(tags.site)", "bare"),
    ("is_defined(tags.owner)", "pump"),
    ("is_null(tags.owner)", "pump"),
    ("is_bool(tags.spare)", "pump"),
    ("is_number(tags.ring)", "pump"),
    ("is_string(tags.ring)", "valve"),
    ("is_object(tags.fleet)", "valve"),
    ("is_object(tags.ring)", ""),
    ("STARTSWITH(deviceId, 'p')", "pump"),
    ("endswith(deviceId, 'e')", "valve bare"),
    ("contains(deviceId, 'um')", "pump"),
    ("NOT startswith(tags.ring, '2')", "valve"),
]


@pytest.mark.parametrize(("condition", "expected"), MATCHES)
def test_where(condition: str, expected: str) -> None:
    query = parse_query(f"SELECT * FROM devices WHERE {condition}")

    assert [twin["deviceId"] for twin in TWINS if query.matches(twin)] == expected.split()


PROJECTIONS = [
    ("*", PUMP),
    ("deviceId, tags.site", {"deviceId": "pump", "site": "munich"}),
    (
        "DeviceId, LastActivityTime",
        {"deviceId": "pump", "lastActivityTime": "2021-05-07T00:50:38.0543092Z"},
    ),
    ("properties.reported.fw AS firmware", {"firmware": {"v": "1.2"}}),
    ("tags.[[group]], version as [[odd name]]", {"group": "a", "odd name": 7}),
    ("tags.owner, tags.nothing, tags.site.deeper", {"owner": None}),
    ("tags.count, version AS count2", {"count2": 7}),
]


@pytest.mark.parametrize(("selection", "row"), PROJECTIONS)
def test_select(selection: str, row: dict[str, Any]) -> None:
    query = parse_query(f"select {selection} from devices")

    assert query.project(PUMP) == row
    assert query.matches(PUMP)
    assert not query.is_aggregate
    assert query.item_type == ("Twin" if selection == "*" else "Raw")


AGGREGATES = [
    ("COUNT() FROM devices", [{"$1": 3}]),
    ("count() AS n FROM devices WHERE tags.site = 'nowhere'", [{"n": 0}]),
    ("COUNT() AS n, SUM(version), AVG(version) FROM devices", [{"n": 3, "$1": 10, "$2": 10 / 3}]),
    ("MIN(version) AS a, MAX(deviceId) AS z FROM devices", [{"a": 1, "z": "valve"}]),
    # Undefined values are skipped; values of other types make the result undefined.
    ("SUM(properties.desired.period) AS s FROM devices", [{"s": 150}]),
    ("SUM(tags.ring), MIN(tags.ring), MAX(tags.owner), AVG(tags.none) FROM devices", [{}]),
    (
        "status AS s, COUNT() AS n FROM devices GROUP BY status",
        [{"s": "enabled", "n": 2}, {"s": "disabled", "n": 1}],
    ),
    (
        "TOP 2 tags.site, COUNT() FROM devices WHERE version < 7 GROUP BY tags.site",
        [{"site": "Ulm", "$1": 1}, {"$1": 1}],
    ),
    ("COUNT() FROM devices GROUP BY tags.fleet, status", [{"$1": 2}, {"$1": 1}]),
    ("TOP 1 status FROM devices GROUP BY status", [{"status": "enabled"}]),
    ("COUNT() FROM devices WHERE version > 9 GROUP BY status", []),
]


@pytest.mark.parametrize(("rest", "rows"), AGGREGATES)
def test_aggregates(rest: str, rows: list[dict[str, Any]]) -> None:
    query = parse_query(f"SELECT {rest}")

    assert query.is_aggregate
    assert query.item_type == "Raw"
    assert query.aggregate(filter(query.matches, TWINS)) == rows


def test_groups_distinguish_values_as_json_does() -> None:
    query = parse_query("SELECT tags.x, COUNT() AS n FROM devices GROUP BY tags.x")
    values = [1, 1.0, True, "1", None, {"a": 1}, {"a": 1}, [1]]

    rows = query.aggregate({"tags": {"x": value}} for value in values)

    assert [row["n"] for row in rows] == [2, 1, 1, 1, 2, 1]


def test_modules() -> None:
    condition = "devices.modules.moduleId = 'agent' AND devices.deviceId = 'pump'"
    query = parse_query(f"SELECT tags.site FROM Devices.Modules WHERE {condition}")

    assert query.source is Source.MODULES
    assert query.matches(AGENT)
    assert not query.matches(PUMP)
    assert query.project(AGENT) == {"site": "munich"}


def test_source_and_top() -> None:
    assert parse_query("SELECT * FROM devices").top is None
    query = parse_query(" SELECT TOP 10\n* FROM DEVICES ")
    assert (query.source, query.top) == (Source.DEVICES, 10)


@pytest.mark.parametrize(
    ("condition", "device_id"),
    [
        ("deviceId = 'pump'", "pump"),
        ("version > 1 AND ('pump' = DeviceId AND tags.site = 'x')", "pump"),
        ("deviceId = 'pump' OR version > 1", None),
        ("NOT deviceId = 'pump'", None),
        ("deviceId != 'pump'", None),
        ("deviceId = 5 AND tags.deviceId = 'pump'", None),
        ("deviceId IN ['pump']", None),
    ],
)
def test_pinned_device(condition: str, device_id: str | None) -> None:
    assert parse_query(f"SELECT * FROM devices WHERE {condition}").device_id == device_id


REFUSALS = [
    ("", "line 1:1 has the end instead of SELECT."),
    ("SELECT * FROM", "the end instead of a name."),
    (
        "SELECT *\nFROM devices ORDER BY x",
        "line 2:14 has ORDER instead of ., GROUP, WHERE, the end.",
    ),
    ("SELECT #", "line 1:8 has an unexpected character."),
    ("SELECT * FROM devices WHERE tags.site = 'x", "line 1:41 has an unexpected character."),
    (
        "SELECT * FROM devices WHERE tags.group = 1",
        "has group instead of a name, a name in brackets.",
    ),
    ("SELECT * FROM devices WHERE a = 1 = 1", "has = instead of +, -, AND, GROUP, OR, the end."),
    ("SELECT * FROM devices WHERE a IN []", "has ] instead of"),
    ("SELECT *, deviceId FROM devices", "has , instead of FROM."),
    ("SELECT TOP 1.5 * FROM devices", "TOP must be an integer, not 1.5."),
    ("SELECT * FROM devices.jobs", "FROM must be devices or devices.modules, not devices.jobs."),
    ("SELECT * FROM c", "FROM must be devices or devices.modules, not c."),
    (
        "SELECT * FROM devices WHERE starts_with(a, 'b')",
        "unknown function starts_with",
    ),
    ("SELECT * FROM devices WHERE is_defined()", "unknown function is_defined"),
    ("SELECT MEDIAN(version) FROM devices", "median is not an aggregate"),
    ("SELECT SUM() FROM devices", "sum is not an aggregate"),
    ("SELECT deviceId, COUNT() FROM devices", "accepts only paths of GROUP BY"),
    ("SELECT * FROM devices GROUP BY status", "GROUP BY cannot be combined with SELECT *."),
    ("SELECT COUNT() FROM devices.modules GROUP BY status", "with FROM devices.modules."),
    ("SELECT tags.a, properties.desired.a FROM devices", "have the same name"),
    (f"SELECT * FROM devices WHERE {'NOT ' * 101} a", "it nests more than 100 operators."),
    (f"SELECT * FROM devices WHERE {'NOT ' * 2000} a", "it nests more than 100 operators."),
    (f"SELECT * FROM devices WHERE {'(' * 8000}", "has the end instead of"),
    ("SELECT * FROM devices".ljust(8193), "it has more than 8192 characters."),
]


@pytest.mark.parametrize(("text", "reason"), REFUSALS, ids=[reason for _, reason in REFUSALS])
def test_invalid_queries(text: str, reason: str) -> None:
    with pytest.raises(HubError) as refusal:
        parse_query(text)

    assert refusal.value.code is ErrorCode.ArgumentInvalid
    assert refusal.value.message.startswith("The query is invalid: ")
    assert reason in refusal.value.message


def test_long_chains_are_not_deep() -> None:
    chain = " AND ".join(["version=7"] * 500)

    assert parse_query(f"SELECT * FROM devices WHERE {chain}").matches(PUMP)


VALUES: st.SearchStrategy[Any] = st.sampled_from([True, False, None, 0, 1, "", "x", {}, []])
DOCUMENTS = st.fixed_dictionaries({}, optional=dict.fromkeys("abc", VALUES))
CONDITIONS = st.recursive(
    st.sampled_from(["a", "b", "c", "a = b", "b < c", "a != 1", "b IN ['x', 1]", "true", "null"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        )
        | inner.map(lambda condition: f"(NOT {condition})")
    ),
    max_leaves=6,
)


def outcome(condition: str, document: dict[str, Any]) -> bool | None:
    """The result of a condition; None (undefined) if neither it nor its negation matches."""
    for text, value in ((condition, True), (f"NOT {condition}", False)):
        if parse_query(f"SELECT * FROM devices WHERE {text}").matches(document):
            return value
    return None


@given(p=CONDITIONS, q=CONDITIONS, document=DOCUMENTS)
def test_three_valued_logic(p: str, q: str, document: dict[str, Any]) -> None:
    both, either = outcome(f"({p} AND {q})", document), outcome(f"({p} OR {q})", document)
    values = {outcome(p, document), outcome(q, document)}

    assert both is (False if False in values else None if None in values else True)
    assert either is (True if True in values else None if None in values else False)
    assert outcome(f"(NOT ({p} AND {q}))", document) is outcome(f"(NOT {p} OR NOT {q})", document)


WORDS = """
    SELECT TOP * FROM devices . modules WHERE GROUP BY AS AND OR NOT IN NIN [ ] ( ) , = != < + - / %
    1 0x1 1e999 'x' "y" '\\u00e4' true null undefined tags a [[b]] COUNT SUM is_defined
"""
PHRASES = st.lists(st.sampled_from(WORDS.split()), max_size=12).map(" ".join)


@given(
    text=st.text() | PHRASES | PHRASES.map(lambda phrase: f"SELECT a FROM devices WHERE {phrase}")
)
def test_any_text_runs_or_is_rejected(text: str) -> None:
    try:
        query = parse_query(text)
    except HubError:
        return
    if query.is_aggregate:
        query.aggregate(TWINS)
    else:
        assert all(query.project(twin) is not None for twin in TWINS if query.matches(twin))
