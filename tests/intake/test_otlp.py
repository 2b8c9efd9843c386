from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import otlp_build as build
from costspan.errors import InputError
from costspan.intake import otlp
from costspan.readings import SpanRecord

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def parts(record: SpanRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in SpanRecord.__slots__}


def noted(data: bytes, decode=otlp.decode_json) -> tuple[list[SpanRecord], list[str]]:
    notes: list[str] = []
    return list(decode(data, lambda offset, reason: notes.append(f"{offset}: {reason}"))), notes


def rich_request() -> dict:
    event = {"name": "exception", "timeUnixNano": "7", "attributes": build.attributes({"exception.type": "ValueError"})}
    return build.request(
        build.chat(1, attributes={"ratio": 0.5, "flag": True, "off": False, "zero": 0, "empty": "", "list": ["a", 1]}),
        build.span(2, parent=1, events=[event], status={"code": 2, "message": "boom"}),
    )


def test_json_and_protobuf_of_one_request_give_the_same_spans() -> None:
    request = rich_request()
    from_json = list(otlp.decode_json(build.to_json(request)))
    from_protobuf = list(otlp.decode_protobuf(build.to_protobuf(request)))
    assert [parts(record) for record in from_json] == [parts(record) for record in from_protobuf]
    first, second = from_json
    assert first.attributes["list"] == ["a", 1]
    assert (first.attributes["flag"], first.attributes["off"], first.attributes["zero"], first.attributes["empty"]) == (
        True,
        False,
        0,
        "",
    )
    assert (second.error, second.status_message, second.parent_id) == (True, "boom", 1)
    assert second.events == [("exception", 7, {"exception.type": "ValueError"})]
    assert second.resource == {"service.name": "tests"}


def test_messages_that_people_wrote_are_dropped_at_the_door() -> None:
    request = build.request(build.chat(1, attributes={"gen_ai.input.messages": "[secret]"}))
    for record in [*otlp.decode_json(build.to_json(request)), *otlp.decode_protobuf(build.to_protobuf(request))]:
        assert "secret" not in repr(record.attributes)


def test_names_in_snake_case_and_ids_in_base64_are_read_too() -> None:
    data = b"""{"resource_spans":[{"scope_spans":[{"scope":{"name":"s"},"spans":[{"trace_id":"AAAAAAAAAAAAAAAAAAAAAQ==",
      "span_id":"AAAAAAAAAAI=","start_time_unix_nano":"5","end_time_unix_nano":9,
      "attributes":[{"key":"n","value":{"int_value":"3"}}]}]}]}]}"""
    (record,) = otlp.decode_json(data)
    assert (record.trace_id, record.span_id, record.start_ns, record.end_ns, record.scope) == (1, 2, 5, 9, "s")
    assert record.attributes == {"n": 3}


def test_unknown_members_and_fields_are_ignored() -> None:
    request = build.request(build.span(1, somethingNew={"deep": [1]}))
    request["resourceSpans"][0]["newer"] = [{}]
    records, notes = noted(build.to_json(request))
    assert (len(records), notes) == (1, [])
    unknown_field = b"\xfa\x01\x03abc"
    assert len(list(otlp.decode_protobuf(unknown_field + build.to_protobuf(build.request(build.span(1))) + unknown_field))) == 1


def test_ids_of_a_wrong_length_keep_their_family_together() -> None:
    request = build.request(
        build.span(1, traceId="ab12", spanId="beef"), build.span(2, traceId="ab12", spanId="x" * 9, parentSpanId="beef")
    )
    (first, second), notes = noted(build.to_json(request))
    assert first.trace_id == second.trace_id == 0xAB12
    assert second.parent_id == first.span_id == 0xBEEF
    assert second.span_id not in (0, first.span_id)
    assert any("trace id is not 16 bytes" in note for note in notes)
    assert any("span id is not 8 bytes" in note for note in notes)


def test_ids_of_a_wrong_length_in_protobuf_do_so_too() -> None:
    request = build.request(
        build.span(1, traceId="ab12", spanId="beef"), build.span(2, traceId="ab" * 20, spanId="beef02", parentSpanId="beef")
    )
    (first, second), notes = noted(build.to_protobuf(request), otlp.decode_protobuf)
    assert (first.trace_id, second.parent_id) == (0xAB12, first.span_id)
    assert 0 < second.trace_id < 1 << 128
    assert len(notes) == 4


@pytest.mark.parametrize("to_bytes", [build.to_json, build.to_protobuf])
def test_a_span_that_ends_before_it_starts_lasts_no_time_and_is_told_of(to_bytes) -> None:
    decode = otlp.decode_json if to_bytes is build.to_json else otlp.decode_protobuf
    (record,), notes = noted(to_bytes(build.request(build.span(1, endTimeUnixNano="5"))), decode)
    assert record.end_ns == record.start_ns
    assert "ends before it starts" in notes[0]


def test_wrong_types_cost_only_what_they_stand_for() -> None:
    bad_pairs = [
        {"key": "text", "value": {"stringValue": 7}},
        {"key": "number", "value": {"intValue": "seven"}},
        {"key": "nothing", "value": None},
        {"value": {"intValue": "1"}},
        17,
        {"key": "good", "value": {"intValue": "8"}},
    ]
    request = build.request(build.span(1, attributes={}, name=["no"], startTimeUnixNano={"a": 1}, status="bad"), "no span")
    request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"] = bad_pairs
    request["resourceSpans"].append("no resource")
    request["resourceSpans"].append({"scopeSpans": {"not": "a list"}})
    (record,), notes = noted(build.to_json(request))
    assert record.attributes == {"good": 8}
    assert record.start_ns == 0
    assert len(notes) >= 5


def test_a_document_cut_anywhere_gives_the_spans_before_the_cut() -> None:
    whole = build.to_json(build.request(*(build.chat(n) for n in range(1, 6))), indent=1)
    starts = [position for position in range(len(whole)) if whole.startswith(b'"traceId"', position)]
    for cut in range(0, len(whole) - 1, 37):
        records, notes = noted(whole[:cut])
        complete = sum(start <= cut for start in starts)
        assert complete - 1 <= len(records) <= complete
        assert notes or not whole[:cut].strip()


def test_a_message_cut_anywhere_gives_the_spans_before_the_cut() -> None:
    whole = build.to_protobuf(build.request(*(build.chat(n) for n in range(1, 6))))
    size = len(whole) // 5
    for cut in range(1, len(whole), 11):
        records, notes = noted(whole[:cut], otlp.decode_protobuf)
        assert cut // size - 1 <= len(records) <= 5
        assert [record.span_id for record in records] == list(range(1, len(records) + 1))
        assert any("ends in the middle" in note for note in notes)


def test_a_damaged_span_costs_only_itself() -> None:
    whole = bytearray(build.to_protobuf(build.request(*(build.span(n, name="x" * 40) for n in range(1, 4)))))
    second = whole.index(b"x" * 40, whole.index(b"x" * 40) + 40)
    whole[second : second + 4] = b"\xff\xff\xff\xff"  # not UTF-8, in a text field
    records, notes = noted(bytes(whole), otlp.decode_protobuf)
    assert [record.span_id for record in records] == [1, 3]
    assert "not valid protobuf" in notes[0]


@pytest.mark.parametrize("data", [b"\x0a\x05abc", b"\xff\xff\xff", b"\x0a\x02\x0a\x09", b"{"])
def test_without_anybody_to_tell_unreadable_bytes_raise(data: bytes) -> None:
    decode = otlp.decode_json if data == b"{" else otlp.decode_protobuf
    with pytest.raises(InputError, match=r"byte \d+"):
        list(decode(data))


def test_json_nested_beyond_reason_is_told_of() -> None:
    records, notes = noted(b'{"resourceSpans":' + b"[" * 200_000)
    assert records == []
    assert notes
    records, notes = noted(b'{"other":' + b"[" * 200_000 + b"]" * 200_000 + b"}")
    assert "nested too deeply" in notes[0]


def test_a_number_without_end_is_told_of() -> None:
    records, notes = noted(b'{"other":' + b"9" * 5_000 + b"}")
    assert records == []
    assert "more digits" in notes[0]


def test_a_great_message_comes_in_pieces_with_nothing_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp.wire, "PIECE_BYTES", 100)
    monkeypatch.setattr(otlp.wire, "_GROUP_BYTES", 700)
    monkeypatch.setattr(otlp.wire, "SPAN_BYTES_MAX", 3000)
    request = build.request(
        *(build.chat(n) for n in range(1, 60)), build.chat(60, attributes={"big": "x" * 4000}), build.chat(61)
    )
    records, notes = noted(build.to_protobuf(request), otlp.decode_protobuf)
    assert [record.span_id for record in records] == [*range(1, 60), 61]
    assert {record.scope for record in records} == {"opentelemetry.instrumentation.genai.langchain"}
    assert {record.resource["service.name"] for record in records} == {"tests"}
    assert len(notes) == 1


def test_a_great_document_is_read_through_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp.json_stream, "_BLOCK_BYTES", 50)
    request = build.request(*(build.chat(n, attributes={"name": "né " * n}) for n in range(1, 40)))
    expected = [parts(record) for record in otlp.decode_protobuf(build.to_protobuf(request))]
    for data in (build.to_json(request), build.to_json(request, indent=2, ensure_ascii=False)):
        assert [parts(record) for record in otlp.decode_json(data)] == expected


def test_offsets_count_bytes_not_characters() -> None:
    request = build.request(build.span(1, name="é" * 100), build.span(2, endTimeUnixNano="1"))
    data = build.to_json(request, ensure_ascii=False)
    _, notes = noted(data)
    offset = int(notes[0].split(":")[0])
    assert data[offset:].startswith(b'{"traceId": "0000')
    assert data[:offset].count(b"traceId") == 1


@QUICK
@given(st.binary(max_size=400))
def test_binary_junk_never_escapes_the_decoders(data: bytes) -> None:
    for decode in (otlp.decode_json, otlp.decode_protobuf):
        noted(data, decode)
        noted(build.to_protobuf(build.request(build.chat(1)))[:40] + data, decode)


KEYS = st.sampled_from(["values", "key", "value", "intValue", "name"])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["values", "key", "value", "intValue", "name"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(node: object, path: tuple = ()) -> list[tuple]:
    found = [path]
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


@QUICK
@given(st.data())
def test_any_value_in_any_place_of_a_request_never_escapes_the_decoder(data: st.DataObject) -> None:
    request = copy.deepcopy(rich_request())
    *way, last = data.draw(st.sampled_from([path for path in places(request) if path]))
    holder = request
    for key in way:
        holder = holder[key]
    holder[last] = data.draw(JSON_VALUES)
    records, _ = noted(build.to_json(request))
    for record in records:
        assert isinstance(record.trace_id, int)
        assert 0 <= record.span_id < 1 << 64
        assert record.end_ns >= record.start_ns or record.end_ns == 0


@QUICK
@given(st.integers(min_value=0), st.integers(0, 255))
def test_any_byte_changed_in_a_message_never_escapes_the_decoder(position: int, byte: int) -> None:
    whole = bytearray(build.to_protobuf(rich_request()))
    whole[position % len(whole)] = byte
    records, _ = noted(bytes(whole), otlp.decode_protobuf)
    assert len(records) <= 4


def test_a_damaged_attribute_costs_only_itself() -> None:
    data = build.to_protobuf(build.request(build.chat(1, attributes={"first": "kept", "broken": "\u00e9", "last": 7})))
    broken = data.replace("\u00e9".encode(), b"\xff\xfe")
    assert broken != data
    (record,), notes = noted(broken, otlp.decode_protobuf)
    assert (record.attributes["first"], record.attributes["last"]) == ("kept", 7)
    assert "broken" not in record.attributes
    assert len(notes) == 1
    assert notes[0].endswith("an attribute is not valid protobuf and was left out")


def test_attributes_that_repeat_are_read_alike_every_time() -> None:
    told = {"text": "a" * 20, "long": "b" * 500, "yes": True, "no": False, "zero": 0, "minus": -1, "half": 0.5, "list": ["x", 2]}
    data = build.to_protobuf(build.request(*(build.span(number, attributes=told) for number in range(1, 50))))
    assert all(record.attributes == told for record in otlp.decode_protobuf(data))
