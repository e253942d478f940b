"""placeholder"""

import io

from PIL import Image, ImageOps

from deploy.local.emulator.making import MadeFile, Order


def variations(order: Order) -> tuple[MadeFile, ...]:
    im = Image.open(io.BytesIO(order.files["image"]))
    im = ImageOps.exif_transpose(im).convert("RGB")
    out = io.BytesIO()
    im.save(out, "PNG")
    return (MadeFile("out-0.png", "image/png", out.getvalue()),)


def restoration(order: Order) -> tuple[MadeFile, ...]:
    return variations(order)
