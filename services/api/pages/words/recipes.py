"""What can be ordered, and the form that orders it."""

from services.api.pages.words.said import Said

WORDS = {
    "recipes.title": Said("Order", "주문"),
    "recipes.choose": Said(
        "Choose what shall be made. Nothing is bought before you have seen what it will cost.",
        "만들 것을 고르세요. 예상 비용을 확인하기 전에는 아무것도 구매하지 않습니다.",
    ),
    "recipes.order": Said("Order: {title}", "주문: {title}"),
    "recipes.order_this": Said("Order", "주문하기"),
    "recipes.model": Said("Model", "모델"),
    "recipes.time": Said("Usual run", "보통 걸리는 시간"),
    "recipes.cold": Said(
        "up to {time} more when the model is cold", "모델이 쉬고 있었다면 최대 {time} 더"
    ),
    "recipes.cost": Said("Expected cost", "예상 비용"),
    "recipes.example_cost": Said(
        "{cost} for {count} purchases, as in the example", "예시 기준 {count}건 구매에 {cost}"
    ),
    "recipes.example_cost_one": Said("{cost} an order", "주문당 {cost}"),
    "recipes.unknown_cost": Said(
        "not known: nobody has said what this model costs (MODEL_PRICES)",
        "알 수 없음: 이 모델의 가격이 설정되지 않았습니다 (MODEL_PRICES)",
    ),
    "recipes.needs": Said("Needs", "필요한 것"),
    "recipes.needs_photo": Said("a photo ({kinds})", "사진 ({kinds})"),
    "recipes.may_photo": Said("words; a photo ({kinds}) if you like", "글, 원하면 사진 ({kinds})"),
    "recipes.needs_words": Said("words alone", "글만 있으면 됩니다"),
    "recipes.estimate": Said("Expected cost", "예상 비용"),
    "recipes.estimate_now": Said("Work out the cost", "비용 계산"),
    "recipes.costs": Said(
        "About {cost} for {count} purchases; at most {most} if every attempt that is allowed is"
        " needed.",
        "구매 {count}건에 약 {cost}, 허용된 재시도를 모두 쓰면 최대 {most}입니다.",
    ),
    "recipes.costs_one": Said(
        "About {cost}; at most {most} if every attempt that is allowed is needed.",
        "약 {cost}, 허용된 재시도를 모두 쓰면 최대 {most}입니다.",
    ),
    "recipes.costs_unknown": Said(
        "Purchases: {count}. What one costs is not known: nobody has said it (MODEL_PRICES).",
        "구매 {count}건입니다. 한 건의 가격은 설정되지 않아 알 수 없습니다 (MODEL_PRICES).",
    ),
    "recipes.costs_later": Said(
        "It can be said once everything that is needed is filled in.",
        "필요한 항목을 모두 채우면 알 수 있습니다.",
    ),
    "recipes.read_only": Said(
        "Your token may look and not order. Log in with one of scope write to order here.",
        "이 토큰은 보기만 할 수 있습니다. 주문하려면 write 권한이 있는 토큰으로 로그인하세요.",
    ),
    "recipes.not_now": Said(
        "We cannot say now that the order was taken. What you typed is still here: send it again in"
        " a moment. It makes one job, however often you send it.",
        "지금은 주문이 접수되었는지 확인할 수 없습니다. 입력한 내용은 그대로이니 잠시 후 다시 보내세요."
        " 여러 번 보내도 작업은 하나만 만들어집니다.",
    ),
    "recipes.wrong": Said(
        "Nothing was ordered yet: look at what is marked.",
        "아직 주문되지 않았습니다. 표시된 항목을 확인하세요.",
    ),
    "recipes.ordered_before": Said(
        "This form has made a job before, with other words. Send it again to order what stands here"
        " as well; choose the photo again.",
        "이 양식으로 이미 다른 내용의 작업을 주문했습니다. 지금 내용도 주문하려면 다시 보내세요."
        " 사진은 다시 골라야 합니다.",
    ),
    "recipes.that_job": Said("Go to that job", "그 작업으로 이동"),
    "recipes.sending": Said("Sending…", "보내는 중…"),
    "recipes.beside": Said(
        "More: your reference, a callback, another source", "더 보기: 외부 참조, 콜백, 다른 원본"
    ),
    "recipes.needed": Said("needed", "필수"),
    "recipes.external_ref": Said("Your reference", "외부 참조"),
    "recipes.external_ref.hint": Said(
        "Your own number or name for it, 200 characters at most. It is shown with the job.",
        "직접 쓰는 번호나 이름입니다. 200자까지, 작업과 함께 표시됩니다.",
    ),
    "recipes.callback_url": Said("Callback address", "콜백 주소"),
    "recipes.callback_url.hint": Said(
        "An https address that is told when the job ends.",
        "작업이 끝나면 알림을 받을 https 주소입니다.",
    ),
    "recipes.source": Said("Original from elsewhere", "다른 곳의 원본"),
    "recipes.source.hint": Said(
        "Instead of a photo: an https address of an allowed host, or a key in the bucket.",
        "사진 대신: 허용된 호스트의 https 주소 또는 버킷의 키입니다.",
    ),
    "recipes.all": Said("Everything that can be ordered", "주문할 수 있는 것 모두"),
    "photo.label": Said("Photo", "사진"),
    "photo.hint": Said(
        "{kinds}, {most} at most. On a phone: the camera or the gallery.",
        "{kinds}, 최대 {most}. 휴대전화에서는 카메라나 갤러리에서 고를 수 있습니다.",
    ),
    "photo.kept": Said(
        "Your photo is here already. Choose another one only if you want to replace it.",
        "사진은 이미 올라와 있습니다. 바꾸고 싶을 때만 다시 고르세요.",
    ),
    "photo.missing": Said("Choose a photo.", "사진을 골라 주세요."),
    "photo.large": Said(
        "The file is too large: {most} MB at most.", "파일이 너무 큽니다. 최대 {most}MB입니다."
    ),
    "photo.kind": Said(
        "The file is {kind}, whatever its name says. Taken are {taken}.",
        "이름과 상관없이 이 파일은 {kind}입니다. 받을 수 있는 형식: {taken}.",
    ),
    "photo.unknown_kind": Said("nothing that we know", "알 수 없는 형식"),
    "photo.pixels": Said(
        "The picture has more pixels than are taken: 50 million.",
        "사진의 픽셀 수가 너무 많습니다. 5천만 픽셀까지입니다.",
    ),
    "photo.damaged": Said(
        "The picture is cut off or damaged. Choose it again, or another one.",
        "사진이 잘렸거나 손상되었습니다. 다시 고르거나 다른 사진을 골라 주세요.",
    ),
    "photo.unusable": Said(
        "The file begins like a picture and is none.", "사진처럼 시작하지만 사진이 아닌 파일입니다."
    ),
    "said.ordered": Said("It is ordered.", "주문했습니다."),
    "hint.between": Said("{least} to {most}", "{least}~{most}"),
    "hint.above": Said("more than {over}, {most} at most", "{over}보다 크고 {most} 이하"),
    "hint.under": Said("from {least}, less than {under}", "{least} 이상 {under} 미만"),
    "hint.lines": Said("One a line", "한 줄에 하나씩"),
    "hint.entries": Said("{least} to {most} of them", "{least}~{most}개"),
    "hint.json": Said("As JSON", "JSON 형식"),
    "hint.any": Said("as usual", "기본값"),
    "about.variations": Said(
        "Several pictures of the same photo in another mood, each with a seed of its own.",
        "같은 사진을 다른 분위기로 여러 장 만듭니다. 장마다 시드가 다릅니다.",
    ),
    "about.restoration": Said(
        "A damaged or faded photo is made whole again.", "손상되거나 바랜 사진을 되살립니다."
    ),
    "about.studio-concepts": Said(
        "A brief and the granule colours become four concepts for a rubber surface, best first.",
        "설명과 칩 색상으로 고무 바닥 디자인 시안을 만들어 좋은 순서로 보여 줍니다.",
    ),
    "about.sound-effect": Said(
        "A few words become a short sound, trimmed to the length that you want.",
        "몇 마디 설명으로 짧은 소리를 만들고 원하는 길이로 자릅니다.",
    ),
    "about.background-music": Said(
        "A mood becomes music, as long as you say or as its text takes to be read.",
        "분위기를 음악으로 만듭니다. 길이는 직접 정하거나 글을 읽는 시간에 맞춥니다.",
    ),
    "param.count": Said("How many pictures", "사진 수"),
    "param.at_least": Said("Enough with", "최소 사진 수"),
    "param.at_least.hint": Said(
        "So many make the order complete; empty: all of them.",
        "이만큼이면 완료로 봅니다. 비우면 전부입니다.",
    ),
    "param.prompt": Said("What shall it be", "무엇을 만들까요"),
    "param.negative_prompt": Said("What shall it not be", "피할 것"),
    "param.strength": Said("Strength", "변화 정도"),
    "param.strength.hint": Said(
        "0 keeps what is there, 1 forgets it.", "0은 그대로 두고 1은 완전히 바꿉니다."
    ),
    "param.seed": Said("Seed", "시드"),
    "param.seed.hint": Said(
        "A whole number with which the same can be made again; empty: a new one.",
        "같은 결과를 다시 만들 때 쓰는 정수입니다. 비우면 새로 정합니다.",
    ),
    "param.surface.width": Said("Width in metres", "가로 (m)"),
    "param.surface.height": Said("Height in metres", "세로 (m)"),
    "param.colours": Said("Granule colours", "칩 색상"),
    "param.colours.hint": Said("Each as #rrggbb.", "#rrggbb 형식입니다."),
    "param.concepts": Said("How many concepts", "시안 수"),
    "param.dither": Said(
        "Mix granules where a colour lies between two", "두 색 사이의 색은 칩을 섞기"
    ),
    "param.seconds": Said("Length in seconds", "길이 (초)"),
    "param.duration": Said("Length in seconds", "길이 (초)"),
    "param.duration.hint": Said(
        "Empty: as long as the text takes to be read.", "비우면 글을 읽는 시간에 맞춥니다."
    ),
    "param.text": Said("Text that is read to it", "함께 읽을 글"),
}
