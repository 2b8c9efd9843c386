"""Images and sound through OpenAI's SDK: counted where the provider tells tokens, unreported where it bills by the piece."""

from __future__ import annotations

import pytest
from openai import OpenAI

from sdk_cases import calls, only_call, open_units
from sdk_hosts import http, streamed

IMAGE_USAGE = {
    "input_tokens": 50, "output_tokens": 4160, "total_tokens": 4210, "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
}  # fmt: skip
SOUND_USAGE = {
    "type": "tokens", "input_tokens": 140, "output_tokens": 20, "total_tokens": 160,
    "input_token_details": {"text_tokens": 0, "audio_tokens": 140},
}  # fmt: skip
PICTURE = {"created": 1, "data": [{"b64_json": "aGk="}], "usage": IMAGE_USAGE}
FILE = ("x.wav", b"RIFF", "audio/wav")
MEDIA = {
    "an image": (PICTURE, 4210, lambda client: client.images.generate(model="gpt-image-1", prompt="x")),
    "an edited image": (PICTURE, 4210, lambda client: client.images.edit(model="gpt-image-1", image=b"x", prompt="x")),
    "a transcription": (
        {"text": "hi", "usage": SOUND_USAGE}, 160,
        lambda client: client.audio.transcriptions.create(model="gpt-4o-transcribe", file=FILE),
    ),
    "a streamed transcription": (
        [{"type": "transcript.text.delta", "delta": "hi"}, {"type": "transcript.text.done", "text": "hi", "usage": SOUND_USAGE}],
        160, lambda client: list(client.audio.transcriptions.create(model="gpt-4o-transcribe", file=FILE, stream=True)),
    ),
    "a transcription billed by the minute": (
        {"text": "hi", "usage": {"type": "duration", "seconds": 9}}, 0,
        lambda client: client.audio.transcriptions.create(model="whisper-1", file=FILE),
    ),
    "a translation": ({"text": "hi"}, 0, lambda client: client.audio.translations.create(model="whisper-1", file=FILE)),
    "a transcription as plain text": (
        b"hi", 0, lambda client: client.audio.transcriptions.create(model="whisper-1", file=FILE, response_format="text"),
    ),
    "speech": (b"RIFF", 0, lambda client: client.audio.speech.create(model="tts-1", voice="alloy", input="hi").read()),
    "an image without usage": (
        {"created": 1, "data": [{"url": "x"}]}, 0, lambda client: client.images.generate(model="dall-e-3", prompt="x"),
    ),
}  # fmt: skip


def given(answer):
    if isinstance(answer, list):
        return streamed(answer)
    return http.Response(200, content=answer) if isinstance(answer, bytes) else http.Response(200, json=answer)


@pytest.mark.parametrize("name", MEDIA)
def test_what_is_told_is_counted_and_the_rest_is_unreported(seen, name):
    answer, tokens, ask = MEDIA[name]
    with http.Client(transport=http.MockTransport(lambda request: given(answer))) as client:
        assert ask(OpenAI(api_key="none", http_client=client))
    assert only_call(seen)["gen_ai.operation.name"] == "generate_content"
    assert seen.tokens() == tokens
    assert seen.metric("costspan_unreported_calls_total") == (0 if tokens else 1)
    assert not open_units()


def test_sound_is_told_apart_and_priced(seen):
    answer, _, ask = MEDIA["a transcription"]
    with http.Client(transport=http.MockTransport(lambda request: given(answer))) as client:
        ask(OpenAI(api_key="none", http_client=client))
    assert seen.metric("costspan_tokens_total", token_type="input_audio") == 140
    assert len(calls(seen)) == 1


def test_streamed_speech_is_one_call_and_its_bytes_are_the_hosts(seen):
    def answer(request):
        return http.Response(200, content=iter([b"RI", b"FF"]), headers={"content-type": "audio/wav"})

    with http.Client(transport=http.MockTransport(answer)) as client:
        speech = OpenAI(api_key="none", http_client=client).audio.speech
        with speech.with_streaming_response.create(model="tts-1", voice="alloy", input="hi") as response:
            assert b"".join(response.iter_bytes()) == b"RIFF"
    assert (len(calls(seen)), seen.metric("costspan_unreported_calls_total"), open_units()) == (1, 1, [])
