class WrappersMP:
    APPLY_MODEL: str
    DIFFUSION_MODEL: str
