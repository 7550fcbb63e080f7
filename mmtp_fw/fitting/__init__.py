"""Fitting: the loss, its exact gradient, and its minimisation."""
