"""TensorFlow Serving's gRPC services over SavedModels: the official servicers, the protocol's own messages, and TensorFlow.

The real server is a program that no registry of packages has. What this one does beside running signatures is
written after it: versions that come and go as their folders do, labels, and its codes and texts. TensorFlow itself
reads the tensors of requests, so that what a tensor means is for it to say.
"""

import argparse
import concurrent.futures
import os
import pathlib
import tempfile
import threading

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import grpc  # noqa: E402
import numpy  # noqa: E402
import tensorflow as tf  # noqa: E402
from google.protobuf import any_pb2  # noqa: E402
from tensorflow.core.protobuf import saved_model_pb2  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2, get_model_metadata_pb2, get_model_status_pb2, inference_pb2, model_management_pb2,
    model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc, regression_pb2)

import models  # noqa: E402

State = get_model_status_pb2.ModelVersionStatus.State
Code = grpc.StatusCode
CODES = {code.value[0]: code for code in Code}
PREDICT, CLASSIFY, REGRESS = (f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress"))
LONGEST_TEXT = 1024


class Refusal(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "...TRUNCATED"


class Version:
    """A version of a model, as its folder has it."""

    def __init__(self, path):
        self.state, self.why = State.LOADING, ""
        try:
            meta = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs[0]
            self.signatures = meta.signature_def
            self._loaded = tf.saved_model.load(str(path))
            self.state = State.AVAILABLE
        except Exception as e:  # what the folder holds is anything
            self.state, self.why = State.END, f"{type(e).__name__}: {e}"

    def run(self, signature, inputs):
        return self._loaded.signatures[signature](**inputs)


class Manager:
    """The versions of the models in a folder, all of them, and their labels."""

    def __init__(self, folder, labels):
        self._folder, self._lock = pathlib.Path(folder), threading.Lock()
        self._labels, self._models = labels, {}
        self.look()

    def look(self):
        """Take in which versions there are now. One that is gone is remembered as such."""
        there = {(path.parent.name, int(path.name)): path for path in self._folder.glob("*/[0-9]*")}
        for key in sorted(there):
            old = self._models.get(key)
            if old is None or old.state == State.END and not old.why:
                loaded = Version(there[key])
                with self._lock:
                    self._models[key] = loaded
        with self._lock:
            for key, version in self._models.items():
                if key not in there:
                    version.state, version.why = State.END, ""

    def reload(self, config):
        """Replace the labels; models stay those of the folder."""
        labels = {}
        for model in config.model_config_list.config:
            for label, number in model.version_labels.items():
                self.find(model.name, number)
                labels[model.name, label] = number
        with self._lock:
            self._labels = labels

    def versions(self, name):
        with self._lock:
            return {number: version for (model, number), version in self._models.items() if model == name}

    def find(self, name, number=None):
        there = {n: v for n, v in self.versions(name).items() if v.state == State.AVAILABLE}
        if number is None and there:
            number = max(there)
        if number not in there:
            what = f"Latest({name})" if number is None else f"Specific({name}, {number})"
            raise Refusal(Code.NOT_FOUND, f"Servable not found for request: {what}")
        return number, there[number]

    def meant(self, spec):
        """The number and the version that a ModelSpec asks for."""
        if not spec.name:
            raise Refusal(Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            with self._lock:
                number = self._labels.get((spec.name, spec.version_label))
            if number is None:
                raise Refusal(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {spec.version_label}")
            return self.find(spec.name, number)
        return self.find(spec.name, spec.version.value if choice == "version" else None)


LISTS = {
    tf.float32: "float_val", tf.float64: "double_val", tf.int64: "int64_val", tf.bool: "bool_val", tf.string: "string_val",
    tf.uint32: "uint32_val", tf.uint64: "uint64_val", tf.float16: "half_val", tf.bfloat16: "half_val",
    **dict.fromkeys((tf.int32, tf.int16, tf.int8, tf.uint16, tf.uint8), "int_val"),
}


def answer_of(t, content):
    """The TensorProto of a tensor: with the list of its type, or with tensor_content, as the server's flag says."""
    array = numpy.array(t.numpy(), object if t.dtype == tf.string else None)  # one string comes as itself
    if content and t.dtype != tf.string:
        proto = tf.make_tensor_proto(t, shape=t.shape)
        if not proto.tensor_content:
            for field in set(LISTS.values()):
                proto.ClearField(field)
            proto.tensor_content = array.tobytes()
        return proto
    proto = tf.make_tensor_proto([], dtype=t.dtype, shape=[0])
    proto.tensor_shape.CopyFrom(t.shape.as_proto())
    if t.dtype in (tf.float16, tf.bfloat16):
        array = array.view("uint16")
    getattr(proto, LISTS[t.dtype]).extend([array.item()] if array.ndim == 0 else array.ravel().tolist())
    return proto


class Server:
    """What both services do."""

    def __init__(self, manager, content):
        self.manager, self.content = manager, content

    def spec(self, to, of, number, signature=None):
        to.name = of.name
        to.version.value = number
        if signature is not None:
            to.signature_name = signature

    def signature(self, spec):
        number, version = self.manager.meant(spec)
        name = spec.signature_name or "serving_default"
        if name not in version.signatures:
            raise Refusal(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        return number, version, name, version.signatures[name]

    def predict(self, request):
        number, version, name, signature = self.signature(request.model_spec)
        if signature.method_name not in (PREDICT, CLASSIFY, REGRESS):
            raise Refusal(Code.INTERNAL, f"Expected prediction signature method_name to be one of {{{PREDICT}, {CLASSIFY}, {REGRESS}}}. Was: {signature.method_name}")
        sent, needed = set(request.inputs), set(signature.inputs)
        if sent != needed:
            raise Refusal(Code.INVALID_ARGUMENT, (
                f"input size does not match signature: {len(sent)}!={len(needed)} len({{{','.join(sorted(sent))}}}) != len({{{','.join(sorted(needed))}}}). "
                f"Sent extra: {{{','.join(sorted(sent - needed))}}}. Missing but required: {{{','.join(sorted(needed - sent))}}}."))
        inputs = {}
        for key, proto in request.inputs.items():
            info = signature.inputs[key]
            if proto.dtype != info.dtype:
                raise Refusal(Code.INVALID_ARGUMENT, f"Expects arg[0] to be {tf.as_dtype(info.dtype).name} but {proto.dtype} is provided")
            inputs[key] = tf.io.parse_tensor(proto.SerializeToString(), tf.as_dtype(proto.dtype))
            if not tf.TensorShape(info.tensor_shape).is_compatible_with(inputs[key].shape):
                raise Refusal(Code.INVALID_ARGUMENT, f"The tensor {key} has the shape {inputs[key].shape}, not {tf.TensorShape(info.tensor_shape)}")
        wanted = list(request.output_filter) or list(signature.outputs)
        for alias in wanted:
            if alias not in signature.outputs:
                raise Refusal(Code.INVALID_ARGUMENT, f"output tensor alias not found in signature: {alias} Outputs expected to be in the set {{{','.join(sorted(signature.outputs))}}}.")
        if len(set(wanted)) != len(wanted):
            raise Refusal(Code.INVALID_ARGUMENT, "duplicate output tensor alias")
        outputs = version.run(name, inputs)
        answer = predict_pb2.PredictResponse()
        self.spec(answer.model_spec, request.model_spec, number, name)
        for alias in wanted:
            answer.outputs[alias].CopyFrom(answer_of(outputs[alias], self.content))
        return answer

    def examples(self, spec, method, given):
        """Run a signature that takes Examples."""
        number, version, name, signature = self.signature(spec)
        if signature.method_name != method:
            raise Refusal(Code.INVALID_ARGUMENT, f"Expected {method.rsplit('/', 1)[1]} signature method_name to be {method}. Was: {signature.method_name}")
        kind = given.WhichOneof("kind")
        if kind == "example_list_with_context":
            context = given.example_list_with_context.context.SerializeToString()
            serialized = [context + e.SerializeToString() for e in given.example_list_with_context.examples]
        else:
            serialized = [e.SerializeToString() for e in given.example_list.examples]
        if not serialized:
            raise Refusal(Code.INVALID_ARGUMENT, "Input is empty.")
        return number, name, version.run(name, {key: tf.constant(serialized) for key in signature.inputs})

    def classify(self, spec, given):
        number, name, outputs = self.examples(spec, CLASSIFY, given)
        result = classification_pb2.ClassificationResult()
        classes, scores = outputs["classes"].numpy(), outputs["scores"].numpy()
        for labels, values in zip(classes, scores):
            one = result.classifications.add()
            for label, score in zip(labels, values):
                one.classes.add(label=label.decode(), score=score)
        return number, name, result

    def regress(self, spec, given):
        number, name, outputs = self.examples(spec, REGRESS, given)
        result = regression_pb2.RegressionResult()
        for value in outputs["outputs"].numpy().ravel():
            result.regressions.add(value=value)
        return number, name, result


def served(method):
    """Has a method end as gRPC has it where it refuses, or TensorFlow does."""
    def serve(self, request, context):
        try:
            return method(self, request)
        except Refusal as e:
            code, text = e.code, e.text
        except tf.errors.OpError as e:
            code, text = CODES[e.error_code], e.message[:LONGEST_TEXT]
        except (TypeError, ValueError) as e:
            code, text = Code.INVALID_ARGUMENT, str(e)[:LONGEST_TEXT]
        return context.abort(code, text)
    return serve


class Prediction(Server, prediction_service_pb2_grpc.PredictionServiceServicer):
    @served
    def Predict(self, request):
        return self.predict(request)

    @served
    def Classify(self, request):
        answer = classification_pb2.ClassificationResponse()
        number, name, result = self.classify(request.model_spec, request.input)
        self.spec(answer.model_spec, request.model_spec, number, name)
        answer.result.CopyFrom(result)
        return answer

    @served
    def Regress(self, request):
        answer = regression_pb2.RegressionResponse()
        number, name, result = self.regress(request.model_spec, request.input)
        self.spec(answer.model_spec, request.model_spec, number, name)
        answer.result.CopyFrom(result)
        return answer

    @served
    def MultiInference(self, request):
        answer = inference_pb2.MultiInferenceResponse()
        for task in request.tasks:
            one = answer.results.add()
            if task.method_name == CLASSIFY:
                number, name, result = self.classify(task.model_spec, request.input)
                one.classification_result.CopyFrom(result)
            elif task.method_name == REGRESS:
                number, name, result = self.regress(task.model_spec, request.input)
                one.regression_result.CopyFrom(result)
            else:
                raise Refusal(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
            self.spec(one.model_spec, task.model_spec, number, name)
        return answer

    @served
    def GetModelMetadata(self, request):
        if not request.metadata_field:
            raise Refusal(Code.INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise Refusal(Code.INVALID_ARGUMENT, f"Metadata field {field} is not supported")
        number, version = self.manager.meant(request.model_spec)
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        self.spec(answer.model_spec, request.model_spec, number)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in version.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        packed = any_pb2.Any()
        packed.Pack(signatures)
        answer.metadata["signature_def"].CopyFrom(packed)
        return answer


class Models(Server, model_service_pb2_grpc.ModelServiceServicer):
    @served
    def GetModelStatus(self, request):
        spec = request.model_spec
        there = self.manager.versions(spec.name)
        if spec.WhichOneof("version_choice"):
            number, _ = self.manager.meant(spec)
            there = {number: there[number]}
        if not there:
            raise Refusal(Code.NOT_FOUND, f"Could not find any versions of model {spec.name}")
        answer = get_model_status_pb2.GetModelStatusResponse()
        for number in sorted(there, reverse=True):
            one = answer.model_version_status.add(version=number, state=there[number].state)
            if there[number].why:
                one.status.error_code, one.status.error_message = Code.UNKNOWN.value[0], there[number].why
        return answer

    @served
    def HandleReloadConfigRequest(self, request):
        self.manager.reload(request.config)
        return model_management_pb2.ReloadConfigResponse()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", help="of MODEL/VERSION/saved_model.pb; default: the models of models.py, written anew")
    parser.add_argument("--address", default="127.0.0.1:0")
    parser.add_argument("--label", action="append", default=[], metavar="MODEL:LABEL=VERSION")
    parser.add_argument("--content", action="store_true", help="answer with tensor_content")
    parser.add_argument("--ready-file", required=True, help="where the bound address is written to, once the models are loaded")
    parser.add_argument("--poll", type=float, default=0.2, help="seconds between looks at the folder")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(2)
    own = None
    if arguments.folder is None:
        own = tempfile.TemporaryDirectory(prefix="tfserving-models-")
        arguments.folder = own.name
        models.build(own.name)
    labels = {}
    for label in arguments.label:
        name, number = label.rsplit("=", 1)
        labels[tuple(name.split(":", 1))] = int(number)
    manager = Manager(arguments.folder, labels)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), options=[
        ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 1)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Prediction(manager, arguments.content), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Models(manager, arguments.content), server)
    host = arguments.address.rsplit(":", 1)[0]
    port = server.add_insecure_port(arguments.address)
    server.start()
    ready = pathlib.Path(arguments.ready_file)
    ready.with_suffix(".new").write_text(f"{host}:{port}")
    ready.with_suffix(".new").rename(ready)
    over = threading.Event()
    while not over.wait(arguments.poll):
        manager.look()


if __name__ == "__main__":
    main()
