"""The frozen encoder with adapters, AdapterFusion and heads: the only file that imports `adapters`.

Comments here and in `adapters_workarounds.py` name the traps of its version 1.3.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import adapters
import torch
from torch import nn

from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.kinds.base import Batch, HeadSpec
from adapterstilts.model import adapters_config, adapters_workarounds, compatibility, encoder, saved, tensors
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.average import average_adapters
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.model.fusion import fusion_attention
from adapterstilts.model.mlm_head import MlmHead
from adapterstilts.model.shapes import check_size

# The library warns at every forward pass without active adapters, which evaluates the bare backbone.
logging.getLogger("adapters").setLevel(logging.ERROR)


class Host:
    """One frozen encoder in memory, on which adapters are placed, trained, saved and exchanged.

    Attributes:
        model: Encoder with all adapters and heads; for `accelerate` and for moving to a device.
        tokenizer: Fast tokenizer of the backbone.
        files: Files of the backbone.
    """

    def __init__(self, files: BackboneFiles, *, dropout: bool = False) -> None:
        """Loads the encoder in float32 and freezes it.

        Args:
            dropout: Whether dropout inside the frozen encoder stays active in training.

        Raises:
            BackboneError: Weights are missing from the file, or the tokenizer does not fit.
        """
        self.files = files
        self.tokenizer = encoder.load_tokenizer(files)
        self.model: Any = encoder.load_encoder(files, adapters.AutoAdapterModel, dropout=dropout)
        self._specs: dict[str, AdapterSpec] = {}
        self._fusions: set[tuple[str, ...]] = set()
        self._heads: dict[str, HeadSpec] = {}
        self._active = ActiveAdapters()
        self.reset()

    # Adapters

    def add_adapter(self, name: str, spec: AdapterSpec, seed: int) -> None:
        """Adds a fresh adapter; its weights depend on `spec` and `seed` alone.

        Raises:
            AdapterError: The name is in use or malformed.
            ConfigError: The configuration does not fit this backbone.
        """
        compatibility.check_name(name, self._specs)
        spec.check_layers(self.files.layers)
        check_size(spec, self.files.hidden_size, self.files.layers)
        try:
            with encoder.seeded(seed):
                self.model.add_adapter(name, config=_library_config(spec))
        except Exception as error:  # the library raises anything from AssertionError to KeyError here
            self._delete_adapter(name)
            raise ConfigError(
                f"adapter configuration '{spec.name}' does not fit {self.files.name} "
                f"(hidden size {self.files.hidden_size}): {error or type(error).__name__}"
            ) from error
        self._specs[name] = spec
        adapters_workarounds.separate_config(self.model, name)
        self._freeze_on_device()

    def load_adapter(self, folder: Path, name: str) -> None:
        """Loads a saved adapter without its head; a failed load leaves nothing behind.

        Raises:
            AdapterError: The adapter belongs to another backbone, is damaged, is a pickle, or its method is
                not supported.
        """
        compatibility.check_name(name, self._specs)
        # Trap: the library loads an adapter of another depth or model type, or with flipped bits, without a
        # warning. The record beside the weights is checked first, or else the library's configuration.
        record = saved.SavedAdapter.check(folder, self.files)
        try:
            adapters_workarounds.load_adapter(self.model, folder, name)
            adapters_workarounds.separate_config(self.model, name)
            config = self.model.adapters_config.get(name).to_dict()
            self._specs[name] = record.spec if record else adapters_config.spec(config, folder)
            self._specs[name].check_layers(self.files.layers)
        except Exception as error:  # as in add_adapter
            self._delete_adapter(name)
            if isinstance(error, AdapterError):
                raise
            raise AdapterError(
                f"the adapter in {folder} does not fit {self.files.name}: {error or type(error).__name__}"
            ) from error
        self._freeze_on_device()

    def save_adapter(self, name: str, folder: Path) -> None:
        """Writes an adapter in the library's format, as safetensors, with our record beside it."""
        spec, state = self.adapter_spec(name), self._adapter_state(name)
        config = self.model.adapters_config.get(name).to_dict()
        saved.SavedAdapter.save(folder, name, state, spec, config, self.files)

    def add_average(self, name: str, sources: Sequence[str], weights: Sequence[float]) -> AdapterSpec:
        """Adds the weighted mean of loaded adapters in weight space, and returns its configuration.

        See `average_adapters`. With one source of weight 1, the new adapter is its copy.
        """
        # Trap: the library's average_adapter skips invertible adapters, and its Average block divides by the
        # number of adapters twice.
        specs = [self.adapter_spec(source) for source in sources]
        states = [self._neutral_state(source) for source in sources]
        spec, mean = average_adapters(specs, states, weights)
        self.place_adapter(name, spec, mean)
        return spec

    def place_adapter(self, name: str, spec: AdapterSpec, weights: tensors.Tensors) -> None:
        """Adds an adapter with existing weights, under neutral names; a failure leaves nothing behind.

        Raises:
            AdapterError: The weights do not fit the configuration; see also `add_adapter`.
        """
        self.add_adapter(name, spec, seed=0)
        try:
            tensors.copy(self._neutral_state(name), weights, f"'{name}'")
        except AdapterError:
            self._delete_adapter(name)
            raise

    def adapter_spec(self, name: str) -> AdapterSpec:
        """Returns the configuration of a loaded adapter.

        Raises:
            AdapterError: No adapter of that name is loaded.
        """
        if name not in self._specs:
            raise AdapterError(f"no adapter '{name}' is loaded; loaded: {', '.join(self._specs) or 'none'}")
        return self._specs[name]

    # Heads

    def add_head(self, name: str, spec: HeadSpec, seed: int) -> None:
        """Adds a fresh prediction head; its weights depend on `spec` and `seed` alone.

        A head for masked subwords takes its weights from the backbone if the backbone has one.

        Raises:
            AdapterError: The name is in use or malformed.
        """
        compatibility.check_name(name, self._heads)
        labels = dict(enumerate(spec.labels))
        with encoder.seeded(seed):
            match spec.kind:
                case "classification":
                    self.model.add_classification_head(name, num_labels=len(labels), id2label=labels)
                case "tagging":
                    self.model.add_tagging_head(name, num_labels=len(labels), id2label=labels)
                case "span":
                    self.model.add_qa_head(name)
                case "choice":
                    # One score per sequence: works for any number of choices, which may differ by row.
                    self.model.add_multiple_choice_head(name, num_choices=1)
                case "mlm":
                    # Trap: the library's own head ignores the pretrained one.
                    self.model.heads[name] = MlmHead.for_backbone(self.model, self.files)
        self._heads[name] = spec
        self._freeze_on_device()

    def has_pretrained_head(self, name: str) -> bool:
        """Whether a head's weights are the backbone's; such a head neither trains nor is saved."""
        return bool(getattr(self.model.heads[name], "pretrained", False))

    def save_head(self, name: str, folder: Path) -> None:
        """Writes a head in the library's format, as safetensors, with our record beside it."""
        head = self.model.heads[name]
        # Trap: the library's save_head also writes every head whose name begins with this one's.
        state = head.state_dict(prefix=f"heads.{name}.")
        saved.SavedHead.save(folder, name, state, self._heads[name], head.config, self.files)

    def load_head(self, folder: Path, name: str, expected: HeadSpec) -> None:
        """Loads a saved head.

        Raises:
            AdapterError: The head is damaged, has another width, or predicts something else than `expected`.
        """
        self.place_head(name, expected, saved.SavedHead.load(folder, expected, self.files))

    def place_head(self, name: str, spec: HeadSpec, weights: tensors.Tensors) -> None:
        """Adds a head with existing weights, under their names inside the head, all of which must fit."""
        self.add_head(name, spec, seed=0)
        tensors.copy(self.model.heads[name].state_dict(), weights, f"the head '{name}'")

    # AdapterFusion

    def add_fusion(self, sources: Sequence[str], seed: int) -> None:
        """Adds a fresh AdapterFusion layer (Pfeiffer et al. 2021) over loaded adapters.

        Raises:
            AdapterError: The adapters cannot be fused, or have an AdapterFusion already.
        """
        names = tuple(sources)
        # Trap: for LoRA, (IA)3 and prefix tuning the library fails only in the forward pass.
        compatibility.check_fuse([self.adapter_spec(source) for source in names])
        if names in self._fusions:
            raise AdapterError(f"there is an AdapterFusion over {', '.join(names)} already")
        with encoder.seeded(seed):
            self.model.add_adapter_fusion(adapters.Fuse(*names))
        adapters_workarounds.make_fusion_inputs_contiguous(self.model, adapters.Fuse(*names).name)
        self._fusions.add(names)
        self._freeze_on_device()

    def save_fusion(self, sources: Sequence[str], folder: Path) -> None:
        """Writes an AdapterFusion layer, with digests of the adapters that it mixes."""
        name = adapters.Fuse(*sources).name
        config, _ = self.model.adapters_config.get_fusion(name)
        state = self._fusion_state(name)
        saved.SavedFusion.save(folder, name, state, self._digests(sources), config.to_dict(), self.files)

    def load_fusion(self, folder: Path, sources: Sequence[str]) -> None:
        """Loads an AdapterFusion layer over loaded adapters, in the order in which it was saved.

        Raises:
            AdapterError: The layer is damaged, belongs to another backbone, or mixes other adapters.
        """
        weights = saved.SavedFusion.load(folder, self._digests(sources), self.files)
        self.add_fusion(sources, seed=0)
        name = adapters.Fuse(*sources).name
        state = tensors.neutral(self._fusion_state(name), name, tensors.FUSION_PLACE)
        tensors.copy(state, weights, f"the AdapterFusion in {folder}")

    # Use

    def activate(self, setup: ActiveAdapters, train: bool, heads: Sequence[str] = ()) -> None:
        """Activates adapters, fusion and head; with `train`, exactly the part of `setup` that trains does.

        Args:
            heads: Further heads that train. In a multi-task training each task has its own.

        Raises:
            AdapterError: A part is not loaded, an adapter would have no effect, or nothing would train.
        """
        names = (*setup.stack, *setup.fused)
        compatibility.check_setup(setup, {name: self.adapter_spec(name) for name in names})
        if setup.fused and setup.fused not in self._fusions:
            raise AdapterError(f"there is no AdapterFusion over {', '.join(setup.fused)}")
        if setup.head is not None and setup.head not in self._heads:
            raise AdapterError(f"no head '{setup.head}' is loaded")
        stack: list[Any] = [*setup.stack, *([adapters.Fuse(*setup.fused)] if setup.fused else [])]
        self.model.set_active_adapters(adapters.Stack(*stack) if stack else None)
        # Trap: set_active_adapters changes the active head too, so the head comes after it. The library does
        # not know our head for masked subwords, which `forward` calls directly.
        is_mlm = setup.head is not None and self._heads[setup.head].kind == "mlm"
        self.model.active_head = None if is_mlm else setup.head
        self._active = setup
        # Trap: the library's train_adapter resets the active adapters and leaves every head trainable, so
        # `requires_grad` is set here for every parameter.
        self.model.requires_grad_(False)
        if train:
            trained = self._trained_names(setup, heads)
            if not trained:
                raise AdapterError("nothing would train: there is no target adapter, no fusion and no head")
            for name, parameter in self.model.named_parameters(remove_duplicate=False):
                # Only ever True: a shared parameter also has names that are not in `trained`.
                if name in trained:
                    parameter.requires_grad = True
        self.model.train(train)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Returns the parameters that train, by name, sorted by name."""
        parameters = self.model.named_parameters(remove_duplicate=False)
        return dict(sorted((n, p) for n, p in parameters if p.requires_grad and not tensors.is_alias(n)))

    def forward(self, batch: Batch, head: str) -> torch.Tensor:
        """Returns the logits of a head through the active adapters.

        Returns:
            Classification [N, classes]; tagging [N, L, classes]; span [N, L, 2]: start and end; choice [N]:
            one score per sequence; mlm [masked, 3], see `MlmHead.score`.

        Raises:
            AdapterError: No head of that name is loaded.
        """
        if head not in self._heads:
            raise AdapterError(f"no head '{head}' is loaded; loaded: {', '.join(self._heads) or 'none'}")
        kind = self._heads[head].kind
        if kind == "mlm":
            scores: torch.Tensor = self.model.heads[head].score(self.model, batch)
            return scores
        output = self.model(**encoder.inputs(self.model, batch), head=head)
        if kind == "span":
            return torch.stack([output.start_logits, output.end_logits], dim=-1)
        logits: torch.Tensor = output.logits
        return logits.reshape(-1) if kind == "choice" else logits

    def hidden_states(self, batch: Batch, layer: int) -> torch.Tensor:
        """Returns hidden states [N, L, H] through the active adapters.

        Args:
            layer: Number of the layer. 0 is the embeddings, -1 the last layer; higher layers do not run.
        """
        return encoder.hidden_states(self.model, batch, layer)

    def fusion_attention(self, batch: Batch) -> list[list[float]]:
        """Returns the share of the active AdapterFusion's attention per layer, adapter: see `fusion.py`."""
        if not self._active.fused:
            raise AdapterError("no AdapterFusion is active")
        return fusion_attention(self.model, batch)

    def fusion_regularisation(self) -> torch.Tensor | None:
        """Returns the term of Pfeiffer et al. 2021 to be added to the loss; None if no AdapterFusion trains.

        0.01 times the squared distance of the fusion's value matrices from the identity, a scalar.
        """
        # Trap: the library's own trainer applies it after the optimizer's step, one step late.
        penalty: torch.Tensor | None = self.model.get_fusion_regularization_loss()
        return penalty

    def use_training_attention(self, enabled: bool) -> None:
        """Switches to the attention whose backward pass is fast on a CPU, or back; results are equal."""
        encoder.set_attention(self.model.base_model, eager=enabled and self.model.device.type == "cpu")

    def remove(self, name: str) -> None:
        """Removes an adapter, every fusion over it, and the head of that name."""
        self.model.set_active_adapters(None)
        self._active = ActiveAdapters()
        for sources in [sources for sources in self._fusions if name in sources]:
            self.model.delete_adapter_fusion(adapters.Fuse(*sources).name)
            self._fusions.discard(sources)
        self._delete_adapter(name)
        self.model.delete_head(name)
        # Trap: delete_head skips a head that the library did not create, such as ours for masked subwords.
        if self._heads.pop(name, None) and name in self.model.heads:
            del self.model.heads[name]

    def reset(self) -> None:
        """Removes all adapters and heads; the bare, frozen backbone is active then."""
        for name in [*self._specs, *self._heads]:
            self.remove(name)
        self.activate(ActiveAdapters(), train=False)

    # Internals

    def _trained_names(self, setup: ActiveAdapters, heads: Sequence[str]) -> set[str]:
        names: set[str] = set()
        if setup.fused:
            names |= set(self._fusion_state(adapters.Fuse(*setup.fused).name))
        elif setup.target:
            names |= set(self._adapter_state(setup.target))
        for head in {*heads, *filter(None, [setup.head])}:
            if not self.has_pretrained_head(head):
                names |= set(self.model.heads[head].state_dict(prefix=f"heads.{head}."))
        return names

    def _adapter_state(self, name: str) -> tensors.Tensors:
        return tensors.part_of(self.model.state_dict(), name)

    def _fusion_state(self, name: str) -> tensors.Tensors:
        return tensors.part_of(self.model.state_dict(), name, tensors.FUSION_PLACE)

    def _neutral_state(self, name: str) -> tensors.Tensors:
        self.adapter_spec(name)  # raises if there is none
        return tensors.neutral(self._adapter_state(name), name)

    def _digests(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(tensors.digest(self._neutral_state(name)) for name in names)

    def _delete_adapter(self, name: str) -> None:
        adapters_workarounds.delete_adapter(self.model, name)
        self._specs.pop(name, None)

    def _freeze_on_device(self) -> None:
        # Trap: the library creates modules on the CPU, and trainable.
        self.model.to(self.model.device).requires_grad_(False)


def _library_config(spec: AdapterSpec) -> adapters.AdapterConfig:
    classes = {
        "bottleneck": adapters.BnConfig,
        "lora": adapters.LoRAConfig,
        "prefix_tuning": adapters.PrefixTuningConfig,
    }
    parts = []
    for kind, part in spec.parts.items():
        # BnConfig sets its architecture itself and does not accept it.
        keys = part.model_dump(mode="json", exclude={"architecture"} if kind == "bottleneck" else None)
        parts.append(classes[kind](**keys))
    return parts[0] if len(parts) == 1 else adapters.ConfigUnion(*parts)
