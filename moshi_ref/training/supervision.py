"""Which streams are learnt: Moshi's own, or the user's codes as well (Moshi paper, section 3.4.3).

The paper trains a model that predicts all 17 streams, as if it could also speak in the user's place: from what Moshi
has to guess of the user it learns what conversations are like, and such a model can be asked how likely a dialogue is.
To talk, only Moshi's text and its 8 codes are needed, and only these are in the released files:

    text, own 0 ... own 7, user 0 ... user 7      the Depth Transformer has 16 sets of weights
    text, own 0 ... own 7                         the first 8 of them

The Depth Transformer is causal over the streams of a column: what comes first does not depend on what comes after. So
leaving the last sets out changes nothing in the others.
"""

from dataclasses import replace

from ..moshi import Moshi, MoshiConfig
from .distribution import whole


def with_predicted(config: MoshiConfig, streams: int) -> MoshiConfig:
    """The same configuration with so many audio streams predicted, the first ones."""
    depth = replace(config.model.depth, context=streams, weight_sets=streams)
    return replace(config, model=replace(config.model, depth=depth))


def for_both_speakers(config: MoshiConfig) -> MoshiConfig:
    """The configuration of a Moshi that predicts the user's codes too."""
    return with_predicted(config, config.model.audio_streams)


def for_moshi_alone(moshi: Moshi) -> Moshi:
    """A copy on the CPU, undivided, without the weights that predict the user's codes. All processes must call it."""
    own = Moshi(with_predicted(moshi.config, moshi.config.model.audio_streams // 2))
    trained = {name: whole(tensor).cpu() for name, tensor in moshi.state_dict().items()}
    own.load_state_dict({name: trained[name][: len(tensor)] for name, tensor in own.state_dict().items()})
    return own.eval()
