"""What all tests share: one thread, no network, and the minis."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
for variable in ("PROMPTTUNE_SCALE", "PROMPTTUNE_RECORD"):
    os.environ.pop(variable, None)

import torch  # noqa: E402

torch.set_num_threads(1)
