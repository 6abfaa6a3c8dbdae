"""Everything of ComfyUI that the pack relies on beyond its documented node API, with a check for each."""
