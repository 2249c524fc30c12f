"""The doctor: what is wrong with a model, its training or its data, and which setting to change."""
