"""How much one symbol tells of another, in nats: exactly for a symmetric channel, measured from pairs."""

import math

import numpy as np
from jaxtyping import Int


def noisy_entropy(kept: float, q: int) -> float:
    """Entropy of a symbol that is a known one with probability `kept`, else any of q, in nats.

        H = -a ln a - (q - 1) b ln b,   a = kept + b,   b = (1 - kept) / q

    **Raises** ValueError for `kept` outside 0 .. 1 or q < 1.
    """
    if not 0 <= kept <= 1 or q < 1:
        raise ValueError(f"expected a probability from 0 to 1 and at least one symbol, got {kept} and {q}.")
    rest = (1 - kept) / q
    total = 0.0
    for p, count in ((kept + rest, 1), (rest, q - 1)):
        total -= count * p * math.log(p) if p > 0 else 0.0
    return max(total, 0.0)


def channel_information(kept: float, q: int) -> float:
    """Mutual information of a uniform symbol and its copy, kept with that probability: I = ln q - H(kept, q), in nats.

    Without memory or without loss the ends are exact: 0 for kept = 0, ln q for kept = 1.
    """
    return math.log(q) - noisy_entropy(kept, q) if kept > 0 else 0.0


def measured_information(first: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"]) -> float:
    """Mutual information of n pairs of symbols, in nats, with the leading bias of small counts taken out.

        I = H_1 + H_2 - H_12 + (K_1 + K_2 - K_12 - 1) / (2 n)

    H are the entropies of the observed frequencies and K the numbers of different symbols and pairs seen (Miller and
    Madow's correction of each entropy). Of independent symbols it is zero up to noise of either sign.

    Arguments: symbols as whole numbers from 0. **Raises** ValueError for no pairs or a negative symbol.
    """
    if len(first) == 0 or min(first.min(), second.min()) < 0:
        raise ValueError("expected pairs of whole numbers from 0, got none or a negative one.")
    first, second = first.astype(np.int64), second.astype(np.int64)
    joint = np.unique(first * (int(second.max()) + 1) + second, return_counts=True)[1]
    alone = [np.unique(symbols, return_counts=True)[1] for symbols in (first, second)]
    entropy = lambda counts: -float(np.sum(counts / len(first) * np.log(counts / len(first))))
    seen = sum(map(len, alone)) - len(joint) - 1
    return sum(map(entropy, alone)) - entropy(joint) + seen / (2 * len(first))


def information_at(tokens: Int[np.ndarray, " n"], distance: int) -> float:
    """Mutual information of two tokens of a text that stand `distance` apart, in nats, as `measured_information`.

    **Raises** ValueError for a distance below 1 or without a pair in the text.
    """
    if not 1 <= distance < len(tokens):
        raise ValueError(f"expected a distance from 1 to {len(tokens) - 1} in {len(tokens)} tokens, got {distance}.")
    return measured_information(tokens[:-distance], tokens[distance:])
