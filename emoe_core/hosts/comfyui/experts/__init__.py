"""Experts in ComfyUI: read from files, identified by what a user chose, and handed to the host as its own loaders do."""
