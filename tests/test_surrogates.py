from millstream.events import Data, RunStarted, decode, encode
from millstream.logs import RunRecord
from millstream.producer import Producer

RECORD = RunRecord(run_id="r", owner="o", conversation_id="c", message_id="m", fingerprint="f", created=0, epoch=1)
STARTED = encode(
    RunStarted(seq=1, at=0, format=1, run_id="r", conversation_id="c", message_id="m", model="x", created=0)
)


async def test_half_an_emoji_deep_in_an_applications_data_is_replaced_and_fails_no_answer() -> None:
    producer = Producer(RECORD, STARTED, 0.0, lambda _: None)
    producer.write(Data(name="n\ud83d", data={"a\udcff": ["x\ud83dy", {"b": ("\udc00", 1, None)}]}))
    found = producer.read(1, 1 << 20)
    assert found is not None
    event = decode(found[0])
    assert isinstance(event, Data)
    assert (event.name, event.data) == ("n\ufffd", {"a\ufffd": ["x\ufffdy", {"b": ["\ufffd", 1, None]}]})
