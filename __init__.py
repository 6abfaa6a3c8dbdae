"""EMoE for ComfyUI: stop or reroute a prompt that the models do not know, before the image is made."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> object:
    """Called by ComfyUI; importing the pack alone does nothing."""
    from .nodes import EMoEExtension

    return EMoEExtension()
