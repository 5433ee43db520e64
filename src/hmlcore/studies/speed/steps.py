"""One training step of a whole model: HML against gated DeltaNet, as its authors lay it out and as HML is.

Their layout gives a head keys of N = d_model / H and values of 2N. HML's has twice the heads, of N × N: as many
bytes of state, but twice the keys, of which its projections, convolution and memory make more. The second ratio
says what the rule costs, the first what choosing HML costs.
"""

import torch
import torch.nn.functional as F

from hmlcore.evaluation import speed
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.models.backbone import match_parameters
from hmlcore.studies.kit.comparison import DEFAULT

# Those of the experiment with books, whose models they are.
_SIZES = {
    "smoke": dict(vocab=64, d_model=16, heads=2, layers=1, length=32, batch=2, repeats=3),
    "laptop": dict(vocab=2048, d_model=160, heads=4, layers=2, length=256, batch=8, repeats=25),
    "full": dict(vocab=16_384, d_model=512, heads=8, layers=12, length=2048, batch=8, repeats=15),
}


def models(profile: str) -> dict[str, BackboneConfig]:
    """What is timed, by the name it is printed with: HML by its dynamics, gated DeltaNet by its layout."""
    s = _SIZES[profile]
    d_model, layers, heads = s["d_model"], s["layers"], s["heads"]
    alike = {"num_heads": 2 * heads, "head_dim": d_model // heads}
    given = {
        "hml, oscillator": DEFAULT.arguments("hml", d_model, heads, s["length"]),
        "hml, delta": alike | {"dynamics": "delta"},
        "gated_deltanet, published": {"num_heads": heads, "expand_v": 2},
        "gated_deltanet, as HML": alike | {"expand_v": 1},
    }
    budget = DEFAULT.parameters(s["vocab"], d_model, layers, heads)

    def config(name: str, arguments: dict) -> BackboneConfig:
        mixer = name.split(",")[0]
        made = BackboneConfig(s["vocab"], mixer, d_model, layers, mixer_args=arguments)
        return match_parameters(made, budget, tolerance=0.05)  # at `smoke` a channel of the MLP is 1 %

    return {name: config(name, arguments) for name, arguments in given.items()}


def step_pass(model: Backbone, tokens: torch.Tensor) -> speed.Pass:
    """Forward and backward of the loss of `tokens` [B, T + 1]; the optimiser, which is the same for all, is
    left out."""

    def run() -> None:
        logits, _ = model(tokens[:, :-1])
        F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        model.zero_grad(set_to_none=True)

    return run


def step_table(profile: str, device: torch.device) -> str:
    """For people: milliseconds of a step of each, and HML's ratio to gated DeltaNet in both layouts."""
    s, configs = _SIZES[profile], models(profile)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tokens = torch.randint(s["vocab"], (s["batch"], s["length"] + 1)).to(device)
        built = {name: Backbone(config).to(device) for name, config in configs.items()}
    passes = {name: step_pass(model, tokens) for name, model in built.items()}
    for run in passes.values():
        run()
    times = speed.in_turns(passes, device, repeats=s["repeats"])
    count, each = next(iter(built.values())).parameter_count, s["batch"] * s["length"]
    layouts = [name for name in times if name.startswith("gated_deltanet")]
    titles = "".join(f"{'÷ ' + name:>30}" for name in layouts)
    lines = [
        f"a training step: {count / 1e6:.2f} M parameters, {each:,} tokens",
        f"  {'':<28}{'ms':>8}{titles}",
    ]
    for name, timing in times.items():
        ratios = "".join(f"{timing.seconds / times[layout].seconds:>30.3f}" for layout in layouts)
        lines.append(f"  {name:<28}{1e3 * timing.seconds:>8.1f}{ratios}")
    return "\n".join(lines)
