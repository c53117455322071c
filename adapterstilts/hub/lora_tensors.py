"""Reads a run with a single LoRA adapter, and maps its tensors to those of a plain transformers model."""

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
# Linear layers of one encoder layer that the `adapters` library's LoRA can change
ATTENTION = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value"}
INTERMEDIATE, OUTPUT = "intermediate.dense", "output.dense"
LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)")
# Checkpoints with a head name the encoder's tensors "bert." or "roberta.", those without do not
LINEAR = re.compile(r"(?:(?:bert|roberta)\.)?(encoder\.layer\.\d+\.[a-z.]+|pooler\.dense)\.weight")
# `model/tensors.py` replaces the adapter's name in tensor names by "*"
NEUTRAL = re.compile(r"(?:bert|roberta)\.(.+)\.loras\.\*\.lora_([AB])")
PARAMETERS = ("weight", "bias")


@dataclass(frozen=True)
class Form:
    """The transformers model class that corresponds to an adapter and its head.

    Attributes:
        ending: Ending of the class name, such as "ForTokenClassification"; "" without a head.
        peft: PEFT's task type, None if there is none.
        encoder: Prefix of the encoder's tensor names.
        modules: Modules of the head, by the names that PEFT uses.
        layers: Linear layers of our head -> their modules in the model.
    """

    ending: str
    peft: str | None
    encoder: str
    modules: tuple[str, ...] = ()
    layers: Mapping[str, str] = field(default_factory=dict)

    @property
    def auto(self) -> str:
        """Auto class that loads the model."""
        return f"AutoModel{self.ending}"

    def class_name(self, model_type: str) -> str:
        """Returns the class in transformers, such as BertModel or XLMRobertaForTokenClassification."""
        return FAMILIES[model_type] + (self.ending or "Model")

    def tensor_names(self) -> dict[str, str]:
        """Maps the name of each tensor in our head to its name in the model."""
        return {
            f"{layer}.{parameter}": f"{module}.{parameter}"
            for layer, module in self.layers.items()
            for parameter in PARAMETERS
        }


def base_of(model_type: str) -> str:
    """Returns the attribute of the encoder inside a transformers model with a head."""
    return "bert" if model_type == "bert" else "roberta"


def form_of(kind: str | None, model_type: str) -> Form:
    """Returns the form for a kind of head (None without a head) on a type of backbone.

    Our sentence heads read the first token through a tanh layer. BERT's classes call this layer the pooler;
    XLM-R's have it inside the classifier, except for multiple choice.
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
            layers = {"1": "classifier"}
            return Form("ForTokenClassification", "TOKEN_CLS", f"{base}.", ("classifier",), layers)
        case "span":
            layers = {"1": "qa_outputs"}
            return Form("ForQuestionAnswering", "QUESTION_ANS", f"{base}.", ("qa_outputs",), layers)
        case "choice":
            return Form("ForMultipleChoice", None, f"{base}.", ("pooler", "classifier"), pooled)
    raise AdapterError(f"transformers has no model class for a head of kind '{kind}'")


@dataclass(frozen=True)
class OneLora:
    """A LoRA adapter with at most one head.

    Attributes:
        part: Settings of the LoRA.
        pairs: Linear layer of the encoder (`encoder.layer.0.attention.self.query`) -> A [r, in], B [out, r].
        head: Specification of the head, or None.
        head_weights: Tensors of the head by their names in the transformers model.
        form: Class of the transformers model.
    """

    part: Lora
    pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    head: HeadSpec | None
    head_weights: Tensors
    form: Form

    @staticmethod
    def of(run: Run, files: BackboneFiles, task: str | None = None) -> OneLora:
        """Reads a run with a single LoRA adapter.

        Args:
            run: Run to read.
            files: Backbone that it was trained on.
            task: Name of the head, for a run with several.

        Raises:
            AdapterError: The run is not a single LoRA adapter (the message suggests alternatives), damaged,
                or belongs to another backbone.
        """
        setup, heads = read_active_adapters(run.path)
        target = _target(run, setup)
        name = _head(run, setup, heads, task)
        folder = run.path / "adapters" / target
        record = SavedAdapter.check(folder, files)
        if record is None:
            raise AdapterError(f"{folder} has no record (adapter.json): pull the adapter or train it again")
        part = _check_method(run, record.spec)
        state = tensors.neutral(tensors.load(folder / SavedAdapter.WEIGHTS, record.sha256), target)
        head = heads[name] if name else None
        form = form_of(head.kind if head else None, files.model_type)
        weights: Tensors = {}
        if name and head:
            head_state = SavedHead.load(head_folder(run.path, name, heads), head, files)
            weights = {target: head_state[source] for source, target in form.tensor_names().items()}
        return OneLora(part, _pairs(state), head, weights, form)


def _target(run: Run, setup: ActiveAdapters) -> str:
    if setup.fused:
        raise _not_supported(run, "a fusion of several adapters")
    if setup.below:
        raise _not_supported(run, "a stack of adapters")
    if setup.language:
        raise _not_supported(run, "an adapter on top of a language adapter")
    if setup.target is None:
        raise _not_supported(run, "the bare backbone")
    return setup.target


def _check_method(run: Run, spec: AdapterSpec) -> Lora:
    if spec.method != "lora":
        raise _not_supported(run, f"an adapter of the method '{spec.method}'")
    part = spec.parts["lora"]
    assert isinstance(part, Lora)
    if part.use_gating:
        raise _not_supported(run, "a LoRA with gates, which depend on the input")
    return part


def _not_supported(run: Run, description: str) -> AdapterError:
    return AdapterError(
        f"{run.id} is {description}: only a single LoRA adapter can be merged into its backbone or "
        "written in PEFT format. Publish it with --format adapters, or train one with --config lora "
        "(train-adapter, baseline, sequential, average)"
    )


def _head(run: Run, setup: ActiveAdapters, heads: Mapping[str, HeadSpec], task: str | None) -> str | None:
    if task is None and len(heads) > 1:
        raise AdapterError(f"{run.id} has several heads ({', '.join(heads)}): pass one of them with --task")
    if task is not None and task not in heads:
        raise AdapterError(f"{run.id} has no head for {task}; it has: {', '.join(heads) or 'none'}")
    return task or setup.head


def _pairs(state: Tensors) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    factors: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in state.items():
        match = NEUTRAL.fullmatch(name)
        assert match, name
        factors.setdefault(match[1], {})[match[2]] = tensor
    return {module: (factors[module]["A"], factors[module]["B"]) for module in sorted(factors)}


def linear_layers(files: BackboneFiles) -> dict[str, tuple[int, int]]:
    """Returns the shapes [out, in] of the encoder's linear layers, the pooler included if there is one."""
    # Only the header of the file is read, not its weights
    with safe_open(files.folder / WEIGHTS, framework="pt") as file:
        matches = {name: LINEAR.fullmatch(name) for name in file.keys()}  # noqa: SIM118
        shapes = {
            match[1]: tuple(file.get_slice(name).get_shape()) for name, match in matches.items() if match
        }
    return {name: (shape[0], shape[1]) for name, shape in shapes.items() if len(shape) == 2}


def hub_id(files: BackboneFiles) -> str | None:
    """Returns the backbone's Hub id, None for a local folder."""
    if files.name in NAMES:
        return NAMES[files.name].repo
    return files.name if files.commit else None


def check_named(model_id: object, files: BackboneFiles) -> None:
    """Compares the Hub id in a configuration of another program with the backbone's.

    Raises:
        AdapterError: The ids differ.
    """
    expected = hub_id(files)
    if expected and isinstance(model_id, str) and HUB_ID.fullmatch(model_id):
        # Only the last part: bert-base-multilingual-cased became google-bert/bert-base-multilingual-cased
        name, expected_name = (text.rpartition("/")[2].casefold() for text in (model_id, expected))
        if name != expected_name:
            raise AdapterError(f"it was trained on {model_id}, not {expected}: pass --backbone {model_id}")
