from torch import nn

class TimestepEmbedSequential(nn.Sequential): ...

class UNetModel(nn.Module):
    input_blocks: nn.ModuleList
    middle_block: TimestepEmbedSequential
    output_blocks: nn.ModuleList
    out: nn.Sequential
    model_channels: int
