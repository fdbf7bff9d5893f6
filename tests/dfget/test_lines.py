"""The command lines that people will type first, as they type them."""

import shlex

import pytest
from tests.dfget.files import some_bytes, tree

COMMIT = "abc123def" + "0" * 31
OLD, NEW = some_bytes(3_000_000, seed=2), some_bytes(3_000_000, seed=3)
R1 = {"config.json": b'{"model_type": "deepseek_v3"}', "model.safetensors": NEW, "figures/benchmark.jpg": b"jpg"}
SQUAD = b'{"data": []}'
WEIGHTS = some_bytes(2_000_000, seed=4)
C4 = some_bytes(1_500_000, seed=5)
ORG = {"config.json": b"{}", "pytorch_model.bin": some_bytes(1_100_000, seed=6)}

LINES = [
    (
        "dfget hf://deepseek-ai/DeepSeek-R1/model.safetensors -O models/model.safetensors",
        {"models/model.safetensors": NEW},
    ),
    (
        "dfget hf://deepseek-ai/DeepSeek-R1 -O models/DeepSeek-R1/ -r",
        {f"models/DeepSeek-R1/{path}": content for path, content in R1.items()},
    ),
    ("dfget hf://datasets/huggingface/squad/train.json -O data/train.json", {"data/train.json": SQUAD}),
    ("dfget hf://owner/private-model/weights.bin -O w/weights.bin --hf-token=hf_x", {"w/weights.bin": WEIGHTS}),
    ("dfget hf://owner/private-model/weights.bin --hf-token=hf_x", {"weights.bin": WEIGHTS}),
    (
        "dfget hf://deepseek-ai/DeepSeek-R1/model.safetensors --hf-revision v2.0 -O models/model.safetensors",
        {"models/model.safetensors": OLD},
    ),
    ("dfget hf://org/model --hf-revision abc123def -O model -r", {f"model/{k}": v for k, v in ORG.items()}),
    (
        "dfget hf://datasets/allenai/c4/en/train-00000-of-01024.json.gz -O c4/train.json.gz",
        {"c4/train.json.gz": C4},
    ),
]


@pytest.mark.parametrize(("line", "expected"), LINES, ids=[line for line, _ in LINES])
def test_the_lines_that_people_type_first_work_as_written(hub, dfget, here, line, expected):
    r1 = hub.repo("deepseek-ai/DeepSeek-R1", {**R1, "model.safetensors": OLD})
    r1.tag("v2.0")
    r1.commit(R1)
    hub.repo("datasets/huggingface/squad", {"train.json": SQUAD})
    hub.repo("owner/private-model", {"weights.bin": WEIGHTS}, private=True)
    hub.token("hf_x", grants=["owner/private-model"])
    model = hub.repo("org/model")
    model.commit(ORG, id=COMMIT)
    model.commit({"config.json": b"newer"})
    hub.repo("datasets/allenai/c4", {"en/train-00000-of-01024.json.gz": C4, "en/other.json.gz": b"-"})
    done = dfget(*shlex.split(line)[1:])
    assert done.code == 0, done.err
    assert "all verified" in done.err
    assert tree(here) == expected
