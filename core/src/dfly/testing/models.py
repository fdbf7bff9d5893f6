"""A model to send through a swarm: a real one where `make demo` has fetched it, else one of its shape."""

import json
import random
from pathlib import Path

REAL = Path(".demo") / "model"


def a_model(checkout: Path, spare: Path) -> Path:
    """The folder of a model: the real one in `checkout`, or one that is made in `spare`.

    Both are one large file of weights, a folder, and a dozen small texts of a few bytes to a few hundred kilobytes.
    """
    if (checkout / REAL / "config.json").is_file():
        return checkout / REAL
    some = random.Random(1)
    (spare / "1_Pooling").mkdir(parents=True)
    (spare / "model.safetensors").write_bytes(some.randbytes(40_000_001))
    (spare / "vocab.txt").write_text("\n".join(f"word{n}" for n in range(30_000)))
    for number, name in enumerate(("config", "modules", "tokenizer_config", "data_config", "1_Pooling/config")):
        (spare / f"{name}.json").write_text(json.dumps({"name": name, "values": list(range(number * 1000))}))
    (spare / "README.md").write_text("# A model\n")
    (spare / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    return spare
