"""The edges: where the science meets a program that can run the models."""
