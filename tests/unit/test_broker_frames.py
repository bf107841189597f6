"""The hand-made frames of a publication are what the AMQP library understands."""

import msgspec
import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from scanplane.broker.rabbitmq.frames import PublicationMarshaller, decode_header, encode_header
from scanplane.marketdata.batches import Batch, BatchHeader
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.partitions import Partition
from support.broker_contract import batch

FRAME_MAX = 4096


def unmarshal(payload: bytes) -> tuple[Basic.Publish, ContentHeader, bytes, int]:
    frames = []
    while payload:
        consumed, channel, frame = pamqp.frame.unmarshal(payload)
        assert consumed <= FRAME_MAX
        assert channel == 7
        frames.append(frame)
        payload = payload[consumed:]
    publish, header, *bodies = frames
    assert isinstance(publish, Basic.Publish)
    assert isinstance(header, ContentHeader)
    assert all(isinstance(body, ContentBody) for body in bodies)
    return publish, header, b"".join(body.value for body in bodies), len(bodies)


headers = st.builds(
    BatchHeader,
    feed=st.text(max_size=60),
    market=st.text(max_size=60),
    partition=st.builds(Partition, st.integers(0, 63), st.integers(1, 64)),
    channel=st.none() | st.sampled_from(Channel),
    epoch=st.integers(0, 2**53),
    sequence=st.integers(0, 2**63 - 1),
    count=st.integers(0, 2**31),
    first_received_ns=st.integers(0, 2**63 - 1),
    last_received_ns=st.integers(0, 2**63 - 1),
    numbered_since=st.integers(0, 2**53),
    first_sequence=st.integers(0, 2**63 - 1),
    layout_since=st.integers(0, 2**53),
    is_seal=st.booleans(),
    traceparent=st.just("") | st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", fullmatch=True),
)


@given(header=headers, body=st.binary(max_size=3 * FRAME_MAX))
def test_a_publication_is_read_back_as_it_was(header: BatchHeader, body: bytes) -> None:
    marshaller = PublicationMarshaller("scanplane.us-stocks", 7, FRAME_MAX)
    publish, content, received, _ = unmarshal(marshaller.marshal(Batch(header, body), "Trades.0-of-1", "1-2-3"))
    assert (publish.exchange, publish.routing_key, publish.mandatory) == ("scanplane.us-stocks", "Trades.0-of-1", True)
    assert content.body_size == len(body)
    assert content.properties.delivery_mode == 1
    assert content.properties.message_id == "1-2-3"
    assert received == body
    assert decode_header(content.properties.headers or {}) == header


def test_a_body_that_just_fits_takes_one_frame() -> None:
    marshaller = PublicationMarshaller("x", 7, FRAME_MAX)
    for size, frames in ((0, 0), (1, 1), (FRAME_MAX - 8, 1), (FRAME_MAX - 7, 2)):
        *_, count = unmarshal(marshaller.marshal(batch(1, body=b"x" * size), "Trades.0-of-1", "1"))
        assert count == frames


def test_the_trace_context_is_a_header_that_standard_tools_read() -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    marshaller = PublicationMarshaller("x", 7, FRAME_MAX)
    _, content, _, _ = unmarshal(marshaller.marshal(batch(1, traceparent=traceparent), "Trades.0-of-1", "1"))
    assert (content.properties.headers or {})["traceparent"] == traceparent


def test_the_header_is_a_line_that_people_can_read() -> None:
    assert encode_header(batch(3).header) == (
        b'["massive","us-stocks",0,1,"Trades",1763832013123,3,100,1763832013123456789,1763832013123456999,0,0,0,false]'
    )


def test_the_header_of_another_version_is_read_as_far_as_it_is_known() -> None:
    shorter = '["massive","us-stocks",0,1,"Trades",7,3,100,8,9]'
    longer = '["massive","us-stocks",0,1,null,7,3,0,8,9,6,2,5,true,"what is this"]'
    assert decode_header({"batch": shorter}) == BatchHeader(
        "massive", "us-stocks", Partition(0, 1), Channel.TRADES, 7, 3, 100, 8, 9
    )
    assert decode_header({"batch": longer}) == BatchHeader(
        "massive", "us-stocks", Partition(0, 1), None, 7, 3, 0, 8, 9, "", 6, 2, 5, is_seal=True
    )


@pytest.mark.parametrize("foreign", [{}, {"batch": 1}, {"batch": "[]"}, {"batch": '["a"]'}, {"batch": "no json"}])
def test_a_foreign_message_is_refused(foreign: dict[str, object]) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_header(foreign)
