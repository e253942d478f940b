"""The models on offer: one table. A model is its schema, its manner of running and its maker.

Another model is another `Model` in `MODELS`, with a maker that turns an `Order` into files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deploy.local.emulator import images, sounds
from deploy.local.emulator.making import MadeFile, Order
from deploy.local.emulator.validation import Input

__all__ = ["MODELS", "MadeFile", "Model", "Order", "Script", "find_model", "find_version"]


@dataclass(frozen=True, slots=True)
class Script:
    """What a run writes to its logs: a head, so many steps of a progress bar, a tail."""

    head: str
    steps: int = 0
    tail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    owner: str
    name: str
    description: str
    version: str  # the latest
    older_versions: tuple[str, ...] = ()
    answered_version: str | None = None  # what answers say instead of the version asked for
    official: bool = False
    inputs: tuple[Input, ...]
    output: Literal["list", "string"]
    run_s: Callable[[Order], tuple[float, float]]  # shortest and longest, in provider seconds
    make: Callable[[Order], tuple[MadeFile, ...]]
    script: Callable[[Order], Script]
    metrics: Callable[[Order, int], Mapping[str, Any]]  # the model's own, by number of outputs
    reports_total_time: bool = True  # in webhook bodies
    no_seed: tuple[int, ...] = ()  # what, given as the seed, has one drawn as if none were given

    @property
    def ref(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def versions(self) -> tuple[str, ...]:
        return (self.version, *self.older_versions)

    def with_defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {one.name: one.default for one in self.inputs} | dict(given)


_SEED = Input(
    name="seed", kind="integer", description="Random seed. Leave blank to randomize the seed."
)


def _sdxl_script(order: Order) -> Script:
    mode = "img2img mode" if order.input.get("image") else "txt2img mode"
    if order.input.get("image") and order.input.get("mask"):
        mode = "inpainting mode"
    steps = int(order.input["num_inference_steps"])
    if order.input.get("image"):
        # Image to image walks only the last part of the schedule.
        steps = max(1, round(steps * float(order.input["prompt_strength"])))
    return Script(
        head=f"Using seed: {order.seed}\nPrompt: {order.input['prompt']}\n{mode}\n", steps=steps
    )


def _restore_script(order: Order) -> Script:
    return Script(
        head=f"Using seed: {order.seed}\nGenerating...\n",
        tail="Generated image in {run:.1f}sec\nDownloading {bytes} bytes\n"
        "Downloaded {mib:.2f}MB in 0.14sec\n",
    )


def _sound_script(order: Order) -> Script:
    return Script(
        head=f"Prompt: {order.input['prompt']}\n{order.seed}\n", steps=int(order.input["steps"])
    )


def _sound_run_s(order: Order) -> tuple[float, float]:
    """8 s of sound in 100 steps took 8.6 s."""
    seconds = int(order.input["seconds_total"]) * int(order.input["batch_size"])
    steps = max(1, int(order.input["steps"])) / 100
    return (2 + (4 + 0.25 * max(0, seconds)) * steps, 3 + (5 + 0.4 * max(0, seconds)) * steps)


def _music_script(order: Order) -> Script:
    tokens = 50 * int(order.input["duration"])
    return Script(head=f"Using seed {order.seed}\n", steps=tokens)


def _music_run_s(order: Order) -> tuple[float, float]:
    """A minute of music took 90 s."""
    seconds = max(0, int(order.input["duration"]))
    return (3 + 1.3 * seconds, 5 + 1.6 * seconds)


SDXL = Model(
    owner="stability-ai",
    name="sdxl",
    description="A text-to-image generative AI model that creates beautiful images",
    version="39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b",
    older_versions=("7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc",),
    answered_version="7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc",
    inputs=(
        Input(
            name="prompt",
            kind="string",
            default="An astronaut riding a rainbow unicorn",
            description="Input prompt",
        ),
        Input(name="negative_prompt", kind="string", default="", description="Negative prompt"),
        Input(
            name="image", kind="string", uri=True, description="Input image for img2img or inpaint"
        ),
        Input(
            name="mask", kind="string", uri=True, description="Mask for inpaint: white is painted"
        ),
        Input(
            name="width", kind="integer", default=1024, minimum=1, description="Width of the output"
        ),
        Input(
            name="height",
            kind="integer",
            default=1024,
            minimum=1,
            description="Height of the output",
        ),
        Input(
            name="num_outputs",
            kind="integer",
            default=1,
            minimum=1,
            maximum=4,
            description="Number of images to output",
        ),
        Input(
            name="scheduler",
            kind="string",
            default="K_EULER",
            choices=(
                "DDIM",
                "DPMSolverMultistep",
                "HeunDiscrete",
                "KarrasDPM",
                "K_EULER_ANCESTRAL",
                "K_EULER",
                "PNDM",
            ),
            description="Scheduler",
        ),
        Input(
            name="num_inference_steps",
            kind="integer",
            default=50,
            minimum=1,
            maximum=500,
            description="Number of denoising steps",
        ),
        Input(
            name="guidance_scale",
            kind="number",
            default=7.5,
            minimum=1,
            maximum=50,
            description="Scale for classifier-free guidance",
        ),
        Input(
            name="prompt_strength",
            kind="number",
            default=0.8,
            minimum=0,
            maximum=1,
            description="How far to leave the image; 1 forgets it",
        ),
        _SEED,
        Input(
            name="refine",
            kind="string",
            default="no_refiner",
            choices=("no_refiner", "expert_ensemble_refiner", "base_image_refiner"),
            description="Which refine style to use",
        ),
        Input(
            name="high_noise_frac",
            kind="number",
            default=0.8,
            minimum=0,
            maximum=1,
            description="The fraction of noise for the expert refiner",
        ),
        Input(name="refine_steps", kind="integer", description="Steps of the base refiner"),
        Input(
            name="apply_watermark", kind="boolean", default=True, description="Apply a watermark"
        ),
        Input(
            name="lora_scale",
            kind="number",
            default=0.6,
            minimum=0,
            maximum=1,
            description="LoRA additive scale",
        ),
        Input(name="replicate_weights", kind="string", description="LoRA weights to use"),
        Input(
            name="disable_safety_checker",
            kind="boolean",
            default=False,
            description="Disable the safety checker",
        ),
    ),
    output="list",
    run_s=lambda _order: (3.8, 8.0),
    make=images.variations,
    script=_sdxl_script,
    metrics=lambda order, outputs: {
        "total_inference_steps": int(order.input["num_inference_steps"]),
        "num_outputs": outputs,
    },
)

RESTORE_IMAGE = Model(
    owner="flux-kontext-apps",
    name="restore-image",
    description="Restores old and damaged photos",
    version="85ae46551612b8f778348846b6ce1ce1b340e384fe2062399c0c412be29e107d",
    answered_version="hidden",
    official=True,
    inputs=(
        Input(
            name="input_image",
            kind="string",
            uri=True,
            required=True,
            description="Image to restore: jpeg, png, gif or webp",
        ),
        _SEED,
        Input(
            name="output_format",
            kind="string",
            default="png",
            choices=("jpg", "png"),
            description="Format of the output",
        ),
        Input(
            name="safety_tolerance",
            kind="integer",
            default=2,
            minimum=0,
            maximum=2,
            description="0 is most strict and 2 is most permissive",
        ),
    ),
    output="string",
    run_s=lambda _order: (4.0, 7.0),
    make=images.restoration,
    script=_restore_script,
    metrics=lambda _order, outputs: {"image_count": outputs},
    reports_total_time=False,
)

STABLE_AUDIO = Model(
    owner="stackadoc",
    name="stable-audio-open-1.0",
    description="Short audio samples, sound effects and production elements from text prompts",
    version="9aff84a639f96d0f7e6081cdea002d15133d0043727f849c40abdd166b7c75a8",
    inputs=(
        Input(name="prompt", kind="string", required=True, description="What is to be heard"),
        Input(
            name="negative_prompt", kind="string", default="", description="What is not to be heard"
        ),
        Input(
            name="seconds_start", kind="integer", default=0, description="Where in the piece it is"
        ),
        Input(name="seconds_total", kind="integer", default=8, description="Its length"),
        Input(name="steps", kind="integer", default=100, description="Denoising steps"),
        Input(name="cfg_scale", kind="number", default=6, description="Scale for guidance"),
        Input(name="seed", kind="integer", default=-1, description="Random seed; -1 draws one"),
        Input(name="sampler_type", kind="string", default="dpmpp-3m-sde", description="Sampler"),
        Input(name="sigma_min", kind="number", default=0.03, description="Lowest noise level"),
        Input(name="sigma_max", kind="integer", default=500, description="Highest noise level"),
        Input(name="init_noise_level", kind="number", default=1, description="Noise at the start"),
        Input(name="batch_size", kind="integer", default=1, description="How many, in one file"),
    ),
    output="string",
    run_s=_sound_run_s,
    make=sounds.sound_effect,
    script=_sound_script,
    metrics=lambda _order, _outputs: {},
    no_seed=(-1,),
)

MUSIC_GEN = Model(
    owner="ardianfe",
    name="music-gen-fn-200e",
    description="Music for content",
    version="96af46316252ddea4c6614e31861876183b59dce84bad765f38424e87919dd85",
    inputs=(
        Input(name="prompt", kind="string", description="A description of the music"),
        Input(
            name="input_audio",
            kind="string",
            uri=True,
            description="A sound that the music takes its melody from, or goes on from",
        ),
        Input(
            name="duration", kind="integer", default=8, description="Length of the music in seconds"
        ),
        Input(
            name="continuation",
            kind="boolean",
            default=False,
            description="Whether the music goes on from input_audio",
        ),
        Input(
            name="continuation_start",
            kind="integer",
            default=0,
            minimum=0,
            description="Where in input_audio to begin",
        ),
        Input(
            name="continuation_end",
            kind="integer",
            minimum=0,
            description="Where in input_audio to end",
        ),
        Input(
            name="multi_band_diffusion",
            kind="boolean",
            default=False,
            description="Whether tokens are decoded with MultiBand Diffusion",
        ),
        Input(
            name="normalization_strategy",
            kind="string",
            default="loudness",
            choices=("loudness", "clip", "peak", "rms"),
            description="Strategy for normalizing the audio",
        ),
        Input(
            name="top_k", kind="integer", default=250, description="Of how many tokens one is drawn"
        ),
        Input(
            name="top_p",
            kind="number",
            default=0,
            description="Of how much probability one is drawn; 0: top_k decides",
        ),
        Input(name="temperature", kind="number", default=1, description="Higher is more diverse"),
        Input(
            name="classifier_free_guidance",
            kind="integer",
            default=3,
            description="How closely inputs are followed",
        ),
        Input(
            name="output_format",
            kind="string",
            default="wav",
            choices=("wav", "mp3"),
            description="Format of the output",
        ),
        Input(name="seed", kind="integer", description="Random seed; none, or -1, draws one"),
        Input(name="replicate_weights", kind="string", description="MusicGen weights to use"),
    ),
    output="string",
    run_s=_music_run_s,
    make=sounds.music,
    script=_music_script,
    metrics=lambda _order, _outputs: {},
    no_seed=(-1,),
)

MODELS = (SDXL, RESTORE_IMAGE, STABLE_AUDIO, MUSIC_GEN)


def find_model(ref: str) -> Model | None:
    """By `owner/name`."""
    return next((model for model in MODELS if model.ref == ref), None)


def find_version(version: str) -> tuple[Model, str] | None:
    """What a create's `version` means: `owner/name` (official models only), `owner/name:id`, id.

    With the version that answers will carry.
    """
    ref, colon, wanted = version.partition(":")
    if not colon and "/" in version:
        model = find_model(ref)
        return (model, _answered(model, model.version)) if model and model.official else None
    wanted = wanted if colon else version
    for model in MODELS:
        if wanted in model.versions and (not colon or model.ref == ref):
            return model, _answered(model, wanted)
    return None


def _answered(model: Model, asked: str) -> str:
    return model.answered_version or asked
