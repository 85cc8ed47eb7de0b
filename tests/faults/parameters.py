"""What can be wrong with the parameters of a request and with the outputs that it asks for, or odd."""

from faults import any_input, fault, output_of
from made import tensor
from v2 import DTYPES, OVER_HTTP, Tensor


@fault()
def one_output(random, case):
    case.outputs = [(output_of(random, case), {})]


@fault()
def an_empty_list_of_outputs(random, case):
    case.outputs = []


@fault()
def output_unknown(random, case):
    case.outputs = [(output_of(random, case), {}), ("more", {})]


@fault()
def output_doubled(random, case):
    case.outputs = [(output_of(random, case), {})] * 2


@fault()
def output_without_name(random, case):
    case.outputs = [("", {})]


@fault(models=("identity",))
def an_output_that_is_not_made(random, case):
    case.inputs = [tensor(random, "IN_INT32", "INT32", (1, 2))]
    case.outputs = [("OUT_INT32", {}), ("OUT_INT64", {})]


@fault(models=("digits",))
def classes(random, case):
    case.outputs = [("probabilities", {"classification": random.choice((1, 3, 10))})]


@fault(models=("digits",))
def no_classes(random, case):
    case.outputs = [("probabilities", {"classification": 0})]


@fault(models=("digits",))
def more_classes_than_there_are(random, case):
    case.outputs = [("probabilities", {"classification": random.choice((11, 1000))})]


@fault(models=("digits",))
def negative_classes(random, case):
    case.outputs = [("probabilities", {"classification": random.choice((-1, -(1 << 40)))})]


@fault(models=("digits",))
def classes_no_number(random, case):
    case.outputs = [("probabilities", {"classification": random.choice(("3", True, 1.5))})]


@fault(models=("identity",))
def classes_of_strings(random, case):
    case.inputs = [Tensor("IN_BYTES", "BYTES", [1, 2], [b"a", b"b"])]
    case.outputs = [("OUT_BYTES", {"classification": 1})]


@fault(models=("identity", "digits", "optional", "picky"))
def own_parameters(random, case):
    case.parameters = {"mine": random.choice((True, 7, -7, "text", 1.5, "")), "other": 0}


@fault()
def parameter_without_a_value(random, case):
    case.parameters["mine"] = None


@fault(*OVER_HTTP)
def parameter_of_no_type(random, case):
    case.parameters["mine"] = random.choice(([1], {"a": 1}))


@fault(models=("identity", "digits"))
def timeout(random, case):
    case.parameters["timeout"] = random.choice((0, 10_000_000, 1 << 40))


@fault(models=("identity", "digits"))
def timeout_no_number(random, case):
    case.parameters["timeout"] = random.choice(("soon", True, 1.5))


@fault(models=("identity", "digits"))
def negative_timeout(random, case):
    case.parameters["timeout"] = random.choice((-1, -(1 << 40)))


@fault(models=("identity", "digits"))
def priority(random, case):
    case.parameters["priority"] = random.choice((0, 1, 7))


@fault(models=("identity", "digits"))
def priority_no_number(random, case):
    case.parameters["priority"] = random.choice(("high", True, 1.5))


@fault(models=("identity", "digits"))
def negative_priority(random, case):
    case.parameters["priority"] = random.choice((-1, -(1 << 40)))


@fault()
def reserved_parameter(random, case):
    case.parameters[random.choice(("triton_x", "triton_", "triton_grpc_error"))] = random.choice((True, 1, "x"))


@fault()
def parameter_headers(random, case):
    case.parameters["headers"] = random.choice((True, 1, "x"))


@fault()
def parameter_of_sluice(random, case):
    case.parameters["sluice_x"] = 1


@fault(models=("accumulate",))
def sequence_without_id(random, case):
    del case.parameters["sequence_id"]
    if random.random() < 0.5:
        case.parameters.clear()


@fault(models=("accumulate",))
def sequence_not_started(random, case):
    del case.parameters["sequence_start"]


@fault(models=("accumulate",))
def sequence_id_of_zero(random, case):
    case.parameters["sequence_id"] = 0


@fault(models=("accumulate",))
def sequence_id_as_text(random, case):
    case.parameters["sequence_id"] = random.choice(("first", "x" * 100))


@fault(models=("identity", "digits", "optional"))
def sequence_parameters_of_no_sequence(random, case):
    case.parameters |= {"sequence_id": random.choice((5, 0, "text")), "sequence_start": True, "sequence_end": True}


@fault()
def sequence_id_no_id(random, case):
    case.parameters["sequence_id"] = random.choice((True, 1.5))


@fault(models=("identity", "digits"))
def negative_sequence_id(random, case):
    case.parameters["sequence_id"] = random.choice((-1, -(1 << 40)))


@fault()
def long_sequence_id(random, case):
    case.parameters["sequence_id"] = "x" * random.choice((129, 1000))


@fault()
def sequence_flags_no_bool(random, case):
    case.parameters[random.choice(("sequence_start", "sequence_end"))] = random.choice((1, "true", 1.5))


@fault()
def input_in_shared_memory(random, case):
    one = any_input(random, case)
    one.bare = True
    one.parameters = {"shared_memory_region": random.choice(("mine", "triton_python_backend_shm_region_1", "../x")), "shared_memory_byte_size": 64}
    if random.random() < 0.5:
        one.parameters["shared_memory_offset"] = random.choice((0, 1 << 62))


@fault()
def output_in_shared_memory(random, case):
    case.outputs = [(output_of(random, case), {"shared_memory_region": "mine", "shared_memory_byte_size": 64})]


@fault()
def shared_memory_without_size(random, case):
    one = any_input(random, case)
    one.bare = True
    one.parameters = {"shared_memory_region": "mine"}


@fault(models=("accumulate",))
def large_sequence_id(random, case):
    case.parameters["sequence_id"] = (1 << 63) - random.randrange(1, 100)


@fault(models=("identity", "digits", "optional"))
def short_timeout(random, case):
    case.parameters["timeout"] = 1


@fault()
def empty_final_response(random, case):
    case.parameters["triton_enable_empty_final_response"] = random.choice((True, False))


@fault(models=("identity",))
def classes_of_anything(random, case):
    datatype = random.choice([d for d in DTYPES if d not in ("BYTES", "FP16", "BF16")])
    case.inputs = [tensor(random, "IN_" + datatype, datatype, (random.randrange(1, 3), 3))]
    case.outputs = [("OUT_" + datatype, {"classification": random.choice((1, 2, 3))})]


@fault("binary", "raw", models=("identity",))
def classes_of_half_precision(random, case):
    datatype = random.choice(("FP16", "BF16"))
    case.inputs = [tensor(random, "IN_" + datatype, datatype, (1, 3))]
    case.outputs = [("OUT_" + datatype, {"classification": 2})]


@fault(models=("digits",))
def classes_of_all_outputs(random, case):
    case.outputs = [("label", {"classification": 1}), ("probabilities", {"classification": 2})]


@fault(models=("digits",))
def classes_beside_values(random, case):
    case.outputs = [("label", {}), ("probabilities", {"classification": 2})]


@fault(models=("digits",))
def outputs_in_another_order(random, case):
    case.outputs = [("probabilities", {}), ("label", {})]


@fault()
def own_parameters_of_an_input(random, case):
    case.inputs[0].parameters["mine"] = random.choice((True, 7, "text", 1.5))


@fault()
def own_parameters_of_an_output(random, case):
    case.outputs = [(output_of(random, case), {"mine": random.choice((True, 7, "text", 1.5))})]
