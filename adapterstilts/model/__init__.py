"""The frozen encoder and what is added to it: adapters of every configuration, AdapterFusion and heads."""
