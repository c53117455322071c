"""The head for masked subwords: the checkpoint's own one, exactly; a new one elsewhere; logits in parts."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

from adapterstilts.errors import BackboneError
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.model import backbone, mlm_head
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.host import Host

from .conftest import spec_of

MLM = HeadSpec("mlm")


@pytest.fixture(scope="module", params=["tiny_backbone", "tiny_xlmr"])
def pretrained(request, tmp_path_factory):
    """A folder with an encoder that still has its head, and the whole model in transformers."""
    encoder = request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp("with-head")
    AutoTokenizer.from_pretrained(encoder).save_pretrained(folder)
    torch.manual_seed(3)
    whole = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(encoder)).eval()
    for parameter in whole.parameters():  # biases are zero else
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    whole.save_pretrained(folder, safe_serialization=True)
    return folder, whole


def hidden(batch, places=((0, 2), (0, 5), (1, 1))):
    labels = torch.full_like(batch["input_ids"], mlm_head.IGNORED)
    for row, column in places:
        labels[row, column] = batch["input_ids"][row, column]
    return {**batch, "labels": labels}


def test_the_pretrained_head_says_what_transformers_says(pretrained, batch):
    folder, whole = pretrained
    host = Host(backbone.BackboneFiles.locate(str(folder)))
    host.add_head("mlm", MLM, seed=1)
    given = hidden(batch)
    host.activate(ActiveAdapters(head="mlm"), train=False)
    with torch.no_grad():
        found = host.forward(given, "mlm")
        logits = whole(**batch).logits
    places = given["labels"] != mlm_head.IGNORED
    chances = logits[places].log_softmax(-1)
    true = given["labels"][places]
    torch.testing.assert_close(found[:, 0], chances.gather(1, true[:, None])[:, 0], atol=1e-4, rtol=1e-4)
    assert found[:, 1].tolist() == (chances.argmax(1) == true).float().tolist()


def test_a_pretrained_head_does_not_train(pretrained):
    host = Host(backbone.BackboneFiles.locate(str(pretrained[0])))
    host.add_adapter("a", spec_of("seq_bn"), 1)
    host.add_head("mlm", MLM, seed=1)
    host.activate(ActiveAdapters(target="a", head="mlm"), train=True)
    assert host.has_pretrained_head("mlm") and not [name for name in host.trainable() if "heads." in name]


def test_a_new_head_trains_but_not_the_embeddings_that_it_shares(host):
    host.add_adapter("a", spec_of("seq_bn"), 1)
    host.add_head("mlm", MLM, seed=1)
    host.activate(ActiveAdapters(target="a", head="mlm"), train=True)
    own = [name for name in host.trainable() if name.startswith("heads.mlm.")]
    assert not host.has_pretrained_head("mlm") and len(own) == 5
    assert not [name for name in host.trainable() if "embeddings" in name]
    host.reset()
    assert "mlm" not in host.model.heads


def test_logits_in_parts_have_the_same_scores_and_gradients(host, batch, monkeypatch):
    host.add_adapter("a", spec_of("seq_bn_inv"), 1)
    host.add_head("mlm", MLM, seed=1)
    host.activate(ActiveAdapters(target="a", head="mlm"), train=True)
    found = []
    for largest in (mlm_head.MAX_LOGITS, 1):
        monkeypatch.setattr(mlm_head, "MAX_LOGITS", largest)
        scores = host.forward(hidden(batch), "mlm")
        scores[:, 0].sum().backward()
        found.append((scores.detach(), {n: p.grad.clone() for n, p in host.trainable().items()}))
        for parameter in host.trainable().values():
            parameter.grad = None
    torch.testing.assert_close(found[0][0], found[1][0])
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name])


def test_the_invertible_adapter_is_undone_before_the_decoder(host, batch):
    """MAD-X: with the adapter's own inverse in front of the embeddings, what it adds there cancels out."""
    host.add_adapter("a", spec_of("seq_bn_inv"), 1)
    host.add_head("mlm", MLM, seed=1)
    host.activate(ActiveAdapters(target="a", head="mlm"), train=True)
    host.forward(hidden(batch), "mlm")[:, 0].sum().backward()
    inverse = [p.grad for n, p in host.trainable().items() if "invertible" in n]
    assert inverse and all(gradient.abs().max() > 0 for gradient in inverse)


def test_a_head_of_another_size_is_refused(pretrained, tmp_path):
    from safetensors.torch import load_file, save_file

    folder, _ = pretrained
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    state = load_file(tmp_path / "model.safetensors")
    name = next(name for name in state if name in ("cls.predictions.bias", "lm_head.bias"))
    save_file({**state, name: state[name][:-1].clone()}, tmp_path / "model.safetensors", {"format": "pt"})
    host = Host(backbone.BackboneFiles.locate(str(tmp_path)))
    with pytest.raises(BackboneError, match=r"bias has the shape \[233\], but config.json requires \[234\]"):
        host.add_head("mlm", MLM, seed=1)
