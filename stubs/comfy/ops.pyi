from torch import nn

class manual_cast:
    class Linear(nn.Linear): ...
