"""The models on offer: one table. A model is its schema, its manner of running and its maker.

Another model is another `Model` in `MODELS`, with a maker that turns an `Order` into files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deploy.local.emulator import images
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
    run_s: tuple[float, float]  # shortest and longest run, in provider seconds
    make: Callable[[Order], tuple[MadeFile, ...]]
    script: Callable[[Order], Script]
    metrics: Callable[[Order, int], Mapping[str, Any]]  # the model's own, by number of outputs
    reports_total_time: bool = True  # in webhook bodies

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
    run_s=(3.8, 8.0),
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
    run_s=(4.0, 7.0),
    make=images.restoration,
    script=_restore_script,
    metrics=lambda _order, outputs: {"image_count": outputs},
    reports_total_time=False,
)

MODELS = (SDXL, RESTORE_IMAGE)


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
