class SD15:
    latent_rgb_factors: list[list[float]] | None
    latent_rgb_factors_bias: list[float] | None
    taesd_decoder_name: str | None
    def __init__(self, scale_factor: float = ...) -> None: ...
