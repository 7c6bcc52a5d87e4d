import numpy as np
import pytest
import torch

from toy import DIM, ToyEncoder
from xingping.config import HeadSettings
from xingping.epochs import GROUP_SHARDS
from xingping.features import FeatureStore, StoredFeatures
from xingping.heads import RatingHead
from xingping.scoring import head_outputs, head_scores

TEXTS = [f"片子{'好看' * (number % 9)}{number}" for number in range(3 * (GROUP_SHARDS + 4))] + [""]


@pytest.fixture(scope="module")
def memory():
    return StoredFeatures.of(ToyEncoder().encode(TEXTS))


@pytest.fixture(params=[("self_attention",), ("mean", "max"), ("cls",)], ids="+".join)
def head(request, memory):
    torch.manual_seed(0)
    settings = HeadSettings(members=1, pooling=request.param, n_hops=2, attention_dim=8)
    head = RatingHead(DIM, settings, ("classification",))
    head.standardise.fit(memory)
    return head


def test_scores_are_those_of_one_review_at_a_time(head, memory):
    scores = head_scores(head, memory)
    loader = head.loader()
    with torch.inference_mode():
        alone = [head(loader.load(memory, np.array([index]))).answer[0].numpy() for index in range(len(memory))]
    np.testing.assert_allclose(scores, alone, atol=1e-5)


def test_a_store_of_several_groups_gives_the_same_and_its_pages_back(head, memory, tmp_path, monkeypatch):
    store = FeatureStore("toy", tmp_path, shard_texts=3)
    store.encode(ToyEncoder(), TEXTS)
    stored = store.view(TEXTS)
    released = []
    monkeypatch.setattr(StoredFeatures, "release", lambda _self, shards: released.append(len(shards)))
    np.testing.assert_allclose(head_scores(head, stored), head_scores(head, memory), atol=1e-5)
    assert released == [GROUP_SHARDS, 5]


def test_each_text_comes_once_with_its_vector_and_attention(head, memory):
    seen = []
    for indices, output in head_outputs(head, memory):
        seen += indices.tolist()
        assert output.vector.shape == (len(indices), 256)
        assert (output.attention is None) != head.attends
    assert sorted(seen) == list(range(len(TEXTS)))
    assert head_scores(head, memory.take([])).shape == (0, 5)
