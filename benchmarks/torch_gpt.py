"""One training step of a small GPT in PyTorch, eager: architecture and optimiser of benchmarks/language.py.

Run by benchmarks/language.py with a Python that has torch (it is no dependency of ours); prints one JSON line.
"""

import argparse
import json
import os
import resource
import time

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """Pre-LayerNorm attention and MLP, with PyTorch's own fused causal attention."""

    def __init__(self, width: int, heads: int, ratio: int):
        super().__init__()
        self.heads = heads
        self.norm_mix, self.norm_mlp = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.mix, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, ratio * width), nn.Linear(ratio * width, width)

    def forward(self, x):
        batch, n, width = x.shape
        parts = self.mix(self.norm_mix(x)).view(batch, n, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*parts, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).reshape(batch, n, width))
        return x + self.contract(functional.gelu(self.expand(self.norm_mlp(x)), approximate="tanh"))


class GPT(nn.Module):
    """Embeddings, blocks, LayerNorm, and the embeddings again as output layer."""

    def __init__(self, vocabulary: int, block: int, width: int, heads: int, depth: int, ratio: int):
        super().__init__()
        self.embed, self.places = nn.Embedding(vocabulary, width), nn.Embedding(block, width)
        for table in (self.embed, self.places):
            nn.init.normal_(table.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(width, heads, ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens):
        x = self.embed(tokens) + self.places.weight
        for block in self.blocks:
            x = block(x)
        return functional.linear(self.norm(x), self.embed.weight)


def main() -> None:
    """Time the steps and print one JSON line."""
    parser = argparse.ArgumentParser()
    for name in ("vocabulary", "block", "batch", "width", "heads", "depth", "ratio", "steps", "threads", "accumulate"):
        parser.add_argument(f"--{name}", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = GPT(args.vocabulary, args.block, args.width, args.heads, args.depth, args.ratio)
    tables = [model.embed.weight, model.places.weight]
    rest = [p for p in model.parameters() if all(p is not table for table in tables)]
    groups = [{"params": tables, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95))
    tokens = torch.randint(args.vocabulary, (args.batch, args.block + 1))
    pieces = tokens.chunk(args.accumulate)
    seconds, losses = [], []
    for _ in range(args.steps):
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for piece in pieces:
            logits = model(piece[:, :-1])
            loss = functional.cross_entropy(logits.flatten(0, 1), piece[:, 1:].flatten()) * len(piece) / args.batch
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        seconds.append(time.perf_counter() - start)
        losses.append(total)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {"seconds": seconds, "losses": [losses[0], losses[-1]], "peak": peak, "version": torch.__version__}
    found |= {"parameters": sum(p.numel() for p in model.parameters()), "cores": len(os.sched_getaffinity(0))}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
