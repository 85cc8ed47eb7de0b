"""Requests that were changed by chance, in bytes and in fields, as they go over the wire.

What is changed are the requests of generated, good and bad, and some that have
crashed model servers. The same seed makes the same requests.
"""

import copy
import dataclasses
import json

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

import generated
import v2

NUMBERS = (0, 1, -1, 2, 3, 7, 8, 64, 65, 127, 128, 255, 256, 1 << 15, 1 << 16, (1 << 31) - 1, 1 << 31, -(1 << 31), 1 << 32, (1 << 32) + 1, 1 << 40,
           (1 << 60) + 2, 1 << 61, 1 << 62, (1 << 63) - 1, -(1 << 63), 0x6666666666666668)
TEXTS = ("", "a", "IN_BYTES", "OUT_BYTES", "image", "digits", "identity", "accumulate", "BYTES", "FP32", "INT64", "BOOL", "BF16", "1", "-1", "2", "..",
         "../../etc/passwd", "%2f", "a b", "a\nb", "a\0b", "größe", "😀", "x" * 127, "x" * 129, "x" * 300, "x" * 70000, "triton_x", "headers",
         "shared_memory_region", "sequence_id", "binary_data_size", "classification", "timeout", "priority", "triton_python_backend_shm_region_1",
         "9" * 30, "NaN", "true", "{}", "[", "\\", '"')
VALUES = (*NUMBERS, 1 << 64, 1 << 70, 0.5, -0.0, 1e300, 1.5, float("inf"), float("nan"), True, False, None, *TEXTS, "\ud83d", [], {}, [[]], [[1], 2],
          [1] * 40, ["a"], [None], {"a": 1}, {"data": []}, [[[[[[[[1]]]]]]]], [0] * 3000)
BYTES = (0, 1, 2, 0x7f, 0x80, 0xff, *b'"{}[],:\\0-9e. \n')
WORDS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff" * 9 + b"\1", b"\x80" * 10, b"[" * 200, b"null", b"-1", b"1e999",
         b"18446744073709551616", b"9223372036854775807", b"\xed\xa0\xbd", b"\xc0\x80", b"\\u0000", b"\\ud83d", b"\xef\xbb\xbf", b"\r\n\r\n")

# What has crashed servers and is no request for an inference, or none that generated makes: method, path, body.
ODD = (
    ("POST", "/v2/systemsharedmemory/region/r/register", b'{"key":"/../../etc/passwd","offset":18446744073709551615,"byte_size":18446744073709551615}'),
    ("POST", "/v2/cudasharedmemory/region/r/register", b'{"raw_handle":{"b64":"AAAA"},"device_id":-1,"byte_size":18446744073709551615}'),
    ("POST", "/v2/systemsharedmemory/unregister", b""),
    ("POST", "/v2/repository/index", b'{"ready":true}'),
    ("POST", "/v2/repository/models/..%2f..%2fetc/load", b'{"parameters":{"file:../../x":"AA=="}}'),
    ("POST", "/v2/repository/models/identity/unload", b'{"parameters":{"unload_dependents":true}}'),
    ("POST", "/v2/models/..%2f..%2fetc/infer", b'{"inputs":[]}'),
    ("POST", "/v2/models/identity/generate", b'{"IN_INT32":[[1]],"IN_BYTES":"a"}'),
    ("POST", "/v2/models/digits/versions/1/generate", b'{"image":[[1,2,3]]}'),
    ("POST", "/v2/trace/setting", b'{"trace_file":"/etc/passwd","trace_level":["TIMESTAMPS"]}'),
    ("POST", "/v2/logging", b'{"log_file":"/etc/passwd","log_verbose_level":99999999999}'),
    ("GET", "/v2/models/digits/config", b""),
    ("GET", "/v2/models/digits/versions/18446744073709551616/stats", b""),
    ("GET", "/v2/models/stats", b""),
    ("GET", "/v2/models/digits/versions/2/ready", b""),
)


@dataclasses.dataclass
class Sent:
    """A request as it is sent: over HTTP with method, path and headers, over gRPC with the method's name."""

    label: str
    body: bytes
    method: str = ""
    path: str = ""
    headers: dict = None
    call: str = ""
    raw: bytes = None  # all of it, where not even its head is what it was

    @property
    def grpc(self):
        return bool(self.call)


def requests(random):
    """Requests without end."""
    before = b"{}"
    while True:
        sent = one(random)
        for _ in range(random.choice((0, 1, 1, 1, 1, 2, 3))):
            change(random, sent, before)
        if not sent.grpc and random.random() < 0.05:
            sent.raw = flip(random, head(sent) + sent.body, before)
            sent.label += "+head"
        before = sent.body
        yield sent


def one(random):
    """A request that was not changed yet."""
    if random.random() < 0.05:
        method, path, body = random.choice(ODD)
        return Sent(path, body, method, path, {})
    name, form = random.choice(list(generated.FAULTS)), random.choice(v2.FORMS)
    if form not in generated.FAULTS[name][0] or random.random() < 0.6:
        case = generated.good(random, form)
    else:
        case = generated.broken(random, name, form)
    if form in v2.OVER_HTTP:
        path, body, headers = v2.http_request(case)
        return Sent(f"{case.label}/{form}", body, case.method, path, headers)
    call = random.choice(("ModelInfer", "ModelInfer", "ModelStreamInfer"))
    return Sent(f"{case.label}/{form}", v2.grpc_request(case), call=call)


def change(random, sent, other):
    """Changes a request in one place."""
    if random.random() < 0.4:
        sent.body = flip(random, sent.body, other)
        sent.label += "+bytes"
    elif sent.grpc:
        sent.body = random.choice((in_message, in_message, on_wire))(random, sent.body)
        sent.label += "+field"
    else:
        in_document(random, sent)
        sent.label += "+field"


# Bytes.

def flip(random, body, other):
    at = random.randrange(len(body) + 1)
    end = min(len(body), at + random.choice((1, 1, 2, 4, 8, 30)))
    match random.randrange(8):
        case 0 if body:
            at = min(at, len(body) - 1)
            return body[:at] + bytes((body[at] ^ 1 << random.randrange(8),)) + body[at + 1:]
        case 1 if body:
            at = min(at, len(body) - 1)
            return body[:at] + bytes((random.choice(BYTES),)) + body[at + 1:]
        case 2:
            return body[:at] + body[end:]
        case 3:
            return body[:at] + random.choice(WORDS) + body[at:]
        case 4:
            return body[:at] + random.choice(WORDS) + body[end:]
        case 5:
            return body[:at] + body[at:end] * random.choice((2, 3, 50)) + body[end:]
        case 6:
            return body[:at]
    return body[:at] + other[random.randrange(len(other) + 1):]


# JSON.

def in_document(random, sent):
    """Changes a member of the JSON of a body. Mostly the header tells of its length as it is then."""
    length = sent.headers.get("Inference-Header-Content-Length", "")
    size = int(length) if length.isascii() and length.isdigit() and int(length) <= len(sent.body) else len(sent.body)
    text, tail = sent.body[:size], sent.body[size:]
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        sent.body = flip(random, sent.body, b"{}")
        return
    places = list(members(document))
    if not places:
        sent.body = flip(random, sent.body, b"{}")
        return
    within, key = random.choice(places)
    match random.randrange(6):
        case 0:
            del within[key]
        case 1:
            elsewhere, other = random.choice(places)
            within[key] = copy.deepcopy(elsewhere[other])
        case 2 if isinstance(within, list):
            within[key:key] = [copy.deepcopy(within[key])] * random.choice((1, 2, 40))
        case 3 if isinstance(within, dict):
            within[random.choice(TEXTS)] = within.pop(key)
        case 4 if isinstance(within[key], int):
            within[key] += random.choice((-1, 1, 7, 1 << 32, 1 << 63))
        case _:
            within[key] = random.choice(VALUES)
    text = json.dumps(document).encode()
    sent.body = text + tail
    if length and random.random() < 0.8:
        sent.headers["Inference-Header-Content-Length"] = str(len(text))
    elif random.random() < 0.1:
        sent.headers["Inference-Header-Content-Length"] = random.choice(("0", "-1", "x", str(len(text) // 2), str(len(text) + 9), "9" * 25))


def members(node):
    """Every place in a document that holds a value, at most some of each list."""
    keys = list(node) if isinstance(node, dict) else range(min(len(node), 6)) if isinstance(node, list) else ()
    for key in keys:
        yield node, key
        yield from members(node[key])


# Messages.

def in_message(random, body):
    """Changes a field of a ModelInferRequest, or its bytes if they are none."""
    message = pb.ModelInferRequest()
    try:
        message.ParseFromString(body)
    except DecodeError:
        return flip(random, body, b"")
    within, field = random.choice(list(fields(message)))
    if field.message_type and field.message_type.GetOptions().map_entry:
        entry = getattr(within, field.name)[random.choice(TEXTS)]
        value = random.choice(VALUES)
        match value:
            case bool():
                entry.bool_param = value
            case int() if -(1 << 63) <= value < 1 << 63:
                entry.int64_param = value
            case float():
                entry.double_param = value
            case str() if "\ud83d" not in value:
                entry.string_param = value
    elif field.is_repeated:
        values = getattr(within, field.name)
        match random.randrange(4):
            case 0 if len(values):
                del values[random.randrange(len(values))]
            case 1 if len(values):
                values.extend([copy.deepcopy(random.choice(values))] * random.choice((1, 1, 2, 40)))
            case 2 if len(values) and not field.message_type:
                values[random.randrange(len(values))] = scalar(random, field)
            case _:
                if field.message_type:
                    values.add()
                else:
                    values.append(scalar(random, field))
    elif field.message_type:
        within.ClearField(field.name)
    else:
        setattr(within, field.name, scalar(random, field))
    return message.SerializeToString()


def fields(message):
    """Every field of a message and of the messages in it."""
    for field in message.DESCRIPTOR.fields:
        yield message, field
        if not field.message_type or field.message_type.GetOptions().map_entry:
            continue
        values = getattr(message, field.name)
        for value in values[:4] if field.is_repeated else [values] * message.HasField(field.name):
            yield from fields(value)


def scalar(random, field):
    number = random.choice(NUMBERS)
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_BOOL:
            return random.random() < 0.5
        case FieldDescriptor.CPPTYPE_INT32:
            return (number + (1 << 31)) % (1 << 32) - (1 << 31)
        case FieldDescriptor.CPPTYPE_UINT32:
            return number % (1 << 32)
        case FieldDescriptor.CPPTYPE_INT64:
            return number
        case FieldDescriptor.CPPTYPE_UINT64:
            return number % (1 << 64)
        case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
            return random.choice((0.0, -1.5, 1e30, float("inf"), float("nan")))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return random.choice((b"", b"\0", random.choice(WORDS), random.randbytes(random.choice((1, 4, 8, 64, 5000)))))
    return random.choice([text for text in TEXTS if "\ud83d" not in text])


def on_wire(random, body):
    """Changes the order, the number, the kind or the length of what a message is made of."""
    parts, at = [], 0
    while at < len(body):
        end = part_end(body, at)
        parts.append(body[at:end])
        at = end
    if not parts:
        return random.choice(WORDS)
    i = random.randrange(len(parts))
    match random.randrange(6):
        case 0:
            del parts[i]
        case 1:
            parts.insert(random.randrange(len(parts)), parts[i])
        case 2:
            random.shuffle(parts)
        case 3:
            parts[i] = bytes((parts[i][0] & 0xf8 | random.randrange(8),)) + parts[i][1:]
        case 4:
            parts[i] = bytes((parts[i][0] & 7 | random.randrange(16) << 3,)) + parts[i][1:]
        case 5:
            parts[i] = parts[i][:1] + random.choice((b"\0", b"\xff\xff\xff\xff\x07", b"\xff" * 9 + b"\1", b"\x80" * 9 + b"\2")) + parts[i][2:]
    return b"".join(parts)


def part_end(body, at):
    """Where the field ends that begins there; the end of the message, if it is none."""
    kind, at = body[at] & 7, at + 1
    size, shift = 0, 0
    if kind in (0, 2):
        while at < len(body):
            size |= (body[at] & 0x7f) << shift
            shift, at = shift + 7, at + 1
            if body[at - 1] < 0x80:
                break
    step = {0: 0, 1: 8, 2: size, 5: 4}.get(kind, len(body))
    return min(len(body), at + step)


def head(sent):
    """The head of a request over HTTP."""
    lines = [f"{sent.method} {sent.path} HTTP/1.1", "Host: sluice", *(f"{name}: {value}" for name, value in sent.headers.items()),
             f"Content-Length: {len(sent.body)}"]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "replace")
