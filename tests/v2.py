"""Requests of the v2 protocol, good or bad, in the form in which they go out, and the answers to them.

A case is a request in its parts: over HTTP as JSON or with binary data, over gRPC
raw or with typed contents. The bytes are made here rather than by a client's
library, which would not let all of them out, nor show what came back.
"""

import dataclasses
import gzip
import http.client
import json
import struct
import zlib

import grpc
import ml_dtypes
import numpy
from tritonclient.grpc import service_pb2 as pb

FORMS = ("json", "binary", "raw", "typed")
OVER_HTTP = ("json", "binary")
OVER_GRPC = ("raw", "typed")

NUMPY = {"BOOL": bool, "FP16": numpy.float16, "BF16": ml_dtypes.bfloat16, "FP32": numpy.float32, "FP64": numpy.float64,
         **{f"{sign}INT{bits}": f"{sign}int{bits}".lower() for sign in ("", "U") for bits in (8, 16, 32, 64)}}
CONTENTS = {"BOOL": "bool", "INT8": "int", "INT16": "int", "INT32": "int", "INT64": "int64", "UINT8": "uint", "UINT16": "uint",
            "UINT32": "uint", "UINT64": "uint64", "FP32": "fp32", "FP64": "fp64", "BYTES": "bytes"}
DTYPES = (*NUMPY, "BYTES")


@dataclasses.dataclass
class Tensor:
    name: str
    datatype: str
    shape: list
    values: list  # flat
    parameters: dict = dataclasses.field(default_factory=dict)
    raw: bytes = None  # where it is not that of values
    data: object = None  # the JSON for it, where it is not that of values; its text, if it is a str
    size: object = None  # binary_data_size, where it is not the length
    bare: bool = False  # goes without its data
    doubled: bool = False  # has its data in both forms
    plain: bool = False  # has its data as JSON where that of others is binary

    def bytes(self):
        if self.raw is not None:
            return self.raw
        if self.datatype == "BYTES":
            return b"".join(struct.pack("<I", len(value)) + value for value in self.values)
        return numpy.array(self.values, NUMPY.get(self.datatype, numpy.float32)).tobytes()

    def text(self):
        """The data as JSON."""
        if isinstance(self.data, str):
            return self.data
        values = self.values if self.data is None else self.data
        return json.dumps([value.decode("latin-1") if isinstance(value, bytes) else value for value in values])


@dataclasses.dataclass
class Case:
    form: str
    model: str
    inputs: list
    version: str = ""
    id: str = ""
    parameters: dict = dataclasses.field(default_factory=dict)
    outputs: list = None  # of (name, parameters)
    label: str = "good"

    # What is wrong with the message rather than with what it says.
    edit: object = None  # over HTTP: document text -> document text; over gRPC: message -> None
    mangle: object = None  # bytes -> bytes
    header: object = None  # the value of Inference-Header-Content-Length
    headers: dict = dataclasses.field(default_factory=dict)
    method: str = "POST"
    suffix: str = "/infer"
    chunked: bool = False  # goes over HTTP in pieces whose sum is not said
    compression: grpc.Compression = None  # of the message over gRPC


# Sending.

@dataclasses.dataclass
class Answer:
    status: object  # of HTTP, or the name of that of gRPC
    error: str = ""
    id: str = ""
    model: tuple = ()
    outputs: list = dataclasses.field(default_factory=list)  # of (name, datatype, shape, list of values)
    binary: list = dataclasses.field(default_factory=list)  # the names of those that came as binary data over HTTP
    encoding: str = ""  # of what came over HTTP

    @property
    def ok(self):
        return self.status in (200, "OK")


class Client:
    """Sends cases to one server, which may answer over gRPC in typed contents if it is said so."""

    def __init__(self, http_address, grpc_address, patience=30, typed=False):
        self.address, self.patience, self.typed = http_address, patience, typed
        self.connection = None
        self.channel = grpc.insecure_channel(grpc_address, options=[("grpc.max_receive_message_length", -1)])
        self.call = self.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        self.stream = self.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")

    def close(self):
        self.channel.close()
        if self.connection:
            self.connection.close()

    def send(self, case):
        return self.send_http(case) if case.form in OVER_HTTP else self.send_grpc(case)

    def send_http(self, case):
        path, body, headers = http_request(case)
        for fresh in (False, True):
            if self.connection is None:
                fresh = True
                self.connection = http.client.HTTPConnection(self.address, timeout=self.patience)
            try:
                self.connection.request(case.method, path, iter((body[:9], body[9:])) if case.chunked else body, headers, encode_chunked=case.chunked)
                response = self.connection.getresponse()
                status, answered, payload = response.status, response.headers, response.read()
                break
            except TimeoutError:
                self.connection.close()
                self.connection = None
                return Answer("silent")
            except (http.client.HTTPException, ConnectionError):
                self.connection.close()
                self.connection = None
                if fresh:
                    return Answer("closed")
        return http_answer(status, answered, payload)

    def send_grpc(self, case):
        message = grpc_request(case)
        try:
            response = pb.ModelInferResponse.FromString(self.call(message, timeout=self.patience, compression=case.compression))
            return grpc_answer(response, self.typed and not response.raw_output_contents)
        except grpc.RpcError as error:
            return Answer(error.code().name, error.details())

    def send_stream(self, case):
        """Send a case as the only message of a stream that has one answer, of which an error has words, and no status."""
        try:
            message, = self.stream(iter((grpc_request(case),)), timeout=self.patience, compression=case.compression)
        except grpc.RpcError as error:
            return Answer(error.code().name, error.details())
        answer = pb.ModelStreamInferResponse.FromString(message)
        return Answer("error", answer.error_message) if answer.error_message else grpc_answer(answer.infer_response)


def http_request(case):
    document, tail = {}, b""
    if case.id:
        document["id"] = case.id
    parameters = dict(case.parameters)
    if case.form == "binary" and not case.outputs:
        parameters.setdefault("binary_data_output", True)
    if parameters:
        document["parameters"] = parameters
    document["inputs"], texts = [], []
    for one in case.inputs:
        own = dict(one.parameters)
        made = {"name": one.name, "shape": one.shape, "datatype": one.datatype}
        if not one.bare:
            if case.form == "binary" and not one.plain:
                own["binary_data_size"] = len(one.bytes()) if one.size is None else one.size
                tail += one.bytes()
            if case.form == "json" or one.doubled or one.plain:
                made["data"] = f"@{len(texts)}@"
                texts.append(one.text())
            if case.form == "json" and one.doubled:
                own["binary_data_size"] = 4
        if own:
            made["parameters"] = own
        document["inputs"].append(made)
    if case.outputs is not None:
        document["outputs"] = [
            {"name": name, "parameters": {**({"binary_data": True} if case.form == "binary" and "classification" not in own else {}), **own}}
            for name, own in case.outputs
        ]
    text = json.dumps(document)
    for number, data in enumerate(texts):
        text = text.replace(f'"@{number}@"', data, 1)
    if case.edit:
        text = case.edit(text)
    body = text.encode()
    headers = {**case.headers, **({"Transfer-Encoding": "chunked"} if case.chunked else {})}
    match case.header:
        case None if case.form == "binary":
            headers["Inference-Header-Content-Length"] = str(len(body))
        case None | ("none",):
            pass
        case ("as", form):
            headers["Inference-Header-Content-Length"] = form.replace("{}", str(len(body)))
        case ("off", by):
            headers["Inference-Header-Content-Length"] = str(len(body) + by)
        case value:
            headers["Inference-Header-Content-Length"] = value
    body += tail
    if case.mangle:
        body = case.mangle(body)
    version = f"/versions/{case.version}" if case.version else ""
    return f"/v2/models/{case.model.replace(' ', '%20')}{version}{case.suffix}", body, headers


def http_answer(status, headers, payload):
    encoding = headers.get("Content-Encoding", "")
    if encoding:
        payload = {"gzip": gzip.decompress, "deflate": zlib.decompress}[encoding](payload)
    length = headers.get("Inference-Header-Content-Length")
    try:
        document = json.loads(payload if length is None else payload[:int(length)])
    except ValueError:
        return Answer(status, payload.decode("latin-1"))
    if status != 200:
        return Answer(status, document.get("error", ""))
    answer = Answer(status, "", document.get("id", ""), (document["model_name"], document["model_version"]), encoding=encoding)
    at = int(length or 0)
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = flat(output["data"])
            if output["datatype"] != "BYTES":
                values = numpy.array(values, NUMPY[output["datatype"]])
        else:
            values = parse(output["datatype"], payload[at:at + size])
            at += size
            answer.binary.append(output["name"])
        answer.outputs.append((output["name"], output["datatype"], output["shape"], values))
    return answer


def flat(data):
    return [value for one in data for value in (flat(one) if isinstance(one, list) else [one])]


def parse(datatype, content):
    if datatype != "BYTES":
        return numpy.frombuffer(content, NUMPY[datatype])
    values, at = [], 0
    while at < len(content):
        size, = struct.unpack_from("<I", content, at)
        at += 4 + size
        values.append(content[at - size:at].decode("latin-1"))
    return values


def grpc_request(case):
    message = pb.ModelInferRequest(model_name=case.model, model_version=case.version, id=case.id)
    set_parameters(message.parameters, case.parameters)
    raw = case.form == "raw" or any(one.doubled for one in case.inputs)
    for one in case.inputs:
        made = message.inputs.add(name=one.name, datatype=one.datatype, shape=one.shape)
        set_parameters(made.parameters, one.parameters)
        if one.bare:
            continue
        if case.form == "typed" or one.doubled:
            field = CONTENTS.get(one.datatype)
            if field:
                getattr(made.contents, field + "_contents").extend(one.values)
        if raw:
            message.raw_input_contents.append(one.bytes())
    for name, own in case.outputs or ():
        set_parameters(message.outputs.add(name=name).parameters, own)
    if case.edit:
        case.edit(message)
    body = message.SerializeToString()
    return case.mangle(body) if case.mangle else body


def set_parameters(to, parameters):
    for key, value in parameters.items():
        match value:
            case None:
                to[key].SetInParent()
            case bool():
                to[key].bool_param = value
            case int():
                to[key].int64_param = value
            case float():
                to[key].double_param = value
            case str():
                to[key].string_param = value


def grpc_answer(response, typed=False):
    answer = Answer("OK", "", response.id, (response.model_name, response.model_version))
    contents = [listed(output) for output in response.outputs] if typed else response.raw_output_contents
    for output, content in zip(response.outputs, contents, strict=True):
        answer.outputs.append((output.name, output.datatype, list(output.shape), parse(output.datatype, content)))
    return answer


def listed(output):
    """The bytes of an output in typed contents."""
    values = list(getattr(output.contents, CONTENTS[output.datatype] + "_contents"))
    return Tensor("", output.datatype, [], values).bytes()
