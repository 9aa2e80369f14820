"""Writes the seed corpora of the fuzz targets: tests/fuzz/corpus/TARGET/NAME, valid and damaged inputs of a few KB.

    python3 tests/fuzz/make_corpus.py

Only the standard library; the same bytes every time."""
import gzip
import json
import struct
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"


def write(target, seeds):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in seeds.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def container(header, data=b"", length=None):
    """A safetensors file; the header is padded so that the data are aligned."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors():
    two = {"__metadata__": {"format": "pt"}, "a": tensor("F32", [2], 0, 8), "b": tensor("BF16", [2, 1], 8, 12)}
    data = bytes(range(12))
    whole = container(two, data)
    return {
        "two_tensors": whole,
        "no_tensors": container({}),
        "scalar_and_empty": container({"s": tensor("F16", [], 0, 2), "e": tensor("I64", [0, 3], 2, 2)}, b"\0\1"),
        "float8": container({"q": tensor("F8_E4M3", [3], 0, 3)}, b"abc"),
        "empty_file": b"",
        "short_length": whole[:5],
        "truncated_header": whole[:60],
        "truncated_data": whole[:-3],
        "trailing_byte": whole + b"x",
        "huge_length": container(two, data, 2**64 - 1),
        "length_beyond": container(two, data, len(whole)),
        "not_json": container(b"{\"a\": nonsense}"),
        "a_list": container([]),
        "bad_utf8": container(b"{\"\xff\": {}}"),
        "duplicate": container(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
                               b'"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', b"xy"),
        "negative_shape": container({"a": tensor("F32", [-1, -2], 0, 8)}, data[:8]),
        "overflowing_shape": container({"a": tensor("F32", [2**62, 2, 2], 0, 8)}, data[:8]),
        "nine_dimensions": container({"a": tensor("U8", [1] * 9, 0, 1)}, b"x"),
        "unknown_dtype": container({"a": tensor("F4", [2], 0, 1)}, b"x"),
        "overlap": container({"a": tensor("U8", [4], 0, 4), "b": tensor("U8", [4], 2, 6)}, data[:6]),
        "hole": container({"a": tensor("U8", [4], 0, 4), "b": tensor("U8", [4], 6, 10)}, data[:10]),
        "misaligned": container({"a": tensor("U8", [1], 0, 1), "b": tensor("BF16", [1], 1, 3)}, data[:3]),
        "reversed_offsets": container({"a": tensor("U8", [4], 4, 0)}, data[:4]),
        "wrong_size": container({"a": tensor("F32", [3], 0, 8)}, data[:8]),
        "fields_missing": container({"a": {}}),
        "deep": container(b"[" * 3000),
    }


def rows():
    pair = json.dumps({"prompt": "Why?", "chosen": "Because.", "rejected": "No \u00e9\u4e2d\n\"x\""})
    lines = (pair + "\n").encode() * 3
    packed = gzip.compress(lines, mtime=0)
    return {
        "plain": lines,
        "crlf_and_blank": b"\r\n" + pair.encode() + b"\r\n \t\n\n" + pair.encode(),
        "byte_order_mark": b"\xef\xbb\xbf" + lines,
        "lone_returns": b"a\rb\r\r\nc\r",
        "only_blank": b"\n \r\n\t",
        "empty": b"",
        "one_byte": b"x",
        "zero_bytes": b"a\0b\n\0\n",
        "not_utf8": b"{\"a\": \"\xff\xc0\x80\xed\xa0\x80\"}\n",
        "surrogates": b"{\"a\": \"\\ud83d\\ude00 \\ud800 \\u0000\"}\n",
        "numbers": b"[1e999, 123456789012345678901234567890, -0.0, NaN]\n[1e-400, 0x1]\n",
        "packed": packed,
        "members": packed + gzip.compress(b"", mtime=0) + gzip.compress(b"last", mtime=0) + bytes(32),
        "packed_truncated": packed[:-9],
        "packed_header_only": packed[:10],
        "packed_damaged": packed[:20] + b"\xff\xff" + packed[22:],
        "packed_garbage": packed + b"garbage",
        "parquet": b"PAR1\x15\x04",
        "utf16": "\ufeff{}\n".encode("utf-16-le"),
    }


def small(model, keep):
    """A tokenizer of the test data with the first `keep` tokens and the merges that they allow."""
    t = json.loads((DATA / "models" / model / "tokenizer.json").read_text())
    m = t["model"]
    m["vocab"] = {k: v for k, v in m["vocab"].items() if v < keep}
    split = [x.split(" ") if isinstance(x, str) else x for x in m["merges"]]
    m["merges"] = [x for x in split if all(p in m["vocab"] for p in (x[0], x[1], x[0] + x[1]))]
    return t


def dump(tokenizer):
    return json.dumps(tokenizer, ensure_ascii=False).encode()


def tokenizer():
    byte_level, metaspace = small("llama3-bf16", 300), small("gemma-bf16", 300)
    texts = "The sky's blue <|eot_id|> \u00e9\u4e2d 12345\n\n  x".encode()
    whole = dump(byte_level)
    seeds = {
        "text_ascii": b"The sky is blue, isn't it? 2024",
        "text_special": b"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
        "text_unicode": "e\u0301 \u4e2d\u6587 \U0001f600\u200d\U0001f600 \u0130\u0131 \u3000\u00a0x".encode(),
        "text_not_utf8": b"a\xff\xc0\x80\xed\xa0\x80",
        "text_spaces": b" " * 300 + b"\n\r\n\t x",
        "text_long_word": b"a" * 3000,
        "byte_level": whole + b"\0" + texts,
        "metaspace": dump(metaspace) + b"\0" + texts,
        "truncated": whole[: len(whole) // 2],
        "empty_object": b"{}",
        "no_vocabulary": b'{"model":{"type":"BPE"}}',
        "unigram": b'{"model":{"type":"Unigram","vocab":[["a",0.0]]}}',
        "empty_bpe": b'{"model":{"type":"BPE","vocab":{},"merges":[]}}\0abc',
    }
    def changed(name, edit, tail=texts):
        t = json.loads(dump(byte_level))
        edit(t)
        seeds[name] = dump(t) + b"\0" + tail
    changed("negative_id", lambda t: t["model"]["vocab"].update({"!": -5}))
    changed("huge_id", lambda t: t["model"]["vocab"].update({"!": 2**31}))
    changed("id_twice", lambda t: t["model"]["vocab"].update({"!": 40}))
    changed("merge_unknown", lambda t: t["model"]["merges"].append(["zz", "zz"]))
    changed("merge_malformed", lambda t: t["model"]["merges"].append("abc"))
    changed("regex_bad", lambda t: t["pre_tokenizer"]["pretokenizers"][0]["pattern"].update({"Regex": "(?i:["}))
    changed("regex_empty_match", lambda t: t["pre_tokenizer"]["pretokenizers"][0]["pattern"].update({"Regex": "x*"}))
    changed("regex_slow", lambda t: t["pre_tokenizer"]["pretokenizers"][0]["pattern"].update({"Regex": "(a+)+b"}),
            b"a" * 2000)
    changed("added_empty", lambda t: t["added_tokens"].append(dict(t["added_tokens"][0], id=900, content="")))
    changed("added_strip", lambda t: t["added_tokens"].append(
        dict(t["added_tokens"][0], id=900, content="sky", lstrip=True, rstrip=True, single_word=True)))
    changed("normalizer_unknown", lambda t: t.update(normalizer={"type": "Nmt"}))
    changed("types_wrong", lambda t: t.update(added_tokens={}, post_processor=[], decoder=3))
    return seeds


def template():
    seeds = {p.stem: p.read_bytes() for p in sorted((DATA / "tokenizers" / "chat-templates").glob("*.jinja"))}
    seeds.update({
        "empty": b"",
        "text": b"no tags at all {",
        "messages": b"{% for m in messages %}{{ m['role'] }}: {{ m.content | trim }}\n{% endfor %}\0"
                    b'[{"role":"user","content":[{"type":"text","text":"x"}]},{"role":1}]',
        "unclosed_tag": b"{% for m in messages",
        "unclosed_block": b"{% if true %}x",
        "unclosed_string": b"{{ 'abc",
        "unknown_filter": b"{{ 'a' | nonsense }}",
        "division_by_zero": b"{{ 1 // 0 }}{{ 1 % 0 }}{{ 1 / 0 }}",
        "raise": b"{{ raise_exception('no') }}",
        "nested_loops": b"{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}x"
                        b"{% endfor %}{% endfor %}{% endfor %}",
        "huge_range": b"{{ range(9223372036854775807) | list }}",
        "huge_string": b"{{ 'x' * 9223372036854775807 }}",
        "doubling": b"{% set ns = namespace(s='x') %}{% for i in range(200) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "recursive_macro": b"{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "deep_parentheses": b"{{ " + b"(" * 1000 + b"1" + b")" * 1000 + b" }}",
        "deep_not": b"{{ " + b"not " * 1000 + b"x }}",
        "deep_blocks": b"{% if x %}" * 500,
        "slices": b"{{ messages[1:][::-1][-5:99] }}{{ 'abc'[::0] }}{{ messages[-9223372036854775808] }}",
        "overflow": b"{{ 9223372036854775807 + 1 }}{{ -9223372036854775808 // -1 }}{{ 2 ** 999 }}",
        "not_utf8": b"\xff{{ '\xc0' | upper }}",
        "comments": b"{# a {% b #}{{- 1 -}}{%- if 1 -%} {%- endif -%}",
        "strftime": b"{{ strftime_now('%d %b %Y %Q %') }}",
    })
    return seeds


def yaml():
    return {
        "trl": b"# DPO\nmodel_name_or_path: Qwen2-0.5B\ndataset_name: pairs.jsonl\nlearning_rate: 5.0e-7\n"
               b"loss_type: [sigmoid, sft]\nloss_weights:\n- 1.0\n- 0.1\nbf16: true\n"
               b"gradient_checkpointing_kwargs:\n  use_reentrant: false\noutput_dir: 'run 1'\nhub_model_id:\n",
        "scalars": b"a: yes\nb: 0x1F\nc: 010\nd: 1:30:59\ne: -1_0.5e+3\nf: ~\ng: .inf\nh: 1:2.5\ni: 0b11\nj: 99999999999999999999\n",
        "quotes": b'a: "x\\u00e9\\n"\n"b c": \'it\'\'s\'\nc: |\n  one\n  two\nd: >-\n  e\n',
        "flow": b"{a: 1, b: [x, y], c: {d: [e, {f: g}]}}",
        "byte_order_mark": b"\xef\xbb\xbfa: 1\r\nb: 2\r\n",
        "empty": b"",
        "comment": b"# nothing\n",
        "document_end": b"---\na: 1\n...\n",
        "two_documents": b"a: 1\n---\nb: 2\n",
        "twice": b"a-b: 1\na_b: 2\n",
        "laughs": b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "merge": b"<<: {a: 1}\n",
        "tag": b"a: !!python/object/apply:os.system [x]\n",
        "directives": b"%YAML 1.1\n%TAG ! tag:x,2000:\n---\na: 1\n",
        "tab": b"a:\n\t- b\n",
        "complex_key": b"? [a, b]\n: c\n",
        "deep": b"a: " + b"[" * 40,
        "deep_block": b"".join(b" " * i + b"a:\n" for i in range(40)),
        "unclosed": b"a: [1, 2\nb: 'x\n",
        "zero_bytes": b"a: \0\n",
        "zero_escape": b'a: "x\\0y"\n',
        "not_utf8": b"a: \xff\xc0\x80\n",
        "utf16": "\ufeffa: 1\n".encode("utf-16-le"),
        "long_key": b"k" * 2000 + b": 1\n",
    }


if __name__ == "__main__":
    write("safetensors", safetensors())
    write("rows", rows())
    write("tokenizer", tokenizer())
    write("template", template())
    write("yaml", yaml())
