"""A cross-encoder small enough to write by hand: its logit is the mean of the token ids, as an ONNX file.

The format is protocol buffers (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto): of it, only these fields.
"""

FLOAT, INT64 = 1, 7  # onnx.TensorProto.DataType
_INT_ATTRIBUTE, _INTS_ATTRIBUTE = 2, 7  # onnx.AttributeProto.AttributeType


def mean_of_token_ids(extra_input: str | None = None) -> bytes:
    """The bytes of `model.onnx`: (batch, tokens) `input_ids` → (batch, 1) `logits`."""
    cast = _node("Cast", "input_ids", "floats", _int("to", FLOAT))
    mean = _node("ReduceMean", "floats", "logits", _ints("axes", [1]), _int("keepdims", 1))
    names = ["input_ids", *([extra_input] if extra_input else [])]
    inputs = b"".join(_field(11, _tensor(name, INT64, ["batch", "tokens"])) for name in names)
    outputs = _field(12, _tensor("logits", FLOAT, ["batch", "one"]))
    graph = _field(1, cast) + _field(1, mean) + _field(2, b"tiny") + inputs + outputs
    return _number(1, 8) + _field(7, graph) + _field(8, _field(1, b"") + _number(2, 13))


def _node(operator: str, source: str, target: str, *attributes: bytes) -> bytes:
    ends = _field(1, source.encode()) + _field(2, target.encode())
    return ends + _field(4, operator.encode()) + b"".join(_field(5, attribute) for attribute in attributes)


def _int(name: str, value: int) -> bytes:
    return _field(1, name.encode()) + _number(3, value) + _number(20, _INT_ATTRIBUTE)


def _ints(name: str, values: list[int]) -> bytes:
    return _field(1, name.encode()) + b"".join(_number(8, value) for value in values) + _number(20, _INTS_ATTRIBUTE)


def _tensor(name: str, kind: int, axes: list[str]) -> bytes:
    shape = b"".join(_field(1, _field(2, axis.encode())) for axis in axes)
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, kind) + _field(2, shape)))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
