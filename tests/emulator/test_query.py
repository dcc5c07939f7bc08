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
    "parentScopes": ["ms-azure-iot-edge://gate-1"],
}
VALVE = {
    "deviceId": "valve",
    "status": "disabled",
    "version": 2,
    "tags": {"site": "Ulm", "ring": "1", "low-end": 1, "fleet": {"name": 'it\'s "A\\B"'}},
    "properties": {"desired": {"period": 90, "key1e5-4b1e-9": "x-y"}, "reported": {"period": 30.5}},
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
    (r"""tags.fleet.name = 'it''s \"A\\B\"'""", "valve"),
    (r"""deviceId = 'pump' AND "''" = '\'''' AND '' = CONCAT('', '')""", "pump"),
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
    ("1-version=-6", "pump"),
    # Names with hyphens, as the end-to-end tests of the Java SDK send them.
    ("tags.low-end = 1", "valve"),
    ("tags.low-end - 1 = 0", "valve"),
    ("tags.[[low-end]]-1=0", "valve"),
    ("properties.desired.key1e5-4b1e-9 = 'x-y'", "valve"),
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
    ("array_contains(parentScopes, 'ms-azure-iot-edge://gate-1')", "pump"),
    ("deviceScope = 'x' OR ARRAY_CONTAINS(parentScopes,'x')", ""),
    ("ARRAY_CONTAINS(['pump', 'bare'], deviceId)", "pump bare"),
    ("array_contains(properties.reported.parts, 1)", "pump"),
    ("array_contains(properties.reported.parts, true)", ""),
    ("NOT array_contains(properties.reported.parts, tags.fleet)", ""),
    ("NOT array_contains(tags.site, 'm')", ""),
    ("is_array(properties.reported.parts)", "pump"),
    ("IS_ARRAY([1]) AND is_primitive(tags.owner)", "pump"),
    ("is_primitive(tags.fleet)", ""),
    ("ABS(version - 5) = 3", "valve"),
    ("EXP(version - 1) = 1", "bare"),
    ("EXP(version * 1000) > 0", ""),
    ("POWER(version, 2) = 49", "pump"),
    ("SQUARE(version) = 4", "valve"),
    ("CEILING(version / 2) = 4", "pump"),
    ("FLOOR(version / 2) = 3", "pump"),
    ("SIGN(version - 2) = -1", "bare"),
    ("SIGN(version - 2) = 0", "valve"),
    ("SQRT(version + 2) = 3", "pump"),
    ("SQRT(version - 2) >= 0", "pump valve"),
    ("AS_NUMBER(tags.ring) = 1", "pump valve"),
    ("AS_NUMBER('-1.5e1') = -15 AND version = 1", "bare"),
    ("is_defined(AS_NUMBER(deviceId))", ""),
    ("is_defined(AS_NUMBER('nan')) OR is_defined(AS_NUMBER('1_0'))", ""),
    ("CONCAT(deviceId, '-', status) = 'pump-enabled'", "pump"),
    ("is_defined(CONCAT(deviceId, version))", ""),
    ("LENGTH(deviceId) = 5", "valve"),
    ("LOWER(tags.site) = 'ulm'", "valve"),
    ("UPPER(tags.site) = 'MUNICH'", "pump"),
    ("SUBSTRING(deviceId, 1) = 'ump'", "pump"),
    ("SUBSTRING(deviceId, 1, 2) = 'al'", "valve"),
    ("SUBSTRING(deviceId, 9) = ''", "pump valve bare"),
    ("is_defined(SUBSTRING(deviceId, -1)) OR is_defined(SUBSTRING(deviceId, 0.5))", ""),
    ("INDEX_OF(deviceId, 'm') = 2", "pump"),
    ("INDEX_OF(deviceId, 'e') = -1", "pump"),
    # Azure IoT Explorer, the az CLI.
    ("STARTSWITH(devices.deviceId, 'pu')", "pump"),
    ("(status='enabled' AND capabilities.iotEdge=true)", "pump"),
    ("devices.deviceId in ['pump', 'valve'] and Tags.ring = '1'", "valve"),
    # Names of properties that no twin of the list has, but others do.
    ("configurations.[[rates]].status = 'Applied'", ""),
    ("x509Thumbprint.primaryThumbprint = 'A'", ""),
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
    ("version AS key-1e5", {"key-1e5": 7}),
    ("deviceId as DeviceId, statusUpdatedTime as StatusUpdatedTime", {"DeviceId": "pump"}),
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
    (
        "tags.low-end AS low-end, COUNT() AS n FROM devices GROUP BY tags.low-end",
        [{"n": 2}, {"low-end": 1, "n": 1}],
    ),
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


@pytest.mark.parametrize(
    "condition",
    [
        "devices.jobs.deviceId = 'pump' AND devices.jobs.createdTimeUtc > '2016-09-01'",
        "jobId = 'a' and jobType = 'scheduleUpdateTwin' and status = 'completed'",
        "outcome.deviceMethodResponse.status = 200",
    ],
)
def test_jobs(condition: str) -> None:
    query = parse_query(f"SELECT * FROM devices.jobs WHERE {condition}")

    assert (query.source, query.item_type) == (Source.JOBS, "DeviceJob")


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
    (
        "SELECT * FROM devices WHERE tags.a = 1 = 1",
        "has = instead of +, -, AND, GROUP, OR, the end.",
    ),
    ("SELECT * FROM devices WHERE a IN []", "has ] instead of"),
    ("SELECT *, deviceId FROM devices", "has , instead of FROM."),
    ("SELECT TOP 1.5 * FROM devices", "TOP must be an integer, not 1.5."),
    ("SELECT * FROM c", "FROM must be devices, devices.modules, devices.jobs, not c."),
    ("SELECT * FROM devices WHERE starts_with(tags.a, 'b')", "unknown function starts_with"),
    ("SELECT * FROM devices WHERE is_defined()", "is_defined does not accept 0 operands."),
    ("SELECT * FROM devices WHERE length('a', 'b')", "length does not accept 2 operands."),
    ("SELECT * FROM devices WHERE concat('a')", "concat does not accept 1 operands."),
    ("SELECT * FROM devices WHERE deviceId = ['a']", "has [ instead of"),
    # Names that no document has.
    ("SELECT * FROM devices WHERE tag.site = 'x'", "tag is not a property of devices."),
    ("SELECT * FROM devices WHERE [[tags.site]] = 1", "tags.site is not a property of devices."),
    ("SELECT * FROM devices WHERE status = enabled", "enabled is not a property of devices."),
    ("SELECT * FROM devices WHERE is_defined(property.a)", "property is not a property of"),
    ("SELECT * FROM devices WHERE properties.Desired.a = 1", "Desired is not a property of prop"),
    ("SELECT * FROM devices WHERE capabilities.iotedge = true", "iotedge is not a property of"),
    ("SELECT * FROM devices WHERE deviceId.x = 1", "x is not a property of deviceId"),
    ("SELECT * FROM devices WHERE version-1 = 6", "a subtraction needs spaces"),
    ("SELECT * FROM devices WHERE statusUpdatedTime > '2'", "statusUpdatedTime is not a property"),
    ("SELECT * FROM devices WHERE moduleId = 'a'", "moduleId is not a property of devices."),
    ("SELECT * FROM devices.modules WHERE jobId = 'a'", "jobId is not a property of devices.mod"),
    ("SELECT * FROM devices.jobs WHERE tags.a = 1", "tags is not a property of devices.jobs."),
    ("SELECT unknown FROM devices", "unknown is not a property of devices."),
    ("SELECT COUNT() FROM devices GROUP BY tag.site", "tag is not a property of devices."),
    ("SELECT jobId FROM devices.jobs", "FROM devices.jobs accepts only SELECT *."),
    ("SELECT COUNT() FROM devices.jobs", "FROM devices.jobs accepts only SELECT *."),
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
DOCUMENTS = st.fixed_dictionaries({}, optional=dict.fromkeys("abc", VALUES)).map(
    lambda tags: {"tags": tags}
)
A, B, C = "tags.a", "tags.b", "tags.c"
CONDITIONS = st.recursive(
    st.sampled_from(
        [A, B, C, f"{A} = {B}", f"{B} < {C}", f"{A} != 1", f"{B} IN ['x', 1]", "true", "null"]
    ),
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
    1 0x1 1e999 'x' "y" '\\u00e4' true null undefined tags a-b [[b]] COUNT SUM is_defined
    concat substring array_contains
"""
PHRASES = st.lists(st.sampled_from(WORDS.split()), max_size=12).map(" ".join)


@given(
    text=st.text()
    | PHRASES
    | PHRASES.map(lambda phrase: f"SELECT tags FROM devices WHERE {phrase}")
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
