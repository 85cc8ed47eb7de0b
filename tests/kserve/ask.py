"""Ask a Sluice, ask.py GRPC HTTP, with the SDK's own clients over gRPC and REST. It runs in the SDK's virtual environment."""

import asyncio
import sys

from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

VALUES = [float(i) for i in range(8)]
ROWS = [VALUES[:4], VALUES[4:]]


def request(model):
    return InferRequest(model_name=model, infer_inputs=[InferInput("x", [2, 4], "FP32", data=VALUES)])


async def over_grpc(address, model):
    client = InferenceGRPCClient(address)
    assert await client.is_server_live(), "it is not live"
    assert await client.is_model_ready(model), f"{model} is not ready"
    answer = await client.infer(request(model))
    assert answer.model_version == "1", answer.model_version
    await client.close()
    return answer.outputs[0].as_numpy().tolist()


async def over_v2(address, model):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(address), "it is not live"
    assert await client.is_model_ready(address, model), f"{model} is not ready"
    answer = await client.infer(address, request(model), model_name=model)
    await client.close()
    return answer.outputs[0].as_numpy().tolist()


async def over_v1(address, model):
    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    assert await client.is_model_ready(address, model), f"{model} is not ready"
    answer = await client.infer(address, {"instances": ROWS}, model_name=model)
    await client.close()
    return answer["predictions"]


async def main():
    grpc, http = sys.argv[1], f"http://{sys.argv[2]}"
    for model, factor in ("double", 2), ("scorer", 2), ("double-rest", 2), ("scorer-rest", 2), ("scorer-v1", 2):
        want = [[factor * value for value in row] for row in ROWS]
        for ask, address in (over_grpc, grpc), (over_v2, http), (over_v1, http):
            got = await ask(address, model)
            assert got == want, f"{model}, {ask.__name__}: {got}"


asyncio.run(main())
