"""Whether experts can be compared at a tap."""

from itertools import combinations

from ..errors import EMoEError
from ..experts.sets import Expert
from ..experts.signature import RELATED, relatedness
from ..records.message import Code, Message
from .presets import is_hidden

#: Types whose rounding of weights can exceed what a fine-tune changes.
_FINE = {"float64", "float32", "bfloat16", "float16"}


def check_comparable(experts: tuple[Expert, ...], tap: str) -> list[Message]:
    """Whether these experts can be compared at this tap. Returns warnings; an `EMoEError` where a comparison is meaningless.

    Hidden features of unrelated networks are not aligned: any two differ by about their own size, for every prompt, so a
    score made from them would be a constant with noise.
    """
    warnings: list[Message] = []
    predictions = {expert.prediction for expert in experts}
    if len(predictions) > 1:
        listed = [Message.of(Code.EXPERT_IS, name=expert.name, what=expert.prediction) for expert in experts]
        if not is_hidden(tap):
            raise EMoEError(
                f"The experts predict different things ({', '.join(map(str, listed))}): their noise predictions are not "
                "comparable. Use experts with one prediction type, or a preset that reads the middle block (fast)."
            )
        warnings.append(Message.of(Code.PREDICTIONS, experts=listed))
    warnings += _precision(experts)
    if not is_hidden(tap):
        return warnings
    unknown: set[str] = set()
    for a, b in combinations(experts, 2):
        if a.signature.layout != b.signature.layout:
            unread = next((expert for expert in (a, b) if expert.signature.unread), None)
            why = (
                "have networks of different shape"
                if unread is None
                else f"cannot be laid side by side, since weights of '{unread.name}' are packed in a form that is not known"
            )
            raise EMoEError(
                f"'{a.name}' and '{b.name}' {why}, so their hidden latents at '{tap}' cannot be compared; choose the preset "
                "'layout' (tap noise_pred)."
            )
        kinship = relatedness(a.signature, b.signature)
        if kinship is None:
            unknown |= {a.name, b.name}
        elif kinship < RELATED:
            raise EMoEError(
                f"'{a.name}' and '{b.name}' do not descend from one base model (weight correlation {kinship:.2f}), so "
                f"their hidden latents at '{tap}' are not comparable; choose the preset 'layout' (tap noise_pred)."
            )
    if unknown:
        listed = [Message.of(Code.EXPERT, name=expert.name) for expert in experts if expert.name in unknown]
        warnings.append(Message.of(Code.KINSHIP, experts=listed, tap=tap))
    return warnings


def _precision(experts: tuple[Expert, ...]) -> list[Message]:
    """A warning where coarse rounding sets some experts apart from the others."""
    stored = {expert.weights for expert in experts}
    if len(stored - {""}) < 2 or not stored - {""} - _FINE:
        return []
    listed = [Message.of(Code.EXPERT_IS, name=expert.name, what=expert.weights) for expert in experts if expert.weights]
    return [Message.of(Code.PRECISION, experts=listed)]
