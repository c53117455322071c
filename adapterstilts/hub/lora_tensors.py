"""A run that is one LoRA adapter, and where its tensors stand in a plain transformers model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from safetensors import safe_open

from adapterstilts.errors import AdapterError
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.model import tensors
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.backbone import HUB_ID, WEIGHTS, BackboneFiles
from adapterstilts.model.configs import AdapterSpec, Lora
from adapterstilts.model.known_backbones import NAMES
from adapterstilts.model.saved import SavedAdapter, SavedHead, head_folder, read_active_adapters
from adapterstilts.model.tensors import Tensors
from adapterstilts.store import Run

FAMILIES = {"bert": "Bert", "xlm-roberta": "XLMRoberta", "roberta": "Roberta"}
HeadKind = Literal["classification", "tagging", "span", "choice"]
HEADS: tuple[HeadKind, ...] = ("classification", "tagging", "span", "choice")
# Linear layers of one encoder layer that a LoRA adapter here can change.
ATTENTION = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value"}
INTERMEDIATE, OUTPUT = "intermediate.dense", "output.dense"
LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)")
LINEAR = re.compile(r"(?:(?:bert|roberta)\.)?(encoder\.layer\.\d+\.[a-z.]+|pooler\.dense)\.weight")
NEUTRAL = re.compile(r"(?:bert|roberta)\.(.+)\.loras\.\*\.lora_([AB])")
PARAMETERS = ("weight", "bias")


@dataclass(frozen=True)
class Form:
    """The transformers model that an adapter with a head, or without, amounts to.

    Attributes:
        ending: of its classes' names, such as "ForTokenClassification"; "" without a head.
        peft: PEFT's name of the task; None where it has none.
        encoder: what the encoder's tensors' names begin with.
        modules: the head's modules, as PEFT finds them.
        layers: each linear layer of our head -> its place in the model.
    """

    ending: str
    peft: str | None
    encoder: str
    modules: tuple[str, ...] = ()
    layers: Mapping[str, str] = field(default_factory=dict)

    @property
    def auto(self) -> str:
        """The auto class that loads it."""
        return f"AutoModel{self.ending}"

    def places(self) -> dict[str, str]:
        """Name of each tensor in our head -> its name in the model."""
        return {
            f"{layer}.{part}": f"{module}.{part}"
            for layer, module in self.layers.items()
            for part in PARAMETERS
        }


def base_of(model_type: str) -> str:
    """What transformers calls the encoder inside a model with a head."""
    return "bert" if model_type == "bert" else "roberta"


def form_of(kind: str | None, model_type: str) -> Form:
    """The form for a kind of head (None: without one) on a type of backbone.

    A sentence head here reads the first token through a layer with tanh, which BERT's classes call the
    pooler; XLM-R's have it inside the classifier, except for multiple choice.
    """
    base = base_of(model_type)
    pooled = {"1": f"{base}.pooler.dense", "4": "classifier"}
    match kind:
        case None:
            return Form("", "FEATURE_EXTRACTION", "")
        case "classification" if base == "bert":
            modules = ("pooler", "classifier")
            return Form("ForSequenceClassification", "SEQ_CLS", "bert.", modules, pooled)
        case "classification":
            inner = {"1": "classifier.dense", "4": "classifier.out_proj"}
            return Form("ForSequenceClassification", "SEQ_CLS", "roberta.", ("classifier",), inner)
        case "tagging":
            one = {"1": "classifier"}
            return Form("ForTokenClassification", "TOKEN_CLS", f"{base}.", ("classifier",), one)
        case "span":
            one = {"1": "qa_outputs"}
            return Form("ForQuestionAnswering", "QUESTION_ANS", f"{base}.", ("qa_outputs",), one)
        case "choice":
            return Form("ForMultipleChoice", None, f"{base}.", ("pooler", "classifier"), pooled)
    raise AdapterError(f"transformers has no model for a head of the kind '{kind}'")


def class_name(form: Form, model_type: str) -> str:
    """The class of transformers: BertModel, XLMRobertaForTokenClassification."""
    return FAMILIES[model_type] + (form.ending or "Model")


@dataclass(frozen=True)
class OneLora:
    """A LoRA adapter with at most one head.

    Attributes:
        part: its settings.
        pairs: linear layer of the encoder (`encoder.layer.0.attention.self.query`) -> A [r, in], B [out, r].
        head_weights: by their names in the model that `form` describes.
    """

    part: Lora
    pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    head: HeadSpec | None
    head_weights: Tensors
    form: Form


def one_lora(run: Run, files: BackboneFiles, task: str | None = None) -> OneLora:
    """Reads a run that is one LoRA adapter.

    Args:
        task: whose head is meant, of a run that has several.

    Raises:
        AdapterError: it is something else (with what works instead), damaged, or of another backbone.
    """
    setup, heads = read_active_adapters(run.path)
    target = _target(run, setup)
    name = _head(run, setup, heads, task)
    folder = run.path / "adapters" / target
    record = SavedAdapter.check(folder, files)
    if record is None:
        raise AdapterError(f"{folder} has no record of what it is (adapter.json): pull or train it again")
    part = _check_method(run, record.spec)
    state = tensors.neutral(tensors.load(folder / SavedAdapter.WEIGHTS, record.sha256), target)
    head = heads[name] if name else None
    form = form_of(head.kind if head else None, files.model_type)
    weights: Tensors = {}
    if name and head:
        own = SavedHead.load(head_folder(run.path, name, heads), head, files)
        weights = {place: own[inside] for inside, place in form.places().items()}
    return OneLora(part, _pairs(state), head, weights, form)


def _target(run: Run, setup: ActiveAdapters) -> str:
    if setup.fused:
        raise _other(run, "a fusion of several adapters")
    if setup.below:
        raise _other(run, "a stack of adapters")
    if setup.language:
        raise _other(run, "an adapter over a language adapter")
    if setup.target is None:
        raise _other(run, "the bare backbone")
    return setup.target


def _check_method(run: Run, spec: AdapterSpec) -> Lora:
    if spec.method != "lora":
        raise _other(run, f"an adapter of the method '{spec.method}'")
    part = spec.parts["lora"]
    assert isinstance(part, Lora)
    if part.use_gating:
        raise _other(run, "a LoRA with gates, which are not linear")
    return part


def _other(run: Run, what: str) -> AdapterError:
    return AdapterError(
        f"{run.id} is {what}: only a single LoRA adapter can be folded into its backbone or written for "
        "PEFT. It can be evaluated, used and published as it is; or train it anew with --config lora "
        "(train-adapter, baseline, sequential, average)"
    )


def _head(run: Run, setup: ActiveAdapters, heads: Mapping[str, HeadSpec], task: str | None) -> str | None:
    if task is None and len(heads) > 1:
        raise AdapterError(f"{run.id} has a head for each of {', '.join(heads)}: say which with --task NAME")
    if task is not None and task not in heads:
        raise AdapterError(f"{run.id} has no head for {task}; it has: {', '.join(heads) or 'none'}")
    return task or setup.head


def _pairs(state: Tensors) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in state.items():
        place = NEUTRAL.fullmatch(name)
        assert place, name
        found.setdefault(place[1], {})[place[2]] = tensor
    return {module: (found[module]["A"], found[module]["B"]) for module in sorted(found)}


def neutral_name(module: str, side: str, model_type: str) -> str:
    """The library's neutral name of a tensor; the inverse of what `OneLora.pairs` is keyed by.

    Args:
        side: "A" or "B".
    """
    return f"{base_of(model_type)}.{module}.loras.*.lora_{side}"


def linear_layers(files: BackboneFiles) -> dict[str, tuple[int, int]]:
    """The linear layers of a backbone's encoder, with its pooler if it has one -> [out, in]."""
    with safe_open(files.folder / WEIGHTS, framework="pt") as file:
        found = {name: LINEAR.fullmatch(name) for name in file.keys()}  # noqa: SIM118
        shapes = {place[1]: tuple(file.get_slice(name).get_shape()) for name, place in found.items() if place}
    return {name: (shape[0], shape[1]) for name, shape in shapes.items() if len(shape) == 2}


def pooler_of(files: BackboneFiles) -> Tensors | None:
    """Weight and bias of the backbone's own pooler, in float32; None where its file has none."""
    with safe_open(files.folder / WEIGHTS, framework="pt") as file:
        names = [name for name in file.keys() if re.search(r"(^|\.)pooler\.dense\.", name)]  # noqa: SIM118
        found = {name.rpartition(".")[2]: file.get_tensor(name).float() for name in names}
    return found if found.keys() == {"weight", "bias"} else None


def hub_id(files: BackboneFiles) -> str | None:
    """The backbone's Hub id; None of a local folder."""
    if files.name in NAMES:
        return NAMES[files.name].repo
    return files.name if files.commit else None


def check_named(named: object, files: BackboneFiles) -> None:
    """Compares the Hub id that an adapter of another program names with the backbone's.

    By their last part: some repositories moved under an owner's name later.

    Raises:
        AdapterError: they differ.
    """
    mine = hub_id(files)
    if mine and isinstance(named, str) and HUB_ID.fullmatch(named):
        theirs = named.rpartition("/")[2].casefold()
        if theirs != mine.rpartition("/")[2].casefold():
            raise AdapterError(f"it was trained on {named}, not {mine}: name that one with --backbone")
