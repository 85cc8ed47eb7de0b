"""Ask a Sluice, ask.py ADDRESS, with the SDK's own client over gRPC. It runs in the SDK's virtual environment."""

import asyncio
import sys

from kserve import InferenceGRPCClient, InferInput, InferRequest


async def main():
    client = InferenceGRPCClient(sys.argv[1])
    for model, factor in ("double", 2), ("scorer", 2), ("double-rest", 2), ("scorer-rest", 2):
        assert await client.is_server_live(), "it is not live"
        assert await client.is_model_ready(model), f"{model} is not ready"
        values = InferInput("x", [2, 4], "FP32", data=[float(i) for i in range(8)])
        answer = await client.infer(InferRequest(model_name=model, infer_inputs=[values]))
        got = answer.outputs[0].as_numpy().ravel().tolist()
        assert got == [factor * float(i) for i in range(8)], got
        assert answer.model_version == "1", answer.model_version
    await client.close()


asyncio.run(main())
