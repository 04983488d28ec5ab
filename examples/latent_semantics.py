"""Latent semantic analysis: sentences that share no word can be about the same subject.

Twelve sentences, six about the sea and six about baking, make a matrix with a row for each word and a column
for each sentence. In its best approximation of rank 2, words that occur with the same words point in the
same direction, and so do sentences that share none.
"""

import re

import numpy as np

import gpusvd
from _picture import figure, output, save

SEA = [
    "The captain steers the ship out of the harbour.",
    "Wind and waves rock the ship in the harbour.",
    "A sailor rows the boat to the ship.",
    "Waves of salt water broke over the boat.",
    "The captain and the sailor wait for wind.",
    "At sea the wind drives the waves.",
]
BAKING = [
    "Mix flour, water and salt into a dough.",
    "The baker kneads the dough and lets it rise.",
    "A baker takes the bread out of the oven.",
    "Bread of flour and yeast bakes in the oven.",
    "Yeast makes the dough rise in a warm kitchen.",
    "The baker rolls butter and flour into the dough.",
]
QUERY = "captain of a boat"
COMMON = {"a", "and", "at", "for", "in", "into", "it", "of", "out", "over", "the", "to"}

sentences = SEA + BAKING
words_of = [[w for w in re.findall("[a-z]+", text.lower()) if w not in COMMON] for text in sentences]
vocabulary = sorted({word for words in words_of for word in words})
counts = np.array([[words.count(word) for words in words_of] for word in vocabulary], float)
weights = np.log(len(sentences) / np.count_nonzero(counts, axis=1))  # rare words tell more
a = counts * weights[:, None]

U, S, Vh, _ = gpusvd.low_rank(a, rank=2)
U, Vh = gpusvd.sign_flip(U, Vh)
query = np.array([QUERY.split().count(word) for word in vocabulary]) * weights


def cosines(matrix, vector):
    return vector @ matrix / (np.linalg.norm(matrix, axis=0) * np.linalg.norm(vector))


plain = cosines(a, query)
latent = cosines(S[:, None] * Vh, query @ U)
share = gpusvd.energy(gpusvd.svdvals(a))[1]
print(
    f"{len(vocabulary)} words, {len(sentences)} sentences; two singular values hold {share:.1%} of the energy"
)
print(f"query: {QUERY}")
print(" words  latent")
for place in np.argsort(-latent):
    print(f"{plain[place] + 0:6.2f} {latent[place]:7.2f}   {sentences[place]}")

drawing = figure(8, 5.6)
ax = drawing.subplots()
words = U * S
ax.plot(*words.T, ".", color="0.7")
free = counts.sum(axis=1) > 1  # of the words in two sentences or more, those that no name covers yet
for place in np.argsort(-np.linalg.norm(words, axis=1)):
    if free[place]:
        ax.annotate(vocabulary[place], words[place], color="0.35", xytext=(5, 3), textcoords="offset points")
        free &= (np.abs(words - words[place]) > (0.5, 0.12)).any(axis=1)
columns = (S[:, None] * Vh).T
ax.plot(*columns[: len(SEA)].T, "o", color="C0", label="sentences about the sea")
ax.plot(*columns[len(SEA) :].T, "s", color="C1", label="sentences about baking")
direction = query @ U
ax.plot(*direction, "*", color="C3", markersize=15, label=f"query: {QUERY}")
ax.plot([0, direction[0]], [0, direction[1]], color="C3")
ax.set_xlabel("along the first left singular vector")
ax.set_ylabel("along the second")
ax.legend()
ax.grid(alpha=0.3)
save(drawing, output())
