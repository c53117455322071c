"""The frozen encoder and what is added to it: backbones, adapter configurations, adapters, fusion and heads."""
